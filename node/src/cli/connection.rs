//! Where the cluster is and how to speak to it: flags, then `KVORUM_…`, then etcdctl's `ETCDCTL_…`, then defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::ValueEnum as _;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use kvorum_client::{Client, Config, Repeat, TIMEOUT_DEFAULT, Tls};

use super::{Failure, Format, password};
use crate::duration;

/// The endpoint when none is named; etcdctl's default too.
const ENDPOINT_DEFAULT: &str = "127.0.0.1:2379";

/// Flags of every command that talks to a cluster. Each may also stand before the name of the command.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection and output")]
pub struct Global {
    /// Members to talk to, comma separated; others are tried when one does not answer.
    /// [env: KVORUM_ENDPOINTS, ETCDCTL_ENDPOINTS] [default: 127.0.0.1:2379]
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    endpoints: Option<Vec<String>>,
    /// Certificate of the cluster's authority, PEM; makes https the default scheme.
    /// [env: KVORUM_CACERT, ETCDCTL_CACERT]
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Own certificate, PEM. [env: KVORUM_CERT, ETCDCTL_CERT]
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Key of the own certificate, PEM. [env: KVORUM_KEY, ETCDCTL_KEY]
    // Its id differs from its name because the keys of the store have that one.
    #[arg(id = "private_key", long = "key", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Time for the whole command. [env: KVORUM_COMMAND_TIMEOUT, ETCDCTL_COMMAND_TIMEOUT] [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    command_timeout: Option<Duration>,
    /// Who asks, name or name:password; without a password it is asked for. [env: KVORUM_USER, ETCDCTL_USER]
    // Its id differs from its name because commands about users have an argument of that name.
    #[arg(id = "asking_user", long = "user", value_name = "USER")]
    user: Option<String>,
    /// The user's password, which others on this machine can see here. [env: KVORUM_PASSWORD, ETCDCTL_PASSWORD]
    #[arg(long, value_name = "PASSWORD", requires = "asking_user")]
    password: Option<Secret>,
    /// How to print. [env: KVORUM_WRITE_OUT, ETCDCTL_WRITE_OUT] [default: simple]
    #[arg(
        short = 'w',
        visible_short_alias = 'o',
        long,
        visible_alias = "output",
        value_name = "FORMAT",
        value_enum
    )]
    pub(super) write_out: Option<Format>,
}

/// A password, which is never printed.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("…")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Global {
    /// These flags, completed by others.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            endpoints: self.endpoints.or(other.endpoints),
            cacert: self.cacert.or(other.cacert),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
            command_timeout: self.command_timeout.or(other.command_timeout),
            user: self.user.or(other.user),
            password: self.password.or(other.password),
            write_out: self.write_out.or(other.write_out),
        }
    }
}

/// A client, and how to print what it brings.
pub(super) struct Connection {
    pub(super) client: Client,
    /// What the client was made of, for those who need another kind of client.
    pub(super) config: Config,
    pub(super) format: Format,
}

impl Connection {
    /// Fills gaps in the flags from variables, reads the certificates, and makes the client; a user named in the flags has
    /// shown who he is.
    pub(super) async fn open(flags: Global, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        let settings = complete(flags, variable)?;
        let unknown = Self::with_token(&settings, None)?;
        let Some(user) = &settings.user else {
            return Ok(unknown);
        };
        let (name, password) = match (user.split_once(':'), &settings.password) {
            (_, Some(password)) => (user.as_str(), password.0.clone()),
            (Some((name, password)), None) => (name, password.to_owned()),
            (None, None) => (user.as_str(), password::of(user)?),
        };
        let request = AuthenticateRequest {
            name: name.to_owned(),
            password,
        };
        let answer: Result<AuthenticateResponse, _> = unknown
            .client
            .call("/v3/auth/authenticate", &request, Repeat::Freely)
            .await;
        match answer {
            Ok(answer) => Self::with_token(&settings, Some(answer.token)),
            // As etcdctl: a name is no mistake where nobody asks for one.
            Err(error) if error.refusal() == Some(Refusal::AuthNotEnabled) => Ok(unknown),
            Err(error) => Err(error.into()),
        }
    }

    fn with_token(settings: &Global, token: Option<String>) -> Result<Self, Failure> {
        let tls = match (&settings.cacert, &settings.cert, &settings.key) {
            (None, None, None) => None,
            (Some(ca), None, None) => Some(Tls {
                ca_pem: read(ca)?,
                identity: None,
            }),
            (Some(ca), Some(cert), Some(key)) => Some(Tls {
                ca_pem: read(ca)?,
                identity: Some((read(cert)?, read(key)?)),
            }),
            (None, _, _) => return Err(Failure::Usage("--cert and --key need --cacert as well".to_owned())),
            (Some(_), _, _) => return Err(Failure::Usage("--cert and --key go together".to_owned())),
        };
        let config = Config {
            endpoints: settings
                .endpoints
                .clone()
                .unwrap_or_else(|| vec![ENDPOINT_DEFAULT.to_owned()]),
            tls,
            timeout: settings.command_timeout.unwrap_or(TIMEOUT_DEFAULT),
            token,
        };
        Ok(Self {
            client: Client::new(config.clone())?,
            config,
            format: settings.write_out.unwrap_or_default(),
        })
    }
}

/// The flags with their gaps filled from variables.
fn complete(flags: Global, variable: impl Fn(&str) -> Option<OsString>) -> Result<Global, Failure> {
    let own = from_variables("KVORUM", &variable)?;
    let etcdctl = from_variables("ETCDCTL", &variable)?;
    Ok(flags.or(own).or(etcdctl))
}

fn from_variables(prefix: &str, variable: &impl Fn(&str) -> Option<OsString>) -> Result<Global, Failure> {
    // An empty variable counts as absent, as people unset variables that way.
    let path = |name| {
        variable(&format!("{prefix}_{name}"))
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let text = |name| {
        path(name)
            .map(|value| value.into_os_string().into_string())
            .transpose()
            .map_err(|_| Failure::Usage(format!("{prefix}_{name} is no text")))
    };
    let wrong = |name: &str, reason: String| Failure::Usage(format!("{prefix}_{name}: {reason}"));
    Ok(Global {
        endpoints: text("ENDPOINTS")?.map(|list| list.split(',').map(|endpoint| endpoint.trim().to_owned()).collect()),
        cacert: path("CACERT"),
        user: text("USER")?,
        password: text("PASSWORD")?.map(Secret),
        cert: path("CERT"),
        key: path("KEY"),
        command_timeout: text("COMMAND_TIMEOUT")?
            .map(|text| duration::parse(&text).map_err(|reason| wrong("COMMAND_TIMEOUT", reason)))
            .transpose()?,
        write_out: text("WRITE_OUT")?
            .map(|text| Format::from_str(&text, true).map_err(|reason| wrong("WRITE_OUT", reason)))
            .transpose()?,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|source| Failure::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn variable(name: &str) -> Option<OsString> {
        let value = match name {
            "KVORUM_ENDPOINTS" => "a:1, b:2",
            "KVORUM_CERT" => "",
            "ETCDCTL_ENDPOINTS" => "c:3",
            "ETCDCTL_CERT" => "/etc/cert",
            "ETCDCTL_COMMAND_TIMEOUT" => "250ms",
            "ETCDCTL_WRITE_OUT" => "JSON",
            _ => return None,
        };
        Some(value.into())
    }

    #[test]
    fn own_variables_win_over_etcdctls_and_flags_over_both() {
        let flags = Global {
            key: Some("k".into()),
            write_out: Some(Format::Table),
            ..Global::default()
        };
        let settings = complete(flags, variable).unwrap();
        assert_eq!(settings.endpoints.unwrap(), ["a:1", "b:2"]);
        assert_eq!(
            settings.cert.unwrap(),
            Path::new("/etc/cert"),
            "an empty variable is no variable"
        );
        assert_eq!(settings.key.unwrap(), Path::new("k"));
        assert_eq!(settings.command_timeout, Some(Duration::from_millis(250)));
        assert_eq!(settings.write_out, Some(Format::Table));
    }

    #[test_case(&[("KVORUM_COMMAND_TIMEOUT", "soon")], "KVORUM_COMMAND_TIMEOUT: \"soon\" is no duration; write for example 5s, 500ms or 1m30s"; "duration")]
    #[test_case(&[("ETCDCTL_WRITE_OUT", "loud")], "ETCDCTL_WRITE_OUT: invalid variant: loud"; "format")]
    #[test_case(&[("KVORUM_CERT", "c"), ("KVORUM_KEY", "k")], "--cert and --key need --cacert as well"; "no authority")]
    #[test_case(&[("KVORUM_CACERT", "/"), ("KVORUM_KEY", "k")], "--cert and --key go together"; "key alone")]
    #[test_case(&[("KVORUM_ENDPOINTS", "https://a:1")], "endpoint https://a:1 uses https, which needs the certificate of the cluster's authority"; "https without authority")]
    #[test_case(&[("KVORUM_ENDPOINTS", "ftp://a")], "endpoint \"ftp://a\" is not like https://host:2379"; "bad endpoint")]
    #[test_case(&[("KVORUM_CACERT", "/nowhere/ca.crt")], "cannot read /nowhere/ca.crt: No such file or directory (os error 2)"; "missing file")]
    fn nonsense(variables: &'static [(&str, &str)], expected: &str) {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        };
        let failure = complete(Global::default(), lookup)
            .and_then(|settings| Connection::with_token(&settings, None))
            .err()
            .unwrap();
        assert_eq!(failure.message().unwrap(), expected);
        assert_eq!(failure.exit_code(), 2);
    }
}
