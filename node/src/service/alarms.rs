//! Alarms and the quota that raises one of them.
//!
//! Must keep true: what needs room is refused before it is proposed once the quota is used up, and the alarm that
//! follows refuses it on every member until somebody clears it; what makes room is never refused for want of it. The
//! alarm of a full disk is another file's (`disk`).
//!
//! The quota counts the bytes of keys and of their history (`Reader::bytes`), not those of the engine's files: then
//! deleting and compacting makes room at once, and every member comes to the same figure.

use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_api::etcdserverpb::alarm_request::AlarmAction;
use kvorum_store::{Act, Command, Response, Who, bytes_needed};

use super::kv::unexpected;
use super::{Caller, Service};
use crate::raft::Answer;

impl Service {
    /// Lists, raises or clears alarms.
    ///
    /// # Errors
    /// While auth is on, the caller is nobody, or not root where something would change; no leader in time.
    pub async fn alarm(&self, caller: &Caller, request: pb::AlarmRequest) -> Result<pb::AlarmResponse, Refusal> {
        if request.action() == AlarmAction::Get {
            self.wait_linearizable().await?;
            self.permit(caller, Act::BeSomebody).await?;
            return Ok(pb::AlarmResponse {
                header: self.header(),
                alarms: self.inner.node.reader.alarms(request.alarm()),
            });
        }
        let who = self.who(caller).await?;
        match self.write(who, Command::Alarm(request)).await? {
            Response::Alarm(mut response) => {
                self.fill(&mut response.header);
                Ok(response)
            }
            other => unexpected("alarm", &other),
        }
    }

    /// The alarms that stand, by what this member knows.
    pub fn alarms(&self) -> Vec<pb::AlarmMember> {
        self.inner.node.reader.alarms(pb::AlarmType::None)
    }

    /// Raises an alarm in this member's name, unless it stands already.
    ///
    /// # Errors
    /// No leader in time.
    pub(super) async fn raise(&self, alarm: pb::AlarmType) -> Result<(), Refusal> {
        self.raise_for(self.inner.identity.member_id.get(), alarm).await
    }

    /// Raises an alarm in the name of any member, unless it stands already.
    ///
    /// # Errors
    /// No leader in time.
    pub(super) async fn raise_for(&self, member_id: u64, alarm: pb::AlarmType) -> Result<(), Refusal> {
        let standing = self.inner.node.reader.alarms(alarm);
        if standing.iter().any(|own| own.member_id == member_id) {
            return Ok(());
        }
        tracing::warn!("raising the alarm {} for member {member_id:016x}", alarm.as_str_name());
        let request = pb::AlarmRequest {
            action: AlarmAction::Activate.into(),
            member_id,
            alarm: alarm.into(),
        };
        // Not through `write`, which asks for room: an alarm needs none.
        let command = Command::Alarm(request).given_by(Who::Member);
        match self.propose(&command).await? {
            Answer::Command { response, revision: _ } => response.map(drop),
            Answer::Nothing => Ok(()),
        }
    }

    /// Refuses a command for which there is no room: on the disk, whose watch raises the alarm (`disk`), or in the quota, and
    /// then raises it.
    ///
    /// # Errors
    /// There is no room.
    pub(super) async fn demand_room(&self, command: &Command) -> Result<(), Refusal> {
        let needed = bytes_needed(command);
        if needed > 0 && self.inner.disk.is_scarce() {
            return Err(Refusal::NoSpace);
        }
        let Some(quota) = self.inner.quota_bytes else {
            return Ok(());
        };
        if needed == 0 || self.inner.node.reader.bytes().saturating_add(needed) < quota {
            return Ok(());
        }
        if let Err(refusal) = self.raise(pb::AlarmType::Nospace).await {
            tracing::warn!("the alarm NOSPACE could not be raised: {refusal}");
        }
        Err(Refusal::NoSpace)
    }
}

/// How etcd writes an alarm among the errors of a status.
pub(super) fn text(alarm: &pb::AlarmMember) -> String {
    format!("memberID:{} alarm:{}", alarm.member_id, alarm.alarm().as_str_name())
}
