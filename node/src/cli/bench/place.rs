//! The part of the key space that a run may write to: empty before, and empty again after.
//!
//! Must keep true: nothing is removed that the run did not write. So it does not begin where keys lie already, except with
//! `--keep`, which removes nothing.

use bytes::Bytes;
use kvorum_api::etcdserverpb::{DeleteRangeRequest, RangeRequest};
use kvorum_api::range::prefix_end;

use super::super::Failure;
use super::channels::{Speaker, failure};
use super::flags::Plan;
use super::interrupt::Interrupt;
use super::keys::KeySpace;

/// Keys removed by one request, so that none of them holds up a cluster for long.
const REMOVED_AT_ONCE: u64 = 10_000;

/// Where a run writes.
pub(super) struct Place {
    keys: KeySpace,
    keep: bool,
}

impl Place {
    /// Makes sure that it may be written to.
    pub(super) async fn take(plan: &Plan, mut speaker: Speaker) -> Result<Self, Failure> {
        let prefix = plan.keys.prefix();
        let request = RangeRequest {
            key: Bytes::copy_from_slice(prefix.as_bytes()),
            range_end: prefix_end(prefix.as_bytes()),
            count_only: true,
            ..RangeRequest::default()
        };
        if !plan.keep {
            let count = speaker.range(request).await;
            let count = count.map_err(|status| failure("the keys there are cannot be counted", &status))?;
            if count > 0 {
                return Err(Failure::Refused(format!(
                    "{count} keys lie below {prefix} already, and would be removed at the end.\nHint: choose another \
                     --key-prefix; or write over them with --keep; or remove them with: kvorum del {prefix} --prefix"
                )));
            }
        }
        Ok(Self {
            keys: plan.keys.clone(),
            keep: plan.keep,
        })
    }

    /// Removes what was written; how many keys that were.
    pub(super) async fn leave(self, mut speaker: Speaker) -> Result<i64, Failure> {
        if self.keep {
            return Ok(0);
        }
        let mut interrupt = Interrupt::new()?;
        let prefix = self.keys.prefix();
        let mut removed = 0;
        for first in (0..self.keys.count()).step_by(REMOVED_AT_ONCE as usize) {
            let next = first + REMOVED_AT_ONCE;
            let range_end = if next < self.keys.count() {
                self.keys.key(next)
            } else {
                prefix_end(prefix.as_bytes())
            };
            let request = DeleteRangeRequest {
                key: self.keys.key(first),
                range_end,
                prev_kv: false,
            };
            removed += tokio::select! {
                deleted = speaker.delete(request) => {
                    let what = format!("the keys below {prefix} cannot be removed");
                    deleted.map_err(|status| failure(&what, &status))?
                }
                () = interrupt.heard() => {
                    return Err(Failure::Refused(format!("interrupted; keys may be left below {prefix}")));
                }
            };
        }
        Ok(removed)
    }
}
