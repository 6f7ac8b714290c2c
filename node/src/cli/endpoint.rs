//! `kvorum endpoint status` and `kvorum endpoint health`.
//!
//! Every endpoint is asked on its own, all at once; one that does not answer is reported and does not hide the others.

mod hashkv;
mod status;

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures::future::join_all;
use kvorum_client::{Client, Error};

use super::connection::Connection;
use super::output::{self, Text};
use super::table::Table;
use super::with::{Connector, With};
use super::{Failure, Format, Global, view};

use status::status;

const STATUS_EXAMPLES: &str = "\
Examples:
  kvorum endpoint status --cluster -w table     every member with version, leader, term and index
  kvorum endpoint status -o json                for scripts";

const HASHKV_EXAMPLES: &str = "\
Examples:
  kvorum endpoint hashkv --cluster      the same number from every member, or something is very wrong";

const HEALTH_EXAMPLES: &str = "\
Examples:
  kvorum endpoint health --cluster      each member must answer a linearizable read; exit code 3 if one does not";

/// Commands about endpoints.
#[derive(Args, Clone, Debug)]
pub struct Endpoint {
    #[command(subcommand)]
    command: EndpointCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum EndpointCommand {
    /// Show version, size, leader, term and index of each endpoint.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(Which),
    /// Check that each endpoint answers a linearizable read.
    #[command(after_long_help = HEALTH_EXAMPLES)]
    Health(Which),
    /// Show the hash of each endpoint's keys at one revision.
    #[command(name = "hashkv", after_long_help = HASHKV_EXAMPLES)]
    HashKv(With<hashkv::HashKv>),
}

#[derive(Args, Clone, Debug)]
struct Which {
    /// Ask every member of the cluster instead of the endpoints given.
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    global: Global,
}

pub(super) async fn run(endpoint: Endpoint, connector: &Connector) -> Result<(), Failure> {
    match endpoint.command {
        EndpointCommand::Status(which) => status(which.cluster, &connector.open(which.global).await?).await,
        EndpointCommand::Health(which) => health(which.cluster, &connector.open(which.global).await?).await,
        EndpointCommand::HashKv(with) => hashkv::hashkv(&with.arguments, &connector.open(with.global).await?).await,
    }
}

/// The clients to ask, one per endpoint.
pub(super) async fn clients(cluster: bool, connection: &Connection) -> Result<Vec<Client>, Failure> {
    let client = &connection.client;
    if !cluster {
        return Ok(client
            .endpoints()
            .iter()
            .map(|endpoint| client.only(endpoint))
            .collect());
    }
    let members = client.member_list().await?.members;
    let urls = members.into_iter().flat_map(|member| member.client_ur_ls);
    let mut endpoints = Vec::new();
    for url in urls {
        let parsed = kvorum_client::Endpoint::parse(&url, "https")?;
        if !endpoints.contains(&parsed) {
            endpoints.push(parsed);
        }
    }
    Ok(endpoints.iter().map(|endpoint| client.only(endpoint)).collect())
}

async fn health(cluster: bool, connection: &Connection) -> Result<(), Failure> {
    let clients = clients(cluster, connection).await?;
    let answers = join_all(clients.iter().map(async |client| {
        let endpoint = &client.endpoints()[0];
        (endpoint.to_string(), client.health(endpoint).await)
    }))
    .await;
    let healthy = answers.iter().all(|(_, answer)| answer.is_ok());
    let (text, complaints) = render(answers, connection.format)?;
    output::print(&text)?;
    std::io::stderr().write_all(&complaints)?;
    if healthy { Ok(()) } else { Err(Failure::Unhealthy) }
}

/// Output, and what goes to standard error. Etcdctl's simple format writes the healthy to the one and the rest to the other.
fn render(answers: Vec<(String, Result<Duration, Error>)>, format: Format) -> Result<(Text, Text), Failure> {
    let views: Vec<view::Health> = answers
        .into_iter()
        .map(|(endpoint, answer)| judge(endpoint, answer))
        .collect();
    let mut complaints = Text::new();
    let table = || {
        let mut table = Table::new(["ENDPOINT", "HEALTH", "TOOK", "ERROR"]);
        for view::Health {
            endpoint,
            health,
            took,
            error,
        } in &views
        {
            table.row([endpoint.clone(), health.to_string(), took.clone(), error.clone()]);
        }
        table
    };
    let text = output::render(format, &views, table, |text| {
        for view::Health {
            endpoint,
            health,
            took,
            error,
        } in &views
        {
            if *health {
                let line = format!("{endpoint} is healthy: successfully committed proposal: took = {took}");
                output::line(text, line.as_bytes());
            } else {
                let line = format!("{endpoint} is unhealthy: failed to commit proposal: {error}");
                output::line(&mut complaints, line.as_bytes());
            }
        }
    })?;
    Ok((text, complaints))
}

fn judge(endpoint: String, answer: Result<Duration, Error>) -> view::Health {
    match answer {
        Ok(took) => view::Health {
            endpoint,
            health: true,
            took: format!("{took:?}"),
            error: String::new(),
        },
        Err(error) => view::Health {
            endpoint,
            health: false,
            took: String::new(),
            error: error.chain(),
        },
    }
}
