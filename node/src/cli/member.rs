//! `kvorum member list | add | update | promote | remove`.

use clap::{Args, Subcommand};
use kvorum_api::etcdserverpb as pb;
use kvorum_api::etcdserverpb::MemberListResponse;
use kvorum_client::Repeat;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::output::{self, Text, said};
use super::table::Table;
use super::with::{Connector, Nothing, With};
use super::{Failure, Format, view};

const LIST: &str = "\
Examples:
  kvorum member list                    id, status, name, peer addresses, client addresses, is learner
  kvorum member list -w table           the same with headings";
const ADD: &str = "\
Examples:
  kvorum member add n4 --peer-urls https://n4:2380 --learner
                                        then start n4, and promote it when it has caught up";
const UPDATE: &str = "Examples:\n  kvorum member update 8e9e… --peer-urls https://n4:2380";
const PROMOTE: &str =
    "Examples:\n  kvorum member promote 8e9e…            a learner that has caught up votes from now on";
const REMOVE: &str = "Examples:\n  kvorum member remove 8e9e…";

/// Commands about members.
#[derive(Args, Clone, Debug)]
pub struct Member {
    #[command(subcommand)]
    command: MemberCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum MemberCommand {
    /// List the members, as the leader knows them.
    #[command(after_long_help = LIST)]
    List(With<Nothing>),
    /// Add a member, which is started afterwards.
    #[command(after_long_help = ADD)]
    Add(With<Add>),
    /// Change the addresses where a member's peers reach it.
    #[command(after_long_help = UPDATE)]
    Update(With<Update>),
    /// Let a learner vote.
    #[command(after_long_help = PROMOTE)]
    Promote(With<One>),
    /// Remove a member for ever.
    #[command(after_long_help = REMOVE)]
    Remove(With<One>),
}

#[derive(Args, Clone, Debug)]
struct One {
    /// Id of the member, in hexadecimal.
    #[arg(value_parser = id)]
    id: u64,
}

#[derive(Args, Clone, Debug)]
struct Add {
    /// Its name.
    name: String,
    /// Where its peers will reach it, comma separated.
    #[arg(long, value_name = "URLS", value_delimiter = ',', required = true)]
    peer_urls: Vec<String>,
    /// As a learner, which does not vote before it is promoted: the safe way.
    #[arg(long)]
    learner: bool,
}

#[derive(Args, Clone, Debug)]
struct Update {
    #[command(flatten)]
    member: One,
    /// Where its peers reach it, comma separated.
    #[arg(long, value_name = "URLS", value_delimiter = ',', required = true)]
    peer_urls: Vec<String>,
}

pub(super) async fn run(member: Member, connector: &Connector) -> Result<(), Failure> {
    match member.command {
        MemberCommand::List(with) => list(&connector.open(with.global).await?).await,
        MemberCommand::Add(with) => add(with.arguments, &connector.open(with.global).await?).await,
        MemberCommand::Update(with) => {
            let Update { member, peer_urls } = with.arguments;
            let request = pb::MemberUpdateRequest {
                id: member.id,
                peer_ur_ls: peer_urls,
            };
            let connection = connector.open(with.global).await?;
            let response: pb::MemberUpdateResponse = change("update", &request, &connection).await?;
            tell(
                member.id,
                "updated in",
                response.header.as_ref(),
                &response,
                &connection,
            )
        }
        MemberCommand::Promote(with) => {
            let One { id } = with.arguments;
            let connection = connector.open(with.global).await?;
            let response: pb::MemberPromoteResponse =
                change("promote", &pb::MemberPromoteRequest { id }, &connection).await?;
            tell(id, "promoted in", response.header.as_ref(), &response, &connection)
        }
        MemberCommand::Remove(with) => {
            let One { id } = with.arguments;
            let connection = connector.open(with.global).await?;
            let response: pb::MemberRemoveResponse =
                change("remove", &pb::MemberRemoveRequest { id }, &connection).await?;
            tell(id, "removed from", response.header.as_ref(), &response, &connection)
        }
    }
}

async fn change<A: DeserializeOwned>(
    verb: &str,
    request: &impl Serialize,
    connection: &Connection,
) -> Result<A, Failure> {
    let path = format!("/v3/cluster/member/{verb}");
    Ok(connection.client.call(&path, request, Repeat::IfNotDone).await?)
}

fn tell(
    id: u64,
    what: &str,
    header: Option<&pb::ResponseHeader>,
    response: &impl Serialize,
    connection: &Connection,
) -> Result<(), Failure> {
    let cluster = header.map_or(0, |header| header.cluster_id);
    let text = format!("Member {id:16x} {what} cluster {cluster:16x}");
    output::print(&said(connection.format, &view::plain(response), &text)?)
}

async fn add(arguments: Add, connection: &Connection) -> Result<(), Failure> {
    let Add {
        name,
        peer_urls,
        learner,
    } = arguments;
    let request = pb::MemberAddRequest {
        peer_ur_ls: peer_urls.clone(),
        is_learner: learner,
    };
    let response: pb::MemberAddResponse = change("add", &request, connection).await?;
    let added = response.member.as_ref().map_or(0, |member| member.id);
    let cluster = response.header.as_ref().map_or(0, |header| header.cluster_id);
    let initial: Vec<String> = response
        .members
        .iter()
        .flat_map(|member| {
            let name = if member.id == added { &name } else { &member.name };
            member.peer_ur_ls.iter().map(move |url| format!("{name}={url}"))
        })
        .collect();
    let text = format!(
        "Member {added:16x} added to cluster {cluster:16x}\n\n\
         Start it with:\n  --name {name}\n  --initial-cluster {}\n  --initial-advertise-peer-urls {}\n  \
         --initial-cluster-state existing",
        initial.join(","),
        peer_urls.join(","),
    );
    output::print(&said(connection.format, &view::plain(&response), &text)?)
}

async fn list(connection: &Connection) -> Result<(), Failure> {
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

/// The id of a member, as it is printed everywhere.
pub(super) fn id(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| "the id of a member is a hexadecimal number".to_owned())
}
