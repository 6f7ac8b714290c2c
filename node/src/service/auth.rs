//! Users, roles and tokens: who a caller is, and etcd's calls that change or show it.
//!
//! Must keep true:
//! 1. A caller that shows a token or a certificate which is not believed is refused, never served as nobody.
//! 2. The caller's right to a write is checked when the write is applied (`kvorum_store`), with the identity that goes
//!    into the log; here it is only found out who calls.
//! 3. A password goes no further than this file: what is proposed is its hash, or that of a token.

mod people;

use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_store::auth::{Authenticate, ChangePassword, UserAdd};
use kvorum_store::{Act, AuthCommand, Command, Response, Who};
use tokio::time::timeout;

use super::kv::unexpected;
use super::{Caller, REQUEST_TIME_MAX, Service};
use crate::auth::TokenKind;
use crate::auth::simple::{Letters, Shown};

/// How often a password is checked again because users changed while it was being checked.
const AUTHENTICATE_TRIES_MAX: usize = 8;

type Header = Option<pb::ResponseHeader>;

impl Service {
    /// Who a caller is: by its token, or else, where that is asked for, by the common name of its certificate. While
    /// auth is off everybody is nobody, and may do everything.
    ///
    /// # Errors
    /// The token is not believed.
    pub async fn who(&self, caller: &Caller) -> Result<Who, Refusal> {
        if self.inner.node.reader.auth_status().0
            && let (Some(token), TokenKind::Simple(_)) = (&caller.token, &self.inner.believer.tokens)
        {
            self.wait_for_token(token).await?;
        }
        self.who_now(caller)
    }

    /// As [`Service::who`], by what this member knows at once: a token that another member has just given may not be
    /// known yet.
    ///
    /// # Errors
    /// As [`Service::who`].
    pub fn who_now(&self, caller: &Caller) -> Result<Who, Refusal> {
        let (enabled, auth_revision) = self.inner.node.reader.auth_status();
        match (&caller.token, &self.inner.believer.tokens) {
            (Some(token), TokenKind::Simple(tokens)) if enabled => {
                let shown = Shown::parse(token).ok_or(Refusal::InvalidAuthToken)?;
                let name = tokens.user_of(&shown).ok_or(Refusal::InvalidAuthToken)?;
                Ok(Who::User { name, auth_revision })
            }
            (Some(token), TokenKind::Jwt(jwt)) if enabled => {
                let (name, auth_revision) = jwt.check(token).ok_or(Refusal::InvalidAuthToken)?;
                Ok(Who::User { name, auth_revision })
            }
            (Some(_), _) => Ok(Who::Nobody),
            (None, _) => Ok(self.who_by_certificate(caller)),
        }
    }

    fn who_by_certificate(&self, caller: &Caller) -> Who {
        let (enabled, auth_revision) = self.inner.node.reader.auth_status();
        let name = caller.common_name.as_ref().filter(|name| !name.is_empty());
        match name {
            Some(name) if enabled && self.inner.believer.certificates => Who::User {
                name: name.clone(),
                auth_revision,
            },
            Some(_) | None => Who::Nobody,
        }
    }

    /// Waits until this member has applied as much as a token needs, however long it lags.
    async fn wait_for_token(&self, token: &str) -> Result<(), Refusal> {
        let shown = Shown::parse(token).ok_or(Refusal::InvalidAuthToken)?;
        let mut applied = self.inner.node.applied.clone();
        // Another member may have made it known; this one answers once it has applied as much.
        match timeout(REQUEST_TIME_MAX, applied.wait_for(|at| *at >= shown.index)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Refusal::Stopped),
            Err(_) => Err(Refusal::InvalidAuthToken),
        }
    }

    /// Refuses what a caller may not do, by what this member knows now. For calls that are neither writes, which are
    /// checked when they are applied, nor ranges, which are checked by the state they read.
    ///
    /// # Errors
    /// The token is not believed, or its user may not do this.
    pub async fn permit(&self, caller: &Caller, act: Act<'_>) -> Result<Who, Refusal> {
        let who = self.who(caller).await?;
        self.inner.node.reader.permits(&who, act)?;
        Ok(who)
    }

    /// Switches auth on.
    ///
    /// # Errors
    /// There is no user `root` with the role `root`, or the caller has not that role.
    pub async fn auth_enable(
        &self,
        caller: &Caller,
        _: pb::AuthEnableRequest,
    ) -> Result<pb::AuthEnableResponse, Refusal> {
        let header = self.manage(caller, AuthCommand::Enable).await?;
        Ok(pb::AuthEnableResponse { header })
    }

    /// Switches auth off.
    ///
    /// # Errors
    /// The caller has not the role `root`.
    pub async fn auth_disable(
        &self,
        caller: &Caller,
        _: pb::AuthDisableRequest,
    ) -> Result<pb::AuthDisableResponse, Refusal> {
        let header = self.manage(caller, AuthCommand::Disable).await?;
        Ok(pb::AuthDisableResponse { header })
    }

    /// Whether auth is on; anybody may ask.
    ///
    /// # Errors
    /// No leader can confirm it.
    pub async fn auth_status(&self, _: &Caller, _: pb::AuthStatusRequest) -> Result<pb::AuthStatusResponse, Refusal> {
        self.wait_linearizable().await?;
        let (enabled, auth_revision) = self.inner.node.reader.auth_status();
        Ok(pb::AuthStatusResponse {
            header: self.header(),
            enabled,
            auth_revision,
        })
    }

    /// Gives a token for a password.
    ///
    /// # Errors
    /// The password is wrong, or auth is off.
    pub async fn authenticate(
        &self,
        _: &Caller,
        request: pb::AuthenticateRequest,
    ) -> Result<pb::AuthenticateResponse, Refusal> {
        let pb::AuthenticateRequest { name, password } = request;
        self.wait_linearizable().await?;
        let reader = &self.inner.node.reader;
        for _ in 0..AUTHENTICATE_TRIES_MAX {
            if !reader.auth_status().0 {
                return Err(Refusal::AuthNotEnabled);
            }
            let (credential, auth_revision) = reader.credential(&name);
            self.inner
                .believer
                .passwords
                .check(password.clone(), credential)
                .await?;
            match self.token(&name, auth_revision).await {
                // Users or roles changed meanwhile, and with them perhaps the password.
                Err(Refusal::AuthOldRevision) => {}
                token => {
                    return Ok(pb::AuthenticateResponse {
                        token: token?,
                        header: self.header(),
                    });
                }
            }
        }
        Err(Refusal::AuthOldRevision)
    }

    async fn token(&self, name: &str, auth_revision: u64) -> Result<String, Refusal> {
        if let TokenKind::Jwt(jwt) = &self.inner.believer.tokens {
            return jwt.sign(name, auth_revision);
        }
        let letters = Letters::draw().map_err(|error| {
            tracing::error!("no token can be made: {error}");
            Refusal::AuthFailed
        })?;
        let command = Command::Auth(AuthCommand::Authenticate(Authenticate {
            name: name.to_owned(),
            auth_revision,
            token_hash: letters.hash(),
        }));
        match self.write(Who::Nobody, command).await? {
            Response::Authenticated { index } => Ok(letters.token(index)),
            other => unexpected("authentication", &other),
        }
    }

    /// Adds a user.
    ///
    /// # Errors
    /// There is one of that name, the password is too long, or the caller has not the role `root`.
    pub async fn user_add(
        &self,
        caller: &Caller,
        request: pb::AuthUserAddRequest,
    ) -> Result<pb::AuthUserAddResponse, Refusal> {
        let no_password = request.options.is_some_and(|options| options.no_password);
        // As in etcd, the server hashes: a hash that came along is not believed here.
        let password_hash = if no_password {
            bytes::Bytes::new()
        } else {
            self.hash_password(caller, request.password).await?
        };
        let command = AuthCommand::UserAdd(UserAdd {
            name: request.name,
            password_hash,
            no_password,
        });
        let header = self.manage(caller, command).await?;
        Ok(pb::AuthUserAddResponse { header })
    }

    /// Replaces a user's password.
    ///
    /// # Errors
    /// There is no such user, the password is too long, or the caller has not the role `root`.
    pub async fn user_change_password(
        &self,
        caller: &Caller,
        request: pb::AuthUserChangePasswordRequest,
    ) -> Result<pb::AuthUserChangePasswordResponse, Refusal> {
        let pb::AuthUserChangePasswordRequest {
            name,
            password,
            hashed_password,
        } = request;
        let password_hash = if password.is_empty() {
            let hash = base64_simd::STANDARD.decode_to_vec(hashed_password);
            hash.map_err(|_| Refusal::NoPasswordUser)?.into()
        } else {
            self.hash_password(caller, password).await?
        };
        let command = AuthCommand::ChangePassword(ChangePassword { name, password_hash });
        let header = self.manage(caller, command).await?;
        Ok(pb::AuthUserChangePasswordResponse { header })
    }

    /// Hashing is dear, so it is only done for those who may.
    async fn hash_password(&self, caller: &Caller, password: String) -> Result<bytes::Bytes, Refusal> {
        self.wait_linearizable().await?;
        self.permit(caller, Act::Administer).await?;
        self.inner.believer.passwords.hash(password).await
    }

    /// Proposes a change of users or roles.
    pub(super) async fn manage(&self, caller: &Caller, command: AuthCommand) -> Result<Header, Refusal> {
        let who = self.who(caller).await?;
        match self.write(who, Command::Auth(command)).await? {
            Response::Auth => Ok(self.header()),
            other => unexpected("change of users", &other),
        }
    }
}
