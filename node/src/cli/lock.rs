//! `kvorum lock` and `kvorum elect`: held as long as the command lives, and for the time of a lease when it dies.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use kvorum_api::v3electionpb::ResignResponse;
use kvorum_api::v3electionpb::{CampaignRequest, CampaignResponse, LeaderRequest, LeaderResponse, ResignRequest};
use kvorum_api::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};
use kvorum_client::{Client, Messages, Repeat};
use tokio::signal::unix::{SignalKind, signal};

use super::connection::Connection;
use super::output::{self, Text, line, pair};
use super::{Failure, lease};

/// Longest wait for a lock or an election; whoever waits longer asks again.
const WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Examples of `lock`.
pub(super) const LOCK: &str = "\
Examples:
  kvorum lock backup                    prints the key that stands for the lock, and holds it until Ctrl-C
  kvorum lock backup -- ./backup.sh     holds it while the command runs, and ends with its exit code";
/// Examples of `elect`.
pub(super) const ELECT: &str = "\
Examples:
  kvorum elect boss me                  leads until Ctrl-C; waits for its turn
  kvorum elect boss --listen            prints whoever leads, now and from now on";

/// Arguments of `lock`.
#[derive(Args, Clone, Debug)]
pub struct Lock {
    /// The lock's name.
    name: String,
    /// Seconds for which the lock outlives this command if it dies.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    ttl: i64,
    /// A command to run while the lock is held.
    #[arg(trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Arguments of `elect`.
#[derive(Args, Clone, Debug)]
pub struct Elect {
    /// The election's name.
    name: String,
    /// What this candidate stands for.
    #[arg(required_unless_present = "listen")]
    proposal: Option<String>,
    /// Only print who leads.
    #[arg(short, long, conflicts_with = "proposal")]
    listen: bool,
    /// Seconds for which leadership outlives this command if it dies.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    ttl: i64,
}

pub(super) async fn lock(arguments: Lock, connection: &Connection) -> Result<(), Failure> {
    let client = &connection.client;
    let lease = lease::request_grant(client, arguments.ttl).await?.id;
    let held = tokio::select! {
        held = hold(&arguments, lease, client) => held,
        ended = keep_alive(client, lease, arguments.ttl) => Err(ended),
        stopped = stopped() => stopped,
    };
    // Whatever happened, the lock goes with its lease.
    let revoked = lease::request_revoke(client, lease).await;
    held?;
    revoked?;
    Ok(())
}

async fn hold(arguments: &Lock, lease: i64, client: &Client) -> Result<(), Failure> {
    let request = LockRequest {
        name: Bytes::copy_from_slice(arguments.name.as_bytes()),
        lease,
    };
    let locked: LockResponse = client
        .within(WAIT)
        .call("/v3/lock/lock", &request, Repeat::IfNotDone)
        .await?;
    let Some((program, words)) = arguments.command.split_first() else {
        let mut text = Text::new();
        line(&mut text, &locked.key);
        output::print(&text)?;
        return std::future::pending().await;
    };
    let revision = locked.header.as_ref().map_or(0, |header| header.revision);
    let status = tokio::process::Command::new(program)
        .args(words)
        .env("ETCD_LOCK_KEY", String::from_utf8_lossy(&locked.key).as_ref())
        .env("ETCD_LOCK_REV", revision.to_string())
        .stdin(Stdio::inherit())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| Failure::Usage(format!("cannot run {}: {error}", program.to_string_lossy())))?;
    let unlock = UnlockRequest { key: locked.key };
    let _: UnlockResponse = client.call("/v3/lock/unlock", &unlock, Repeat::Freely).await?;
    ended(status)
}

fn ended(status: ExitStatus) -> Result<(), Failure> {
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failure::Ended(
            code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        )),
    }
}

pub(super) async fn elect(arguments: Elect, connection: &Connection) -> Result<(), Failure> {
    let client = &connection.client;
    let Some(proposal) = arguments.proposal else {
        return observe(arguments.name, client).await;
    };
    let lease = lease::request_grant(client, arguments.ttl).await?.id;
    let led = tokio::select! {
        led = lead(&arguments.name, proposal, lease, client) => led,
        ended = keep_alive(client, lease, arguments.ttl) => Err(ended),
        stopped = stopped() => stopped,
    };
    let revoked = lease::request_revoke(client, lease).await;
    led?;
    revoked?;
    Ok(())
}

async fn lead(name: &str, proposal: String, lease: i64, client: &Client) -> Result<(), Failure> {
    let request = CampaignRequest {
        name: Bytes::copy_from_slice(name.as_bytes()),
        lease,
        value: Bytes::from(proposal.clone()),
    };
    let elected: CampaignResponse = client
        .within(WAIT)
        .call("/v3/election/campaign", &request, Repeat::IfNotDone)
        .await?;
    let mut text = Text::new();
    if let Some(leader) = &elected.leader {
        line(&mut text, &leader.key);
    }
    line(&mut text, proposal.as_bytes());
    output::print(&text)?;
    let stopped = stopped().await;
    let resign = ResignRequest { leader: elected.leader };
    let _: ResignResponse = client.call("/v3/election/resign", &resign, Repeat::Freely).await?;
    stopped
}

async fn observe(name: String, client: &Client) -> Result<(), Failure> {
    let request = LeaderRequest { name: name.into() };
    let mut leaders: Messages<LeaderResponse> = client.stream("/v3/election/observe", &request).await?;
    while let Some(leader) = leaders.next().await? {
        if let Some(kv) = &leader.kv {
            let mut text = Text::new();
            pair(&mut text, kv);
            output::print(&text)?;
        }
    }
    Ok(())
}

/// Keeps a lease alive for ever; returns only when that cannot be done.
async fn keep_alive(client: &Client, id: i64, ttl: i64) -> Failure {
    loop {
        tokio::time::sleep(lease::pause(ttl)).await;
        match lease::request_keep_alive(client, id).await {
            Ok(answer) if answer.ttl <= 0 => {
                return Failure::Refused("the lease has ended: the lock is lost".to_owned());
            }
            Ok(_) => {}
            // The lease lasts three pauses; the next sign of life may come through.
            Err(error) if error.is_unavailable() => {}
            Err(error) => return error.into(),
        }
    }
}

/// Returns when a person or the system asks this command to end.
async fn stopped() -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
