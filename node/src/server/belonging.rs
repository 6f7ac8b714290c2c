//! Finding out who this process is, before it opens anything it could spoil.
//!
//! `identity::decide` weighs; here it is given what it weighs, its decision is carried out, and where the decision is to
//! join nothing, the process stays up, says why, and looks again until that changes.

use std::sync::Arc;
use std::time::Duration;

use kvorum_api::Id;
use kvorum_api::admin::NodeState;
use tokio_util::sync::CancellationToken;

use crate::config::{Bootstrap, Config, added_member_id};
use crate::identity::{self, Decision, Expected, Found, Identity, Refused, expected, file};
use crate::situation::{Situation, Situations, Stranger};
use crate::tls::Tls;

/// How often a process that joins nothing looks again: the operator may have changed what it expects.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The identity to run with, written to disk; `None` when the process is told to stop first.
///
/// # Errors
/// Disk or identity directory cannot be read or understood, or there is no randomness.
pub async fn settle(
    config: &Config,
    tls: &Tls,
    situations: &Situations,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Identity>> {
    // What a process without an identity calls itself, as long as it runs.
    let nobody =
        identity::draw_member_id().map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?;
    let mut said: Option<Stranger> = None;
    loop {
        let stranger = match look(config, tls, nobody)? {
            Ok(identity) => {
                if let Some(peer) = &tls.peer {
                    peer.pin();
                }
                return Ok(Some(identity));
            }
            Err(stranger) => stranger,
        };
        if said.as_ref() != Some(&stranger) {
            tracing::error!(state = stranger.state.name(), "joining nothing: {}", stranger.reason);
            situations.enter(Situation::Outside(Arc::new(stranger.clone())));
            said = Some(stranger);
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return Ok(None);
        }
    }
}

/// One look: who we are, or why we are nobody.
fn look(config: &Config, tls: &Tls, nobody: Id) -> anyhow::Result<Result<Identity, Stranger>> {
    let found = file::find(&config.data_dir)?;
    let expected = expect(config, tls)?;
    let outside = |state, member_id: Option<Id>, reason: &str| {
        Err(Stranger {
            name: config.name.clone(),
            member_id: member_id.unwrap_or(nobody),
            cluster_id: expected.cluster_id(),
            state,
            reason: reason.to_owned(),
        })
    };
    let identity = match identity::decide(&found, &expected, &config.name) {
        Decision::Known(identity) => identity,
        Decision::Fresh { cluster_id } => fresh(config, cluster_id)?,
        Decision::Refused(Refused::IdentityMissing { reason }) => {
            return Ok(outside(NodeState::IdentityMissing, expected.member_id, &reason));
        }
        Decision::Refused(Refused::IdentityMismatch { reason }) => {
            let on_disk = match &found {
                Found::Identity(identity) => Some(identity.member_id),
                Found::Nothing | Found::Strangers(_) => expected.member_id,
            };
            return Ok(outside(NodeState::IdentityMismatch, on_disk, &reason));
        }
    };
    if found != Found::Identity(identity.clone()) {
        file::write(&config.data_dir, &identity)?;
        tracing::info!(member = %identity.member_id, "the identity is on disk");
    }
    if identity.cluster_id.is_none() {
        let reason = "nobody has said yet which cluster this is";
        return Ok(outside(NodeState::Waiting, Some(identity.member_id), reason));
    }
    Ok(Ok(identity))
}

/// A first identity. The members of a cluster that forms itself know each other's ids beforehand, that of one which was
/// added follows from its URLs; any other is drawn.
fn fresh(config: &Config, cluster_id: Option<Id>) -> anyhow::Result<Identity> {
    let founder = match &config.bootstrap {
        Bootstrap::New { members, .. } => members.iter().find(|member| member.name == config.name),
        Bootstrap::Existing { cluster_id } => {
            let urls = config.advertise_peer.urls();
            return Ok(Identity {
                cluster_id: Some(*cluster_id),
                member_id: added_member_id(*cluster_id, urls),
                name: config.name.clone(),
                log_id: None,
            });
        }
        Bootstrap::Managed => None,
    };
    let member_id = match founder {
        Some(founder) => founder.id,
        None => {
            identity::draw_member_id().map_err(|error| anyhow::anyhow!("the system gives no randomness: {error}"))?
        }
    };
    Ok(Identity {
        cluster_id,
        member_id,
        name: config.name.clone(),
        log_id: None,
    })
}

fn expect(config: &Config, tls: &Tls) -> anyhow::Result<Expected> {
    let (member_id, told_cluster_id) = match &config.identity_dir {
        Some(dir) => expected::read_directory(dir)?,
        None => (None, None),
    };
    let derived_cluster_id = match &config.bootstrap {
        Bootstrap::New { cluster_id, .. } | Bootstrap::Existing { cluster_id } => Some(*cluster_id),
        Bootstrap::Managed => None,
    };
    let certificate = tls.peer.as_ref().map(|peer| peer.own_name());
    Ok(Expected {
        member_id,
        told_cluster_id,
        certificate,
        derived_cluster_id,
    })
}
