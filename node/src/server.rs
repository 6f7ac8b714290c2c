//! The wiring of `kvorum serve`, on one screen.
//!
//! Start: signals, certificates, sockets, probes; then who we are; then the member; then its edges. The ports for
//! clients and probes answer from the beginning, and say what the process is until it is a member.
//!
//! Stop, on SIGTERM or SIGINT: not ready any more; leadership to another; streams ended; no new clients, those under way
//! are finished;
//! consensus, engine and log; exit code 0. A second signal ends the process at once.
//!
//! What this file does not do: decide anything.

pub mod belonging;
pub mod loops;
pub mod peers;
pub mod ports;
pub mod signals;

use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::VERSION;
use crate::auth::Believer;
use crate::config::{Bootstrap, Config};
use crate::descriptors;
use crate::health::Probes;
use crate::held::Held;
use crate::http::connections::{self, Door, PROBES_MAX, Port, Routes};
use crate::http::{self, Edge, REQUEST_OVERHEAD_BYTES};
use crate::identity::Identity;
use crate::net;
use crate::raft::MemberNode;
use crate::raft::settings::Timing;
use crate::service::{Founder, Options, Service};
use crate::situation::{Situation, Situations};
use crate::tls::{PeerTransport, Tls, reload};
use loops::Loops;
use ports::Ports;

/// Bytes held of requests, and of answers, on the port for probes and metrics: a page of metrics has some 50 KiB.
const PROBES_BYTES_MAX: u64 = 8 << 20;

/// Runs a member, on a runtime of its own, until it is told to stop.
///
/// Not `async`, so that all of the member is compiled here once and not again in the program.
///
/// # Errors
/// It could not start, or a port failed.
pub fn run(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(member(config));
    // Told to stop while the disk is read: the reading is not waited for; it changed nothing that counts.
    runtime.shutdown_background();
    result
}

async fn member(config: Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    signals::cancel_on_signal(stop.clone()).context("signals cannot be listened to")?;
    let tls = Tls::load(&config)?;
    let ports = Ports::bind(&config)?;
    let door = Door::new(descriptors::prepare(config.limits.connections_max));
    let held = Held::new(config.limits.requests_bytes_max, config.limits.answers_bytes_max);
    let probes = Probes {
        held: held.clone(),
        door: Arc::clone(&door),
        situations: Situations::default(),
        tls: tls.clone(),
        reloads: reload::start(tls.clone()).context("SIGHUP cannot be listened to")?,
    };

    let (mut probing, mut clients, mut peers) = (Loops::default(), Loops::default(), Loops::default());
    for listener in ports.metrics {
        let port = Port {
            name: "metrics",
            tls: None,
            routes: Routes::new(crate::health::routes(probes.clone())),
            // Of its own: probes get through when clients have taken all of theirs.
            door: Door::new(PROBES_MAX),
            held: Held::new(PROBES_BYTES_MAX, PROBES_BYTES_MAX),
        };
        probing.start(|stop| connections::serve(listener, port, stop));
    }
    let routes = Routes::new(http::outside::router(probes.clone()));
    for listener in ports.client {
        let port = Port {
            name: "client",
            tls: tls.client.clone(),
            routes: routes.clone(),
            door: Arc::clone(&door),
            held: held.clone(),
        };
        clients.start(|stop| connections::serve(listener, port, stop));
    }

    let Some(identity) = belonging::settle(&config, &tls, &probes.situations, &stop).await? else {
        return Ok(());
    };
    let transport = Arc::new(tls.peer.clone().map_or(PeerTransport::Plain, PeerTransport::Tls));
    let starting = start(&config, identity, Arc::clone(&transport), held);
    let Some(service) = stop.run_until_cancelled(starting).await.transpose()? else {
        return Ok(());
    };
    for socket in ports.peer {
        let listener = net::listen(socket)?;
        peers.start(|stop| peers::serve(listener, Arc::clone(&transport), service.clone(), stop));
    }
    let message_bytes_max = config.limits.request_bytes_max + REQUEST_OVERHEAD_BYTES;
    let edge = Edge {
        service: service.clone(),
        tls,
        message_bytes_max,
    };
    routes.replace(http::router(edge, probes.clone()));
    probes.situations.enter(Situation::Member(service.clone()));
    tracing::info!("serving");

    stop.cancelled().await;
    probes.situations.enter(Situation::Stopping);
    service.hand_over().await;
    service.end_streams();
    clients.stop().await;
    service.shutdown().await;
    peers.stop().await;
    probing.stop().await;
    tracing::info!("stopped");
    Ok(())
}

async fn start(
    config: &Config,
    identity: Identity,
    transport: Arc<PeerTransport>,
    held: Held,
) -> anyhow::Result<Service> {
    let founders = match &config.bootstrap {
        Bootstrap::New { members, .. } => members
            .iter()
            .map(|member| Founder {
                id: member.id,
                node: MemberNode::from(member),
            })
            .collect(),
        Bootstrap::Existing { .. } | Bootstrap::Managed => Vec::new(),
    };
    let self_node = MemberNode {
        name: config.name.clone(),
        peer_urls: config.advertise_peer.urls().to_vec(),
        client_urls: config.advertise_client.urls().to_vec(),
    };
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let options = Options {
        data_dir: config.data_dir.clone(),
        identity,
        transport,
        timing: Timing {
            heartbeat_ms: millis(config.timing.heartbeat),
            election_ms: millis(config.timing.election),
        },
        believer: Believer::load(&config.auth, config.client_cert_auth)?,
        space: config.space,
        managed: config.bootstrap == Bootstrap::Managed,
        limits: limits(config),
        held,
        progress_interval: config.watch_progress_interval,
        founders,
        version: VERSION,
    };
    Ok(Service::start(options, self_node).await?)
}

fn limits(config: &Config) -> kvorum_store::validate::Limits {
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    kvorum_store::validate::Limits {
        txn_ops_max: whole(config.limits.txn_ops_max.into()),
        request_bytes_max: whole(config.limits.request_bytes_max),
    }
}
