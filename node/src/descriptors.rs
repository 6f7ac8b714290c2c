//! File descriptors: how many this process may have open, and how many of them are for clients.
//!
//! Must keep true: however many clients come, the log, the engine and the other members find descriptors left. What is
//! kept for them is counted here from what each part says of itself, so that a new part is added here too.
//!
//! It deliberately counts nothing while the process runs: `/metrics` tells what is open (`process_open_fds`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http::connections::{PROBES_MAX, REFUSALS_MAX};
use crate::server::peers;

/// Log segments, the engine's files, snapshots on their way in and out, certificates being read, listening sockets and
/// the runtime's own: about 30 are seen on a busy member, and a value of more than 128 KiB is a file of the engine while
/// it is written or read.
const FILES_MAX: u64 = 128;
/// Connections that this member makes to others: a handful each, and a cluster has no more than a dozen members.
const DIALLED_MAX: u64 = 64;
/// Everything that is not a client's.
pub const OWN_MAX: u64 = FILES_MAX + DIALLED_MAX + (peers::CONNECTIONS_MAX + REFUSALS_MAX) as u64 + PROBES_MAX as u64;
/// Clients are let in up to here whatever the limit is: a member that serves nobody is of no use, and one that runs out
/// of descriptors all the same turns connections away and goes on.
pub const CLIENTS_MIN: u32 = 64;

/// How descriptors are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Most connections of clients at once.
    pub clients: u32,
    /// There are fewer than were asked for.
    pub is_scarce: bool,
}

/// Shares out `limit` descriptors (`None`: any number), of which `wanted` connections of clients are asked for.
#[must_use]
pub fn share(limit: Option<u64>, wanted: u32) -> Share {
    let left = limit.map_or(u64::MAX, |limit| limit.saturating_sub(OWN_MAX));
    let left = u32::try_from(left).unwrap_or(u32::MAX).max(CLIENTS_MIN);
    Share {
        clients: wanted.min(left),
        is_scarce: left < wanted,
    }
}

/// Raises the soft limit to the hard one and says what it is then; `None` where there is none.
pub fn raise() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    // Where the system refuses, the limit is what it was, which is asked next.
    let _ = setrlimit(Resource::Nofile, wanted);
    getrlimit(Resource::Nofile).current
}

/// Raises the limit, shares it out, and says both in the log. Most connections of clients at once.
pub fn prepare(wanted: u32) -> u32 {
    let limit = raise();
    let Share { clients, is_scarce } = share(limit, wanted);
    let limit = limit.map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
    if is_scarce {
        tracing::warn!(
            "{limit} files may be open, {OWN_MAX} of them kept for this member itself: {clients} connections of clients \
             instead of {wanted}. Raise the limit (ulimit -n, LimitNOFILE=) or lower --max-connections"
        );
    } else {
        tracing::info!("{limit} files may be open; {clients} connections of clients");
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(None, 16_384 => (16_384, false); "no limit")]
    #[test_case(Some(1 << 20), 16_384 => (16_384, false); "plenty")]
    #[test_case(Some(1024), 16_384 => (1024 - 640, true); "what many systems begin with")]
    #[test_case(Some(1024), 100 => (100, false); "few are asked for")]
    #[test_case(Some(256), 16_384 => (64, true); "less than the member itself needs")]
    #[test_case(Some(0), 10 => (10, false); "none")]
    #[test_case(Some(u64::MAX), u32::MAX => (u32::MAX, false); "more than can be counted")]
    fn shares(limit: Option<u64>, wanted: u32) -> (u32, bool) {
        let share = share(limit, wanted);
        (share.clients, share.is_scarce)
    }

    #[test]
    fn what_is_kept_is_what_the_parts_say() {
        assert_eq!(OWN_MAX, 640);
    }

    #[test]
    fn the_soft_limit_is_the_hard_one() {
        raise();
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.current, after.maximum);
    }
}
