//! The settings of `kvorum serve` as people write them: flags, `KVORUM_…` variables, a YAML file.
//!
//! Every setting exists in all three places under one name, and the nearest wins: flag, then variable, then file, then
//! the default. This file only collects text; what is allowed is decided once, in `config::Config::from_settings`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

/// How `kvorum serve` is configured. Names are etcd's where the thing is the same.
///
/// Every field is an `Option` so that "not said" can be told from "said to be the default": only then can a file stand
/// behind a flag.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// YAML file with the same names as these flags; flags and KVORUM_… variables win over it.
    #[arg(long, env = "KVORUM_CONFIG_FILE", value_name = "FILE")]
    #[serde(skip)]
    pub config_file: Option<PathBuf>,

    /// Human name of this member, unique in the cluster [default: default].
    #[arg(long, env = "KVORUM_NAME")]
    pub name: Option<String>,
    /// Directory that holds everything this member must not forget [default: <name>.kvorum].
    #[arg(long, env = "KVORUM_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Directory with the files `member-id` and `cluster-id` that say who this member is expected to be.
    #[arg(long, env = "KVORUM_IDENTITY_DIR", value_name = "DIR")]
    pub identity_dir: Option<PathBuf>,

    /// Addresses for clients, comma separated [default: http://127.0.0.1:2379].
    #[arg(long, env = "KVORUM_LISTEN_CLIENT_URLS", value_name = "URLS")]
    pub listen_client_urls: Option<String>,
    /// Client addresses to tell the cluster about [default: the listening ones].
    #[arg(long, env = "KVORUM_ADVERTISE_CLIENT_URLS", value_name = "URLS")]
    pub advertise_client_urls: Option<String>,
    /// Addresses for other members, comma separated [default: http://127.0.0.1:2380].
    #[arg(long, env = "KVORUM_LISTEN_PEER_URLS", value_name = "URLS")]
    pub listen_peer_urls: Option<String>,
    /// Peer addresses to tell the cluster about [default: the listening ones].
    #[arg(long, env = "KVORUM_INITIAL_ADVERTISE_PEER_URLS", value_name = "URLS")]
    pub initial_advertise_peer_urls: Option<String>,
    /// Addresses for probes and metrics: plain text, no data [default: http://127.0.0.1:2381].
    #[arg(long, env = "KVORUM_LISTEN_METRICS_URLS", value_name = "URLS")]
    pub listen_metrics_urls: Option<String>,
    /// Allow plain-text http:// for clients and peers on addresses other than loopback (for tests).
    #[arg(long, env = "KVORUM_ALLOW_INSECURE_LISTEN", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_insecure_listen: Option<bool>,

    /// Members of a new cluster: name=url,name=url [default: <name>=<advertised peer URLs>].
    #[arg(long, env = "KVORUM_INITIAL_CLUSTER", value_name = "MEMBERS")]
    pub initial_cluster: Option<String>,
    /// new: form the cluster; existing: wait to be added; managed: wait for the operator [default: new].
    #[arg(long, env = "KVORUM_INITIAL_CLUSTER_STATE", value_name = "STATE")]
    pub initial_cluster_state: Option<String>,
    /// Text the cluster id is derived from, the same on all members [default: kvorum-cluster].
    #[arg(long, env = "KVORUM_INITIAL_CLUSTER_TOKEN", value_name = "TOKEN")]
    pub initial_cluster_token: Option<String>,

    /// Certificate chain shown to clients (PEM).
    #[arg(long, env = "KVORUM_CERT_FILE", value_name = "FILE")]
    pub cert_file: Option<PathBuf>,
    /// Private key of --cert-file (PEM).
    #[arg(long, env = "KVORUM_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// CA that client certificates are checked against (PEM).
    #[arg(long, env = "KVORUM_TRUSTED_CA_FILE", value_name = "FILE")]
    pub trusted_ca_file: Option<PathBuf>,
    /// Turn away clients without a certificate.
    #[arg(long, env = "KVORUM_CLIENT_CERT_AUTH", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub client_cert_auth: Option<bool>,
    /// Certificate chain shown to other members (PEM).
    #[arg(long, env = "KVORUM_PEER_CERT_FILE", value_name = "FILE")]
    pub peer_cert_file: Option<PathBuf>,
    /// Private key of --peer-cert-file (PEM).
    #[arg(long, env = "KVORUM_PEER_KEY_FILE", value_name = "FILE")]
    pub peer_key_file: Option<PathBuf>,
    /// CA that other members' certificates are checked against (PEM).
    #[arg(long, env = "KVORUM_PEER_TRUSTED_CA_FILE", value_name = "FILE")]
    pub peer_trusted_ca_file: Option<PathBuf>,

    /// How users are believed after their password: simple, or jwt,sign-method=…,priv-key=…,pub-key=…,ttl=… [default: simple].
    #[arg(long, env = "KVORUM_AUTH_TOKEN", value_name = "KIND")]
    pub auth_token: Option<String>,
    /// Seconds that a simple token lives unused [default: 300].
    #[arg(long, env = "KVORUM_AUTH_TOKEN_TTL", value_name = "SECONDS")]
    pub auth_token_ttl: Option<u64>,
    /// Rounds of bcrypt for new passwords, as a power of two: 4 to 31 [default: 10].
    #[arg(long, env = "KVORUM_BCRYPT_COST", value_name = "COST")]
    pub bcrypt_cost: Option<u32>,

    /// Milliseconds between the leader's heartbeats [default: 100].
    #[arg(long, env = "KVORUM_HEARTBEAT_INTERVAL", value_name = "MS")]
    pub heartbeat_interval: Option<u64>,
    /// Milliseconds without a heartbeat before an election [default: 1000].
    #[arg(long, env = "KVORUM_ELECTION_TIMEOUT", value_name = "MS")]
    pub election_timeout: Option<u64>,
    /// Largest request accepted, in bytes [default: 1572864].
    #[arg(long, env = "KVORUM_MAX_REQUEST_BYTES", value_name = "BYTES")]
    pub max_request_bytes: Option<u64>,
    /// Largest number of operations in one transaction [default: 128].
    #[arg(long, env = "KVORUM_MAX_TXN_OPS", value_name = "COUNT")]
    pub max_txn_ops: Option<u32>,
    /// Most connections of clients at once, as far as the limit of open files allows [default: 16384].
    #[arg(long, env = "KVORUM_MAX_CONNECTIONS", value_name = "COUNT")]
    pub max_connections: Option<u32>,
    /// Most bytes of requests held at once; further ones are refused [default: 268435456].
    #[arg(long, env = "KVORUM_MAX_REQUESTS_BYTES", value_name = "BYTES")]
    pub max_requests_bytes: Option<u64>,
    /// Most bytes of large answers that wait for clients at once; further ones are made when there is room [default: 268435456].
    #[arg(long, env = "KVORUM_MAX_ANSWERS_BYTES", value_name = "BYTES")]
    pub max_answers_bytes: Option<u64>,

    /// After how long without an event a watcher that wants to know is told how far it is [default: 10m].
    #[arg(long, env = "KVORUM_WATCH_PROGRESS_NOTIFY_INTERVAL", value_name = "DURATION")]
    pub watch_progress_notify_interval: Option<String>,
    /// Bytes of keys and history beyond which writes are refused; negative for no bound [default: 2147483648].
    #[arg(
        long,
        env = "KVORUM_QUOTA_BACKEND_BYTES",
        value_name = "BYTES",
        allow_negative_numbers = true
    )]
    pub quota_backend_bytes: Option<i64>,
    /// Bytes of free disk below which writes are refused; 0 for none [default: a twentieth of the volume, 32 to 256 MiB].
    #[arg(long, env = "KVORUM_DISK_RESERVE_BYTES", value_name = "BYTES")]
    pub disk_reserve_bytes: Option<u64>,
    /// What --auto-compaction-retention counts: periodic or revision [default: periodic].
    #[arg(long, env = "KVORUM_AUTO_COMPACTION_MODE", value_name = "MODE")]
    pub auto_compaction_mode: Option<String>,
    /// History to keep: hours, a duration such as 30m, or a number of revisions; 0 keeps everything [default: 0].
    #[arg(long, env = "KVORUM_AUTO_COMPACTION_RETENTION", value_name = "RETENTION")]
    pub auto_compaction_retention: Option<String>,

    /// text or json [default: text].
    #[arg(long, env = "KVORUM_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// trace, debug, info, warn, error, or tracing directives such as info,openraft=info [default: info].
    #[arg(long, env = "KVORUM_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// Why the settings could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file of `--config-file` could not be read.
    #[error("cannot read the configuration file {path}")]
    Unreadable {
        /// The file named by the flag.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not YAML, or names a setting that does not exist.
    #[error("the configuration file {path} makes no sense")]
    Malformed {
        /// The file named by the flag.
        path: PathBuf,
        /// Where and what.
        source: serde_yaml::Error,
    },
}

impl Settings {
    /// These settings with those of `--config-file`, if one is named, standing behind them.
    ///
    /// # Errors
    /// The file cannot be read, or is not a YAML map of known settings.
    pub fn with_file(self) -> Result<Settings, SettingsError> {
        let Some(path) = self.config_file.clone() else {
            return Ok(self);
        };
        let text = std::fs::read_to_string(&path).map_err(|source| SettingsError::Unreadable {
            path: path.clone(),
            source,
        })?;
        Ok(self.over(parse_file(&path, &text)?))
    }

    /// Field by field, this one's value if it has one, otherwise `lower`'s. Written out, so that the compiler demands
    /// every new field here.
    fn over(self, lower: Settings) -> Settings {
        Settings {
            config_file: self.config_file,
            name: self.name.or(lower.name),
            data_dir: self.data_dir.or(lower.data_dir),
            identity_dir: self.identity_dir.or(lower.identity_dir),
            listen_client_urls: self.listen_client_urls.or(lower.listen_client_urls),
            advertise_client_urls: self.advertise_client_urls.or(lower.advertise_client_urls),
            listen_peer_urls: self.listen_peer_urls.or(lower.listen_peer_urls),
            initial_advertise_peer_urls: self.initial_advertise_peer_urls.or(lower.initial_advertise_peer_urls),
            listen_metrics_urls: self.listen_metrics_urls.or(lower.listen_metrics_urls),
            allow_insecure_listen: self.allow_insecure_listen.or(lower.allow_insecure_listen),
            initial_cluster: self.initial_cluster.or(lower.initial_cluster),
            initial_cluster_state: self.initial_cluster_state.or(lower.initial_cluster_state),
            initial_cluster_token: self.initial_cluster_token.or(lower.initial_cluster_token),
            cert_file: self.cert_file.or(lower.cert_file),
            key_file: self.key_file.or(lower.key_file),
            trusted_ca_file: self.trusted_ca_file.or(lower.trusted_ca_file),
            client_cert_auth: self.client_cert_auth.or(lower.client_cert_auth),
            peer_cert_file: self.peer_cert_file.or(lower.peer_cert_file),
            peer_key_file: self.peer_key_file.or(lower.peer_key_file),
            peer_trusted_ca_file: self.peer_trusted_ca_file.or(lower.peer_trusted_ca_file),
            auth_token: self.auth_token.or(lower.auth_token),
            auth_token_ttl: self.auth_token_ttl.or(lower.auth_token_ttl),
            bcrypt_cost: self.bcrypt_cost.or(lower.bcrypt_cost),
            heartbeat_interval: self.heartbeat_interval.or(lower.heartbeat_interval),
            election_timeout: self.election_timeout.or(lower.election_timeout),
            max_request_bytes: self.max_request_bytes.or(lower.max_request_bytes),
            max_txn_ops: self.max_txn_ops.or(lower.max_txn_ops),
            max_connections: self.max_connections.or(lower.max_connections),
            max_requests_bytes: self.max_requests_bytes.or(lower.max_requests_bytes),
            max_answers_bytes: self.max_answers_bytes.or(lower.max_answers_bytes),
            watch_progress_notify_interval: self
                .watch_progress_notify_interval
                .or(lower.watch_progress_notify_interval),
            quota_backend_bytes: self.quota_backend_bytes.or(lower.quota_backend_bytes),
            disk_reserve_bytes: self.disk_reserve_bytes.or(lower.disk_reserve_bytes),
            auto_compaction_mode: self.auto_compaction_mode.or(lower.auto_compaction_mode),
            auto_compaction_retention: self.auto_compaction_retention.or(lower.auto_compaction_retention),
            log_format: self.log_format.or(lower.log_format),
            log_level: self.log_level.or(lower.log_level),
        }
    }
}

/// An empty file is an empty map, as in YAML's own reading.
fn parse_file(path: &Path, text: &str) -> Result<Settings, SettingsError> {
    let settings: Option<Settings> = serde_yaml::from_str(text).map_err(|source| SettingsError::Malformed {
        path: path.to_owned(),
        source,
    })?;
    Ok(settings.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::in_full;

    #[test]
    fn the_nearest_setting_wins() {
        let file = parse_file(
            Path::new("k.yaml"),
            "name: from-file\nmax-txn-ops: 7\nclient-cert-auth: true\n",
        )
        .unwrap();
        let flags = Settings {
            name: Some("from-flag".into()),
            ..Settings::default()
        };
        let both = flags.over(file);
        assert_eq!(both.name.as_deref(), Some("from-flag"));
        assert_eq!(both.max_txn_ops, Some(7));
        assert_eq!(both.client_cert_auth, Some(true));
    }

    #[test]
    fn a_misspelt_setting_is_refused_with_its_place() {
        let error = in_full(&parse_file(Path::new("k.yaml"), "name: a\nlisten-client-url: b\n").unwrap_err());
        assert!(
            error.starts_with("the configuration file k.yaml makes no sense: unknown field `listen-client-url`"),
            "{error}"
        );
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert_eq!(parse_file(Path::new("k.yaml"), "# nothing\n").unwrap().name, None);
    }

    #[test]
    fn a_missing_file_is_named() {
        let settings = Settings {
            config_file: Some("/nonexistent/k.yaml".into()),
            ..Settings::default()
        };
        let error = in_full(&settings.with_file().unwrap_err());
        assert!(
            error.starts_with("cannot read the configuration file /nonexistent/k.yaml: "),
            "{error}"
        );
    }
}
