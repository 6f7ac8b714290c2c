//! What readers may know of users, roles and alarms.

use super::Reader;
use crate::auth::{self, Act, Credential, Who};
use crate::hash::Fingerprint;
use kvorum_api::authpb::Permission;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::{AlarmMember, AlarmType};

impl Reader {
    /// Refuses what the caller may not do, by the newest published state.
    ///
    /// For a read, prefer [`Reader::range_for`] and [`Reader::txn_for`], which check and read one and the same state.
    ///
    /// # Errors
    /// The refusal, as etcd gives it.
    pub fn permits(&self, who: &Who, act: Act<'_>) -> Result<(), Refusal> {
        let state = self.shared.published();
        auth::check(&state.auth, &state.leases, who, act)
    }

    /// Whether auth is on, and the auth revision.
    #[must_use]
    pub fn auth_status(&self) -> (bool, u64) {
        let state = self.shared.published();
        (state.auth.is_enabled(), state.auth.revision())
    }

    /// The auth revision, and the hash of users and roles at it, by which members compare themselves.
    #[must_use]
    pub fn auth_hash(&self) -> (u64, Fingerprint) {
        let state = self.shared.published();
        (state.auth.revision(), state.auth.hash())
    }

    /// What a user of this name must show, and the auth revision at which that is so.
    #[must_use]
    pub fn credential(&self, name: &str) -> (Credential, u64) {
        let state = self.shared.published();
        (state.auth.credential(name), state.auth.revision())
    }

    /// The roles of a user, in order.
    ///
    /// # Errors
    /// The caller may not see the user, or there is none.
    pub fn user_roles(&self, who: &Who, name: &str) -> Result<Vec<String>, Refusal> {
        let state = self.shared.published();
        auth::check(&state.auth, &state.leases, who, Act::SeeUser(name))?;
        let user = state.auth.user(name).ok_or(Refusal::UserNotFound)?;
        Ok(user.roles.clone())
    }

    /// The permissions of a role.
    ///
    /// # Errors
    /// The caller may not see the role, or there is none.
    pub fn role_permissions(&self, who: &Who, role: &str) -> Result<Vec<Permission>, Refusal> {
        let state = self.shared.published();
        auth::check(&state.auth, &state.leases, who, Act::SeeRole(role))?;
        state.auth.permissions(role).ok_or(Refusal::RoleNotFound)
    }

    /// The names of all users, in order.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn users(&self, who: &Who) -> Result<Vec<String>, Refusal> {
        let state = self.shared.published();
        auth::check(&state.auth, &state.leases, who, Act::Administer)?;
        Ok(state.auth.users().map(|(name, _)| name.to_owned()).collect())
    }

    /// The names of all roles, in order.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn roles(&self, who: &Who) -> Result<Vec<String>, Refusal> {
        let state = self.shared.published();
        auth::check(&state.auth, &state.leases, who, Act::Administer)?;
        Ok(state.auth.roles().map(|(name, _)| name.to_owned()).collect())
    }

    /// The alarms of a kind that stand; all of them for [`AlarmType::None`].
    #[must_use]
    pub fn alarms(&self, kind: AlarmType) -> Vec<AlarmMember> {
        self.shared.published().alarms.list(kind)
    }

    /// Whether a member has said of its disk that there is no room left, and nothing else since.
    #[must_use]
    pub fn is_disk_full(&self, member_id: u64) -> bool {
        self.shared.published().alarms.is_disk_full(member_id)
    }
}
