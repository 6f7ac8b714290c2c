//! `kvorum member list`.

use clap::{Args, Subcommand};
use kvorum_api::etcdserverpb::MemberListResponse;

use super::connection::Connection;
use super::output::{self, Text};
use super::table::Table;
use super::{Failure, Format, Global, view};

const EXAMPLES: &str = "\
Examples:
  kvorum member list                    id, status, name, peer addresses, client addresses, is learner
  kvorum member list -w table           the same with headings";

/// Commands about members.
#[derive(Args, Clone, Debug)]
pub struct Member {
    #[command(subcommand)]
    pub(super) command: MemberCommand,
}

#[derive(Subcommand, Clone, Debug)]
pub(super) enum MemberCommand {
    /// List the members, as the leader knows them.
    #[command(after_long_help = EXAMPLES)]
    List(Global),
}

pub(super) async fn run(connection: &Connection) -> Result<(), Failure> {
    let response = connection.client.member_list().await?;
    output::print(&render(&response, connection.format)?)
}

pub(super) fn render(response: &MemberListResponse, format: Format) -> Result<Text, Failure> {
    let rows: Vec<[String; 6]> = response
        .members
        .iter()
        .map(|member| {
            [
                format!("{:x}", member.id),
                if member.name.is_empty() { "unstarted" } else { "started" }.to_owned(),
                member.name.clone(),
                member.peer_ur_ls.join(","),
                member.client_ur_ls.join(","),
                member.is_learner.to_string(),
            ]
        })
        .collect();
    let table = || {
        let mut table = Table::new(["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"]);
        rows.iter().cloned().for_each(|row| table.row(row));
        table
    };
    output::render(format, &view::Members::from(response), table, |text| {
        rows.iter()
            .for_each(|row| output::line(text, row.join(", ").as_bytes()));
    })
}
