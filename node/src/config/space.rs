//! `--quota-backend-bytes`, `--disk-reserve-bytes`, `--auto-compaction-mode` and `--auto-compaction-retention`: how much
//! is kept.

use std::time::Duration;

use super::{ConfigError, Settings};
use crate::duration;
use crate::service::compactor::Retention;

/// etcd's default.
const QUOTA_BYTES_DEFAULT: u64 = 2 << 30;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes of keys and history beyond which writes are refused; `None` for no bound.
    pub quota_bytes: Option<u64>,
    /// Bytes of free disk below which writes are refused; `None` for what suits the volume.
    pub disk_reserve_bytes: Option<u64>,
    /// How much history is kept.
    pub retention: Retention,
}

/// Checks the settings.
pub(super) fn space(settings: &Settings) -> Result<Space, ConfigError> {
    let quota_bytes = match settings.quota_backend_bytes.unwrap_or_default() {
        0 => Some(QUOTA_BYTES_DEFAULT),
        bytes => u64::try_from(bytes).ok(),
    };
    Ok(Space {
        quota_bytes,
        disk_reserve_bytes: settings.disk_reserve_bytes,
        retention: retention(settings)?,
    })
}

fn retention(settings: &Settings) -> Result<Retention, ConfigError> {
    const FLAG: &str = "--auto-compaction-retention";
    let text = settings.auto_compaction_retention.as_deref().unwrap_or("0");
    let number = text.parse::<u32>().ok();
    let retention = match settings.auto_compaction_mode.as_deref().unwrap_or("periodic") {
        "periodic" | "revision" if number == Some(0) => Retention::Everything,
        "periodic" => match number {
            // As in etcd, a bare number is one of hours.
            Some(hours) => Retention::Period(Duration::from_hours(hours.into())),
            None => Retention::Period(duration::parse(text).map_err(|reason| ConfigError::new(FLAG, reason))?),
        },
        "revision" => {
            let revisions = number.ok_or_else(|| {
                ConfigError::new(
                    FLAG,
                    format!("{text:?}: a number of revisions is allowed with mode revision"),
                )
            })?;
            Retention::Revisions(revisions.into())
        }
        other => {
            let reason = format!("{other:?}: periodic or revision is allowed");
            return Err(ConfigError::new("--auto-compaction-mode", reason));
        }
    };
    Ok(retention)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn kept(mode: Option<&str>, retention: Option<&str>) -> Result<Retention, String> {
        let settings = Settings {
            auto_compaction_mode: mode.map(str::to_owned),
            auto_compaction_retention: retention.map(str::to_owned),
            ..Settings::default()
        };
        super::retention(&settings).map_err(|error| error.to_string())
    }

    #[test_case(None, None => Ok(Retention::Everything); "unsaid")]
    #[test_case(None, Some("0") => Ok(Retention::Everything); "off")]
    #[test_case(Some("revision"), Some("0") => Ok(Retention::Everything); "off with revisions")]
    #[test_case(None, Some("8") => Ok(Retention::Period(Duration::from_hours(8))); "hours")]
    #[test_case(Some("periodic"), Some("30m") => Ok(Retention::Period(Duration::from_mins(30))); "duration")]
    #[test_case(Some("revision"), Some("1000") => Ok(Retention::Revisions(1_000)); "revisions")]
    #[test_case(Some("revision"), Some("5m") => Err("--auto-compaction-retention: \"5m\": a number of revisions is allowed with mode revision".to_owned()); "duration of revisions")]
    #[test_case(None, Some("-1") => Err("--auto-compaction-retention: \"-1\" is no duration; write for example 5s, 500ms or 1m30s".to_owned()); "negative")]
    #[test_case(Some("size"), Some("1") => Err("--auto-compaction-mode: \"size\": periodic or revision is allowed".to_owned()); "unknown mode")]
    fn retention(mode: Option<&str>, retention: Option<&str>) -> Result<Retention, String> {
        kept(mode, retention)
    }

    #[test_case(None => Some(2 << 30); "unsaid")]
    #[test_case(Some(0) => Some(2 << 30); "zero")]
    #[test_case(Some(-1) => None; "negative")]
    #[test_case(Some(4096) => Some(4096); "said")]
    fn quota(bytes: Option<i64>) -> Option<u64> {
        let settings = Settings {
            quota_backend_bytes: bytes,
            ..Settings::default()
        };
        space(&settings).unwrap().quota_bytes
    }
}
