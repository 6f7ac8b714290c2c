//! The words of auth and alarms. `alice: put k v` is a put by alice at the current auth revision, `alice@3: …` by one
//! whose rights were looked at in revision 3, `member: …` by the cluster itself; without a name nobody is behind it.

use crate::words;
use kvorum_api::authpb::{Permission, permission::Type};
use kvorum_api::etcdserverpb::alarm_request::AlarmAction;
use kvorum_api::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmType, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGrantPermissionRequest,
    AuthRoleRevokePermissionRequest, AuthUserDeleteRequest, AuthUserGrantRoleRequest, AuthUserRevokeRoleRequest,
};
use kvorum_store::auth::{Authenticate, ChangePassword, UserAdd};
use kvorum_store::{Act, AuthCommand, Command, Reader, Refusal, Tokens, Who};
use std::error::Error;

type Parsed<T> = Result<T, Box<dyn Error>>;

/// The caller that a prefix names.
pub(crate) fn who(prefix: Option<&str>, current: u64) -> Parsed<Who> {
    let Some(prefix) = prefix else { return Ok(Who::Nobody) };
    if prefix == "member" {
        return Ok(Who::Member);
    }
    let (name, auth_revision) = match prefix.split_once('@') {
        Some((name, revision)) => (name, revision.parse()?),
        None => (prefix, current),
    };
    Ok(Who::User {
        name: name.to_owned(),
        auth_revision,
    })
}

/// The command of a line, if it is one of auth or alarms.
pub(crate) fn command(name: &str, parts: &[&str]) -> Parsed<Option<Command>> {
    let word = |at: usize| {
        parts
            .get(at)
            .map_or("", |word| if *word == "empty" { "" } else { word })
    };
    let text = |at: usize| word(at).to_owned();
    let command = match name {
        "auth_enable" => AuthCommand::Enable,
        "auth_disable" => AuthCommand::Disable,
        "user_add" => AuthCommand::UserAdd(UserAdd {
            name: text(0),
            password_hash: words::bytes(word(1)),
            no_password: parts.contains(&"no_password"),
        }),
        "user_delete" => AuthCommand::UserDelete(AuthUserDeleteRequest { name: text(0) }),
        "change_password" => AuthCommand::ChangePassword(ChangePassword {
            name: text(0),
            password_hash: words::bytes(word(1)),
        }),
        "grant_role" => AuthCommand::UserGrantRole(AuthUserGrantRoleRequest {
            user: text(0),
            role: text(1),
        }),
        "revoke_role" => AuthCommand::UserRevokeRole(AuthUserRevokeRoleRequest {
            name: text(0),
            role: text(1),
        }),
        "role_add" => AuthCommand::RoleAdd(AuthRoleAddRequest { name: text(0) }),
        "role_delete" => AuthCommand::RoleDelete(AuthRoleDeleteRequest { role: text(0) }),
        "permit" => AuthCommand::RoleGrantPermission(AuthRoleGrantPermissionRequest {
            name: text(0),
            perm: permission(&parts[1..])?,
        }),
        "forbid" => AuthCommand::RoleRevokePermission(AuthRoleRevokePermissionRequest {
            role: text(0),
            key: words::bytes(word(1)),
            range_end: words::bytes(word(2)),
        }),
        "authenticate" => AuthCommand::Authenticate(Authenticate {
            name: text(0),
            auth_revision: word(1).parse()?,
            token_hash: words::bytes(word(2)),
        }),
        "alarm" => return alarm(parts).map(|request| Some(Command::Alarm(request))),
        "disk" => return disk(parts).map(Some),
        _ => return Ok(None),
    };
    Ok(Some(Command::Auth(command)))
}

/// `read|write|readwrite key [range end]`, or nothing.
fn permission(parts: &[&str]) -> Parsed<Option<Permission>> {
    let Some((kind, keys)) = parts.split_first() else {
        return Ok(None);
    };
    let perm_type = match *kind {
        "read" => Type::Read,
        "write" => Type::Write,
        "readwrite" => Type::Readwrite,
        other => return Err(format!("no permission {other}").into()),
    };
    let key = |at: usize| keys.get(at).map(|word| words::bytes(word)).unwrap_or_default();
    Ok(Some(Permission {
        perm_type: perm_type.into(),
        key: key(0),
        range_end: key(1),
    }))
}

/// `raise|clear nospace|corrupt|none member`
fn alarm(parts: &[&str]) -> Parsed<AlarmRequest> {
    let [action, kind, member] = parts else {
        return Err("action kind member".into());
    };
    let action = match *action {
        "raise" => AlarmAction::Activate,
        "clear" => AlarmAction::Deactivate,
        other => return Err(format!("no action {other}").into()),
    };
    Ok(AlarmRequest {
        action: action.into(),
        member_id: member.parse()?,
        alarm: alarm_kind(kind)?.into(),
    })
}

/// `full|roomy member`
fn disk(parts: &[&str]) -> Parsed<Command> {
    let full = match parts.first() {
        Some(&"full") => true,
        Some(&"roomy") => false,
        _ => return Err("full or roomy".into()),
    };
    let member_id = parts.get(1).ok_or("which member")?.parse()?;
    Ok(Command::Disk { member_id, full })
}

fn alarm_kind(word: &str) -> Parsed<AlarmType> {
    match word {
        "nospace" => Ok(AlarmType::Nospace),
        "corrupt" => Ok(AlarmType::Corrupt),
        "none" => Ok(AlarmType::None),
        other => Err(format!("no alarm {other}").into()),
    }
}

/// The answer to a question about users, roles and alarms, if the line is one.
pub(crate) fn read(reader: &Reader, who: &Who, name: &str, parts: &[&str]) -> Option<Parsed<String>> {
    let word = parts.first().copied().unwrap_or_default();
    let list = |names: Result<Vec<String>, Refusal>| match names {
        Ok(names) => format!("{}\n", names.join(" ")),
        Err(refusal) => words::refused(refusal),
    };
    Some(Ok(match name {
        "auth" => {
            let (enabled, revision) = reader.auth_status();
            format!("{} at {revision}\n", if enabled { "on" } else { "off" })
        }
        "user" => list(reader.user_roles(who, word)),
        "users" => list(reader.users(who)),
        "roles" => list(reader.roles(who)),
        "role" => match reader.role_permissions(who, word) {
            Ok(permissions) => permissions.iter().map(shown).collect(),
            Err(refusal) => words::refused(refusal),
        },
        "credential" => format!("{:?}\n", reader.credential(word).0),
        "alarms" => alarms(&reader.alarms(AlarmType::None)),
        "may" => may(reader, who, parts),
        _ => return None,
    }))
}

/// `may read key [end]`, `may use lease`, `may see lease`, `may be`, `may administer`, `may list`
fn may(reader: &Reader, who: &Who, parts: &[&str]) -> String {
    let word = |at: usize| parts.get(at).map(|word| words::bytes(word)).unwrap_or_default();
    let id = || parts.get(1).and_then(|id| id.parse().ok()).unwrap_or_default();
    let (key, range_end) = (word(1), word(2));
    let act = match parts.first().copied().unwrap_or_default() {
        "read" => Act::Read {
            key: &key,
            range_end: &range_end,
        },
        "use" => Act::UseLease(id()),
        "see" => Act::SeeLease(id()),
        "list" => Act::SeeLeases,
        "administer" => Act::Administer,
        _ => Act::BeSomebody,
    };
    match reader.permits(who, act) {
        Ok(()) => "yes\n".into(),
        Err(refusal) => words::refused(refusal),
    }
}

fn shown(permission: &Permission) -> String {
    let kind = permission.perm_type().as_str_name();
    let (key, end) = (permission.key.escape_ascii(), permission.range_end.escape_ascii());
    format!("{kind} [{key}] [{end}]\n")
}

/// Alarms, one per line.
pub(crate) fn alarms(alarms: &[AlarmMember]) -> String {
    let line = |own: &AlarmMember| format!("alarm {} on {}\n", own.alarm().as_str_name(), own.member_id);
    if alarms.is_empty() {
        "no alarm\n".into()
    } else {
        alarms.iter().map(line).collect()
    }
}

/// What members do about tokens.
pub(crate) fn tokens(tokens: &Tokens) -> String {
    format!("tokens {tokens:?}\n")
}
