//! One member: what its process does from start to end. Everything from [`Service::start`] on is the real thing.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kvorum::auth::Believer;
use kvorum::config::{AuthSettings, Space, TokenSettings};
use kvorum::held;
use kvorum::identity::Identity;
use kvorum::identity::file::{self, Found};
use kvorum::raft::MemberNode;
use kvorum::raft::settings::Timing;
use kvorum::server::peers;
use kvorum::service::compactor::Retention;
use kvorum::service::{Caller, Founder, Options, Service};
use kvorum::tls::PeerTransport;
use kvorum_api::Id;
use kvorum_api::etcdserverpb as pb;
use kvorum_files::simulated::{dice, disk};
use kvorum_tests::checks::watched::Held;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::clients::Client;
use crate::record::{Record, Report, now};
use crate::{lease, watcher};

/// The port for other members.
const PORT: u16 = 2380;
/// Bytes held for clients: more than the few here ever have.
const HELD_BYTES_MAX: u64 = 64 << 20;
/// The cluster.
const CLUSTER_ID: u64 = 0xc1;
/// Between two looks at a member, in milliseconds.
const LOOK_MS: u64 = 100;
/// A member takes a snapshot every so often, in milliseconds, and less than that and the same again.
const SNAPSHOT_MS: u64 = 800;
/// History is thrown away as often.
const COMPACTION_MS: u64 = 1_500;
/// A leader gives its place to another as often as this, in milliseconds.
const TRANSFER_MS: u64 = 2_500;
/// What watchers are not yet told is kept, and so many revisions before it.
const KEPT: i64 = 10;

/// What all members of a cluster have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How many there are.
    pub(crate) members: usize,
    /// Heartbeats and elections.
    pub(crate) timing: Timing,
    /// Clients at each.
    pub(crate) clients: u32,
    /// Keys of all clients.
    pub(crate) keys: u32,
}

/// A member's name, and its disk's.
pub(crate) fn name(number: usize) -> String {
    format!("m{}", number + 1)
}

/// A process of member `number`, the `life`th at its place.
pub(crate) async fn run(number: usize, life: u32, plan: Plan, record: Arc<Record>) {
    let service = match start(number, plan).await {
        Ok(service) => service,
        Err(error) => {
            if !disk(&name(number)).is_cut() {
                record.wrong("start", format!("{} does not start: {error:#}", name(number)));
            }
            return pending().await;
        }
    };
    record.count("starts", 1);
    let member = name(number);
    for client in 0..plan.clients {
        let client = Client {
            number: life * 100 + u32::try_from(number).unwrap_or_default() * 10 + client,
            member: member.clone(),
            keys: plan.keys,
            service: service.clone(),
            record: Arc::clone(&record),
        };
        tokio::spawn(client.run());
    }
    tokio::task::spawn_local(watcher::run(
        number,
        member.clone(),
        service.clone(),
        Arc::clone(&record),
    ));
    tokio::spawn(lease::run(member.clone(), service.clone(), Arc::clone(&record)));
    tokio::spawn(snapshots(service.clone(), Arc::clone(&record)));
    tokio::spawn(compactions(plan.members, service.clone(), Arc::clone(&record)));
    tokio::spawn(transfers(plan.members, service.clone(), Arc::clone(&record)));
    look(number, &service, &record).await;
    service.hand_over().await;
    service.end_streams();
    service.shutdown().await;
    if !disk(&member).is_cut() {
        record.stopping().insert(number, true);
        record.count("stops-in-order", 1);
    }
    pending().await
}

async fn start(number: usize, plan: Plan) -> anyhow::Result<Service> {
    let data_dir = PathBuf::from(format!("/{}/data", name(number)));
    let identity = match file::find(&data_dir)? {
        Found::Identity(identity) => identity,
        Found::Nothing => {
            let identity = Identity {
                cluster_id: Id::new(CLUSTER_ID),
                member_id: id(number),
                name: name(number),
                log_id: None,
            };
            file::write(&data_dir, &identity)?;
            identity
        }
        Found::Strangers(file) => anyhow::bail!("there is {file} and no identity"),
    };
    let transport = Arc::new(PeerTransport::Plain);
    let auth = AuthSettings {
        token: TokenSettings::Simple {
            ttl: Duration::from_mins(5),
        },
        bcrypt_cost: 4,
    };
    let founders = (0..plan.members).map(|number| Founder {
        id: id(number),
        node: node(number),
    });
    let options = Options {
        data_dir,
        identity,
        transport: Arc::clone(&transport),
        timing: plan.timing,
        believer: Believer::load(&auth, false)?,
        space: Space {
            quota_bytes: None,
            disk_reserve_bytes: None,
            retention: Retention::Everything,
        },
        managed: false,
        limits: kvorum_store::validate::Limits::default(),
        progress_interval: Duration::from_mins(10),
        held: held::Held::new(HELD_BYTES_MAX, HELD_BYTES_MAX),
        founders: founders.collect(),
        version: kvorum::VERSION,
    };
    let service = Service::start(options, node(number)).await?;
    let listener = kvorum::net::TcpListener::bind(PORT).await?;
    tokio::spawn(peers::serve(
        listener,
        transport,
        service.clone(),
        CancellationToken::new(),
    ));
    Ok(service)
}

fn id(number: usize) -> Id {
    Id::new(number as u64 + 1).expect("one is added")
}

fn node(number: usize) -> MemberNode {
    MemberNode {
        name: name(number),
        peer_urls: vec![format!("http://{}:{PORT}", name(number))],
        client_urls: Vec::new(),
    }
}

/// Takes snapshots, more often than a real member would.
async fn snapshots(service: Service, record: Arc<Record>) {
    loop {
        sleep(Duration::from_millis(SNAPSHOT_MS + dice::below(SNAPSHOT_MS))).await;
        let Ok(raft) = service.raft() else { return };
        if raft.trigger().snapshot().await.is_ok() {
            record.count("snapshots", 1);
        }
    }
}

/// Throws history away that all watchers have seen.
async fn compactions(members: usize, service: Service, record: Arc<Record>) {
    while !record.is_stopped() {
        sleep(Duration::from_millis(COMPACTION_MS + dice::below(COMPACTION_MS))).await;
        let seen = {
            let watched = record.watched();
            (0..members)
                .map(|watcher| watched.next(watcher))
                .min()
                .unwrap_or_default()
        };
        let request = pb::CompactionRequest {
            revision: seen - KEPT,
            physical: false,
        };
        if request.revision > 1 && service.compact(&Caller::default(), request).await.is_ok() {
            record.count("compactions", 1);
        }
    }
}

/// Has another lead from time to time.
async fn transfers(members: usize, service: Service, record: Arc<Record>) {
    while !record.is_stopped() {
        sleep(Duration::from_millis(TRANSFER_MS + dice::below(TRANSFER_MS))).await;
        let request = pb::MoveLeaderRequest {
            target_id: 1 + dice::below(members as u64),
        };
        if service.leads_in_term().is_some() && service.move_leader_to(&Caller::default(), request).await.is_ok() {
            record.count("transfers", 1);
        }
    }
}

/// Asks the member again and again how it is, until it is to stop.
async fn look(number: usize, service: &Service, record: &Record) {
    while !record.stopping().contains_key(&number) {
        sleep(Duration::from_millis(LOOK_MS)).await;
        if disk(&name(number)).is_cut() {
            continue;
        }
        if let Ok(status) = service.status(&Caller::default(), pb::StatusRequest {}).await {
            let member = number as u64 + 1;
            let taken = record.terms().take(member, status.raft_term, status.leader);
            record.violations.note("terms", taken);
            record.event(&format!("{member} is in {} under {}", status.raft_term, status.leader));
        }
        if record.is_stopped()
            && let Some(report) = report(service).await
        {
            record.reports().insert(number, report);
        }
    }
}

/// What the member has, once that includes everything.
async fn report(service: &Service) -> Option<Report> {
    let at = now();
    service.wait_linearizable().await.ok()?;
    let view = service.view();
    let revision = view.revision();
    let hash = format!("{:?}", view.hash_at(0).ok()?);
    let all = pb::RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        revision,
        serializable: true,
        ..Default::default()
    };
    let found = service.range(&Caller::default(), all).await.ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = found.kvs.iter();
    let held: Held = pairs
        .map(|pair| (text(&pair.key), (text(&pair.value), pair.mod_revision)))
        .collect();
    Some(Report {
        at,
        revision,
        hash,
        held,
    })
}
