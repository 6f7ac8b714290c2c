//! What `kvorum serve` was asked to do, as one typed value, checked once.
//!
//! What this file keeps true: a [`Config`] that exists makes sense as a whole; nothing after it re-reads a flag or
//! re-checks a limit; every refusal names the flag and says what is allowed.
//!
//! It deliberately opens no file, socket or directory: that a certificate exists is found out where it is loaded.

pub mod auth;
pub mod cluster;
pub mod limits;
pub mod settings;
pub mod space;
pub mod urls;

use std::path::PathBuf;
use std::time::Duration;

use crate::duration;
pub use auth::{AuthSettings, JwtSettings, TokenSettings};
pub use cluster::{Bootstrap, Founding, InitialMember, added_member_id};
pub use limits::Limits;
pub use settings::{Settings, SettingsError};
pub use space::Space;
pub use urls::{Advertised, Listen, Scheme};

/// Shortest heartbeat interval accepted: below it timers fire later than they are set.
pub const HEARTBEAT_MS_MIN: u64 = 10;
/// Longest election timeout accepted, as in etcd: a cluster that needs more is not one cluster.
pub const ELECTION_MS_MAX: u64 = 50_000;
/// An election timeout must be at least this many heartbeats, as in etcd, so that one lost packet elects nobody.
pub const ELECTION_HEARTBEATS_MIN: u64 = 5;
/// How long a watcher is left without a word by default, as in etcd.
pub const WATCH_PROGRESS_DEFAULT: Duration = Duration::from_secs(600);
/// Shortest such time, as in etcd.
pub const WATCH_PROGRESS_MIN: Duration = Duration::from_millis(100);
/// Longest member name: it is a DNS label in Kubernetes.
pub const NAME_BYTES_MAX: usize = 63;

/// Everything `kvorum serve` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Human name of this member, unique in the cluster.
    pub name: String,
    /// Directory that holds everything this member must not forget.
    pub data_dir: PathBuf,
    /// Directory with `member-id` and `cluster-id`, if someone keeps count of members outside.
    pub identity_dir: Option<PathBuf>,
    /// Where clients are served.
    pub listen_client: Vec<Listen>,
    /// Client URLs told to the cluster.
    pub advertise_client: Advertised,
    /// Where other members are served.
    pub listen_peer: Vec<Listen>,
    /// Peer URLs told to the cluster.
    pub advertise_peer: Advertised,
    /// Where probes and metrics are served, always plain text.
    pub listen_metrics: Vec<Listen>,
    /// Certificates of the client port; `None` when it is plain text.
    pub client_tls: Option<TlsFiles>,
    /// Whether a client without a certificate is turned away.
    pub client_cert_auth: bool,
    /// Certificates of the peer port; `None` when it is plain text. The CA is always present.
    pub peer_tls: Option<TlsFiles>,
    /// How this member comes to belong to a cluster.
    pub bootstrap: Bootstrap,
    /// The clockwork of elections.
    pub timing: Timing,
    /// How users are believed.
    pub auth: AuthSettings,
    /// How much is kept.
    pub space: Space,
    /// What one request may ask for.
    pub limits: Limits,
    /// After how long without an event a watcher is told how far it is, if it wants to know.
    pub watch_progress_interval: Duration,
    /// How the log is written.
    pub log: Log,
}

/// One port's certificate files. They are watched, and may change at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, leaf first (PEM).
    pub cert: PathBuf,
    /// Private key of the leaf (PEM).
    pub key: PathBuf,
    /// CA that the other side's certificates are checked against (PEM).
    pub ca: Option<PathBuf>,
}

/// The clockwork of elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Time between the leader's heartbeats.
    pub heartbeat: Duration,
    /// Time without a heartbeat before an election; each member adds up to as much again.
    pub election: Duration,
}

/// How the log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// A level, or `tracing` directives.
    pub level: String,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// Why the settings make no sense. The text names the flag and says what is allowed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{flag}: {reason}")]
pub struct ConfigError {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

impl ConfigError {
    pub(crate) fn new(flag: &'static str, reason: impl Into<String>) -> ConfigError {
        ConfigError {
            flag,
            reason: reason.into(),
        }
    }
}

impl Config {
    /// Checks the settings, fills in defaults, and gives the typed whole.
    ///
    /// # Errors
    /// The first setting that makes no sense, by itself or together with another.
    pub fn from_settings(settings: Settings) -> Result<Config, ConfigError> {
        let name = member_name(settings.name.as_deref())?;
        let insecure = settings.allow_insecure_listen.unwrap_or(false);
        let listen_client = urls::listen("--listen-client-urls", settings.listen_client_urls.as_deref(), 2379)?;
        let listen_peer = urls::listen("--listen-peer-urls", settings.listen_peer_urls.as_deref(), 2380)?;
        let listen_metrics = urls::listen("--listen-metrics-urls", settings.listen_metrics_urls.as_deref(), 2381)?;
        urls::demand_plain("--listen-metrics-urls", &listen_metrics)?;
        for (flag, listen) in [
            ("--listen-client-urls", &listen_client),
            ("--listen-peer-urls", &listen_peer),
        ] {
            urls::demand_one_scheme(flag, listen)?;
            urls::refuse_exposed_plain_text(flag, listen, insecure)?;
        }
        let advertise_client = urls::advertised(
            "--advertise-client-urls",
            settings.advertise_client_urls.as_deref(),
            &listen_client,
        )?;
        let advertise_peer = urls::advertised(
            "--initial-advertise-peer-urls",
            settings.initial_advertise_peer_urls.as_deref(),
            &listen_peer,
        )?;
        let bootstrap = cluster::bootstrap(&settings, &name, &advertise_peer)?;
        let client_tls = client_files(&settings, &listen_client)?;
        let peer_tls = peer_files(&settings, &listen_peer)?;
        Ok(Config {
            data_dir: settings
                .data_dir
                .clone()
                .unwrap_or_else(|| PathBuf::from(format!("{name}.kvorum"))),
            identity_dir: settings.identity_dir.clone(),
            client_cert_auth: client_cert_auth(&settings, client_tls.as_ref())?,
            bootstrap,
            timing: timing(&settings)?,
            auth: auth::auth(&settings)?,
            space: space::space(&settings)?,
            limits: limits::limits(&settings)?,
            watch_progress_interval: watch_progress_interval(&settings)?,
            log: log(&settings)?,
            name,
            listen_client,
            advertise_client,
            listen_peer,
            advertise_peer,
            listen_metrics,
            client_tls,
            peer_tls,
        })
    }
}

fn member_name(name: Option<&str>) -> Result<String, ConfigError> {
    let name = name.unwrap_or("default");
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(allowed) {
        let reason = format!(
            "{name:?} is not a member name: 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' and '.' are allowed"
        );
        return Err(ConfigError::new("--name", reason));
    }
    Ok(name.to_owned())
}

fn client_files(settings: &Settings, listen: &[Listen]) -> Result<Option<TlsFiles>, ConfigError> {
    let pair = certificate_pair(("--cert-file", &settings.cert_file), ("--key-file", &settings.key_file))?;
    let Some((cert, key)) = pair else {
        if urls::uses_tls(listen) {
            return Err(ConfigError::new(
                "--cert-file",
                "needed, with --key-file, for https:// in --listen-client-urls",
            ));
        }
        return Ok(None);
    };
    if !urls::uses_tls(listen) {
        return Err(ConfigError::new(
            "--cert-file",
            "has no effect: --listen-client-urls has no https:// address",
        ));
    }
    Ok(Some(TlsFiles {
        cert,
        key,
        ca: settings.trusted_ca_file.clone(),
    }))
}

fn peer_files(settings: &Settings, listen: &[Listen]) -> Result<Option<TlsFiles>, ConfigError> {
    let pair = certificate_pair(
        ("--peer-cert-file", &settings.peer_cert_file),
        ("--peer-key-file", &settings.peer_key_file),
    )?;
    let Some((cert, key)) = pair else {
        if urls::uses_tls(listen) {
            let reason = "needed, with --peer-key-file, for https:// in --listen-peer-urls";
            return Err(ConfigError::new("--peer-cert-file", reason));
        }
        return Ok(None);
    };
    if !urls::uses_tls(listen) {
        return Err(ConfigError::new(
            "--peer-cert-file",
            "has no effect: --listen-peer-urls has no https:// address",
        ));
    }
    let Some(ca) = settings.peer_trusted_ca_file.clone() else {
        return Err(ConfigError::new(
            "--peer-trusted-ca-file",
            "needed: members always check each other's certificates",
        ));
    };
    Ok(Some(TlsFiles {
        cert,
        key,
        ca: Some(ca),
    }))
}

type FileFlag<'a> = (&'static str, &'a Option<PathBuf>);

fn certificate_pair(cert: FileFlag<'_>, key: FileFlag<'_>) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (cert.1, key.1) {
        (Some(cert), Some(key)) => Ok(Some((cert.clone(), key.clone()))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::new(key.0, format!("needed, because {} is given", cert.0))),
        (None, Some(_)) => Err(ConfigError::new(cert.0, format!("needed, because {} is given", key.0))),
    }
}

fn client_cert_auth(settings: &Settings, tls: Option<&TlsFiles>) -> Result<bool, ConfigError> {
    let demanded = settings.client_cert_auth.unwrap_or(false);
    if demanded && tls.is_none_or(|files| files.ca.is_none()) {
        let reason = "needs https:// in --listen-client-urls and --trusted-ca-file";
        return Err(ConfigError::new("--client-cert-auth", reason));
    }
    Ok(demanded)
}

fn timing(settings: &Settings) -> Result<Timing, ConfigError> {
    let heartbeat_ms = settings.heartbeat_interval.unwrap_or(100);
    let election_ms = settings.election_timeout.unwrap_or(1000);
    if heartbeat_ms < HEARTBEAT_MS_MIN {
        let reason = format!("{heartbeat_ms} ms is too short: at least {HEARTBEAT_MS_MIN} ms");
        return Err(ConfigError::new("--heartbeat-interval", reason));
    }
    if election_ms > ELECTION_MS_MAX {
        let reason = format!("{election_ms} ms is too long: at most {ELECTION_MS_MAX} ms");
        return Err(ConfigError::new("--election-timeout", reason));
    }
    if heartbeat_ms.saturating_mul(ELECTION_HEARTBEATS_MIN) > election_ms {
        let reason = format!(
            "{election_ms} ms is too short: at least {ELECTION_HEARTBEATS_MIN} times --heartbeat-interval ({heartbeat_ms} ms)"
        );
        return Err(ConfigError::new("--election-timeout", reason));
    }
    Ok(Timing {
        heartbeat: Duration::from_millis(heartbeat_ms),
        election: Duration::from_millis(election_ms),
    })
}

fn watch_progress_interval(settings: &Settings) -> Result<Duration, ConfigError> {
    const FLAG: &str = "--watch-progress-notify-interval";
    let Some(text) = &settings.watch_progress_notify_interval else {
        return Ok(WATCH_PROGRESS_DEFAULT);
    };
    let interval = duration::parse(text).map_err(|reason| ConfigError::new(FLAG, reason))?;
    if interval < WATCH_PROGRESS_MIN {
        let reason = format!("{text} is too short: at least {WATCH_PROGRESS_MIN:?}");
        return Err(ConfigError::new(FLAG, reason));
    }
    Ok(interval)
}

fn log(settings: &Settings) -> Result<Log, ConfigError> {
    let format = match settings.log_format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            return Err(ConfigError::new(
                "--log-format",
                format!("{other:?}: text or json are allowed"),
            ));
        }
    };
    let level = settings.log_level.clone().unwrap_or_else(|| "info".to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&level) {
        let reason = format!("{level:?}: trace, debug, info, warn, error or tracing directives are allowed ({error})");
        return Err(ConfigError::new("--log-level", reason));
    }
    Ok(Log { format, level })
}

#[cfg(test)]
mod tests;
