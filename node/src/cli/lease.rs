//! `kvorum lease grant | revoke | timetolive | list | keep-alive`.

use std::time::Duration;

use clap::{Args, Subcommand};
use kvorum_api::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest,
    LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use kvorum_client::{Client, Error, Repeat};

use super::connection::Connection;
use super::output::{self, Text, line, said};
use super::with::{Connector, Nothing, With};
use super::{Failure, view};

const GRANT: &str = "\
Examples:
  kvorum lease grant 60                 prints the lease's id; it ends after 60 s unless it is kept alive
  kvorum put session x --lease 694d…    a key that goes with the lease";
const REVOKE: &str = "\
Examples:
  kvorum lease revoke 694d…             ends the lease and deletes its keys";
const TIME_TO_LIVE: &str = "\
Examples:
  kvorum lease timetolive 694d…         how long it still has
  kvorum lease timetolive 694d… --keys  and which keys go with it";
const LIST: &str = "\
Examples:
  kvorum lease list                     ids of all leases, the next to end first";
const KEEP_ALIVE: &str = "\
Examples:
  kvorum lease keep-alive 694d…         until it is stopped with Ctrl-C
  kvorum lease keep-alive 694d… --once  only once";

/// Commands about leases.
#[derive(Args, Clone, Debug)]
pub struct Lease {
    #[command(subcommand)]
    command: LeaseCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum LeaseCommand {
    /// Make a lease.
    #[command(after_long_help = GRANT)]
    Grant(With<Grant>),
    /// End a lease and delete the keys attached to it.
    #[command(after_long_help = REVOKE)]
    Revoke(With<One>),
    /// Show how long a lease still has.
    #[command(name = "timetolive", after_long_help = TIME_TO_LIVE)]
    TimeToLive(With<TimeToLive>),
    /// List all leases.
    #[command(after_long_help = LIST)]
    List(With<Nothing>),
    /// Keep a lease alive.
    #[command(after_long_help = KEEP_ALIVE)]
    KeepAlive(With<KeepAlive>),
}

#[derive(Args, Clone, Debug)]
struct Grant {
    /// Time to live, in seconds.
    ttl: i64,
}

#[derive(Args, Clone, Debug)]
struct One {
    /// Id of the lease, in hexadecimal.
    #[arg(value_parser = id)]
    id: i64,
}

#[derive(Args, Clone, Debug)]
struct TimeToLive {
    #[command(flatten)]
    lease: One,
    /// Show the keys attached to it as well.
    #[arg(long)]
    keys: bool,
}

#[derive(Args, Clone, Debug)]
struct KeepAlive {
    #[command(flatten)]
    lease: One,
    /// Keep it alive once and end.
    #[arg(long)]
    once: bool,
}

pub(super) async fn run(lease: Lease, connector: &Connector) -> Result<(), Failure> {
    match lease.command {
        LeaseCommand::Grant(with) => grant(with.arguments.ttl, &connector.open(with.global).await?).await,
        LeaseCommand::Revoke(with) => revoke(with.arguments.id, &connector.open(with.global).await?).await,
        LeaseCommand::TimeToLive(with) => time_to_live(&with.arguments, &connector.open(with.global).await?).await,
        LeaseCommand::List(with) => list(&connector.open(with.global).await?).await,
        LeaseCommand::KeepAlive(with) => keep_alive(&with.arguments, &connector.open(with.global).await?).await,
    }
}

async fn grant(ttl: i64, connection: &Connection) -> Result<(), Failure> {
    let granted = request_grant(&connection.client, ttl).await?;
    let text = format!("lease {:016x} granted with TTL({}s)", granted.id, granted.ttl);
    output::print(&said(connection.format, &view::plain(&granted), &text)?)
}

/// Makes a lease. Asked a second time it would make a second one, so it is repeated only when nothing was done.
pub(super) async fn request_grant(client: &Client, ttl: i64) -> Result<LeaseGrantResponse, Error> {
    let request = LeaseGrantRequest { ttl, id: 0 };
    client.call("/v3/lease/grant", &request, Repeat::IfNotDone).await
}

/// Ends a lease.
pub(super) async fn request_revoke(client: &Client, id: i64) -> Result<LeaseRevokeResponse, Error> {
    client
        .call("/v3/lease/revoke", &LeaseRevokeRequest { id }, Repeat::IfNotDone)
        .await
}

/// Keeps a lease alive once; the new time to live in seconds, zero when there is no such lease.
pub(super) async fn request_keep_alive(client: &Client, id: i64) -> Result<LeaseKeepAliveResponse, Error> {
    let mut answers = client
        .stream::<_, LeaseKeepAliveResponse>("/v3/lease/keepalive", &LeaseKeepAliveRequest { id })
        .await?;
    Ok(answers.next().await?.unwrap_or_default())
}

async fn revoke(id: i64, connection: &Connection) -> Result<(), Failure> {
    let response = request_revoke(&connection.client, id).await?;
    let text = format!("lease {id:016x} revoked");
    output::print(&said(connection.format, &view::plain(&response), &text)?)
}

async fn time_to_live(arguments: &TimeToLive, connection: &Connection) -> Result<(), Failure> {
    let request = LeaseTimeToLiveRequest {
        id: arguments.lease.id,
        keys: arguments.keys,
    };
    let response: LeaseTimeToLiveResponse = connection
        .client
        .call("/v3/lease/timetolive", &request, Repeat::Freely)
        .await?;
    let text = describe(&response, arguments.keys);
    output::print(&said(connection.format, &view::plain(&response), &text)?)
}

fn describe(response: &LeaseTimeToLiveResponse, keys: bool) -> String {
    let (id, ttl, granted) = (response.id, response.ttl, response.granted_ttl);
    if granted == 0 && ttl == -1 {
        return format!("lease {id:016x} already expired");
    }
    let mut text = format!("lease {id:016x} granted with TTL({granted}s), remaining({ttl}s)");
    if keys {
        let keys: Vec<_> = response.keys.iter().map(|key| String::from_utf8_lossy(key)).collect();
        text.push_str(&format!(", attached keys([{}])", keys.join(" ")));
    }
    text
}

async fn list(connection: &Connection) -> Result<(), Failure> {
    let response: LeaseLeasesResponse = connection
        .client
        .call("/v3/lease/leases", &LeaseLeasesRequest {}, Repeat::Freely)
        .await?;
    let mut text = format!("found {} leases", response.leases.len());
    for lease in &response.leases {
        text.push_str(&format!("\n{:016x}", lease.id));
    }
    output::print(&said(connection.format, &view::plain(&response), &text)?)
}

async fn keep_alive(arguments: &KeepAlive, connection: &Connection) -> Result<(), Failure> {
    let id = arguments.lease.id;
    loop {
        let response = request_keep_alive(&connection.client, id).await?;
        if response.ttl <= 0 {
            if arguments.once {
                return Err(Failure::Refused("etcdserver: requested lease not found".to_owned()));
            }
            let mut text = Text::new();
            line(&mut text, format!("lease {id:016x} expired or revoked.").as_bytes());
            return output::print(&text);
        }
        let text = format!("lease {id:016x} keepalived with TTL({})", response.ttl);
        output::print(&said(connection.format, &view::plain(&response), &text)?)?;
        if arguments.once {
            return Ok(());
        }
        tokio::time::sleep(pause(response.ttl)).await;
    }
}

/// Time between two signs of life: a third of the time to live, so that two may be lost.
pub(super) fn pause(ttl: i64) -> Duration {
    let seconds = u64::try_from(ttl).unwrap_or(1).max(1);
    Duration::from_millis(seconds.saturating_mul(1_000) / 3)
}

/// The id of a lease, as etcdctl prints and reads it.
pub(super) fn id(text: &str) -> Result<i64, String> {
    i64::from_str_radix(text, 16).map_err(|_| "the id of a lease is a hexadecimal number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(LeaseTimeToLiveResponse { id: 31, ttl: -1, ..Default::default() }, true, "lease 000000000000001f already expired"; "gone")]
    #[test_case(LeaseTimeToLiveResponse { id: 31, ttl: 5, granted_ttl: 9, ..Default::default() }, false, "lease 000000000000001f granted with TTL(9s), remaining(5s)"; "there")]
    #[test_case(LeaseTimeToLiveResponse { id: 31, ttl: 5, granted_ttl: 9, keys: vec!["a".into(), "b".into()], ..Default::default() }, true, "lease 000000000000001f granted with TTL(9s), remaining(5s), attached keys([a b])"; "with keys")]
    fn leases_are_described_as_etcdctl_does(response: LeaseTimeToLiveResponse, keys: bool, expected: &str) {
        assert_eq!(describe(&response, keys), expected);
    }
}
