//! `kvorum endpoint status`.

use std::io::Write as _;

use futures::future::join_all;
use kvorum_api::etcdserverpb::StatusResponse;

use super::{Connection, Failure, Format, Table, Text, clients, output, view};

/// Cells of one endpoint; etcdctl's order.
type Row = [String; 16];

const HEADING: [&str; 16] = [
    "ENDPOINT",
    "ID",
    "VERSION",
    "STORAGE VERSION",
    "DB SIZE",
    "IN USE",
    "PERCENTAGE NOT IN USE",
    "QUOTA",
    "IS LEADER",
    "IS LEARNER",
    "RAFT TERM",
    "RAFT INDEX",
    "RAFT APPLIED INDEX",
    "ERRORS",
    "DOWNGRADE TARGET VERSION",
    "DOWNGRADE ENABLED",
];

pub(in crate::cli) async fn status(cluster: bool, connection: &Connection) -> Result<(), Failure> {
    let clients = clients(cluster, connection).await?;
    let answers = join_all(clients.iter().map(async |client| {
        let endpoint = &client.endpoints()[0];
        (endpoint.clone(), client.status(endpoint).await)
    }))
    .await;
    let mut failure = None;
    let mut statuses = Vec::new();
    for (endpoint, answer) in answers {
        match answer {
            Ok(status) => statuses.push((endpoint, status)),
            Err(error) => {
                writeln!(
                    std::io::stderr(),
                    "Failed to get the status of endpoint {endpoint} ({})",
                    error.chain()
                )?;
                failure = Some(Failure::Request(error));
            }
        }
    }
    output::print(&render(&statuses, connection.format)?)?;
    failure.map_or(Ok(()), Err)
}

pub(super) fn render(statuses: &[(kvorum_client::Endpoint, StatusResponse)], format: Format) -> Result<Text, Failure> {
    let views: Vec<_> = statuses
        .iter()
        .map(|(endpoint, status)| view::EndpointStatus::new(endpoint, status))
        .collect();
    let rows = || {
        statuses
            .iter()
            .map(|(endpoint, status)| row(endpoint.to_string(), status))
    };
    let table = || {
        let mut table = Table::new(HEADING);
        rows().for_each(|row| table.row(row));
        table
    };
    output::render(format, &views, table, |text| {
        rows().for_each(|row| output::line(text, row.join(", ").as_bytes()))
    })
}

fn row(endpoint: String, status: &StatusResponse) -> Row {
    let id = status.header.as_ref().map_or(0, |header| header.member_id);
    let unused = (status.db_size - status.db_size_in_use).max(0);
    // An empty store has no unused part.
    let unused_percent = (unused * 100).checked_div(status.db_size).unwrap_or(0);
    let downgrade = status.downgrade_info.clone().unwrap_or_default();
    [
        endpoint,
        format!("{id:x}"),
        status.version.clone(),
        status.storage_version.clone(),
        size(status.db_size),
        size(status.db_size_in_use),
        format!("{unused_percent}%"),
        size(status.db_size_quota),
        (status.leader == id).to_string(),
        status.is_learner.to_string(),
        status.raft_term.to_string(),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.errors.join(", "),
        downgrade.target_version,
        downgrade.enabled.to_string(),
    ]
}

/// Bytes in decimal units with two significant digits, as etcdctl shows them: `20 kB`, `2.1 GB`.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut scaled, mut unit) = (bytes.max(0) as f64, 0);
    while scaled >= 1000.0 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let rounded = (scaled * 10.0 + 0.5).floor() / 10.0;
    let digits = usize::from(unit > 0 && rounded < 10.0);
    format!("{rounded:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(0, "0 B"; "nothing")]
    #[test_case(999, "999 B"; "bytes")]
    #[test_case(20_480, "20 kB"; "two digits")]
    #[test_case(2_147_483_648, "2.1 GB"; "fraction")]
    #[test_case(9_960_000, "10 MB"; "rounded up to two digits")]
    #[test_case(i64::MAX, "9.2 EB"; "largest")]
    fn sizes(bytes: i64, expected: &str) {
        assert_eq!(size(bytes), expected);
    }
}
