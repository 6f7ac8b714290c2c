//! A client with one lease after the other: it lets some of them live for a while, and then waits until each is gone.

use std::sync::Arc;
use std::time::Duration;

use kvorum::service::{Caller, Service};
use kvorum_api::etcdserverpb as pb;
use kvorum_files::simulated::{dice, disk};
use kvorum_tests::checks::leases::Life;
use tokio::time::sleep;

use crate::clients::put;
use crate::record::{Record, now_duration};

/// A lease is asked for so many seconds at least, and less than that and the spread.
const TTL_SECONDS: (u64, u64) = (1, 3);
/// Most renewals of a lease, and one.
const RENEWALS: u64 = 5;
/// Between two looks whether it is gone, in milliseconds.
const LOOK_MS: u64 = 400;

/// Has leases at one member as long as that lives and the load goes on; the last one is followed to its end.
pub(crate) async fn run(member: String, service: Service, record: Arc<Record>) {
    while !record.is_stopped() {
        sleep(Duration::from_millis(dice::below(LOOK_MS))).await;
        let asked = now_duration();
        let request = pb::LeaseGrantRequest {
            id: 0,
            ttl: (TTL_SECONDS.0 + dice::below(TTL_SECONDS.1)).cast_signed(),
        };
        let granted = service.lease_grant(&Caller::default(), request).await;
        let Ok(granted) = granted else { continue };
        if disk(&member).is_cut() {
            return;
        }
        record.count("leases", 1);
        record.event(&format!("{member} grants {}", granted.ttl));
        let ttl = Duration::from_secs(granted.ttl.unsigned_abs());
        let mut life = Life::granted(granted.id, ttl, asked, now_duration());
        if dice::below(2) == 0 {
            let request = pb::PutRequest {
                lease: granted.id,
                ..put(format!("lease at {member}").into_bytes(), dice::next() >> 16)
            };
            // Whether it is written is not known, and does not matter: the watchers say.
            let _ = service.put(&Caller::default(), request).await;
        }
        let renewed = renew(&member, &service, &record, &mut life).await;
        if !renewed || !follow(&member, &service, &record, &life).await {
            return;
        }
    }
}

/// Renews it some times; `false` when the member's power is gone.
async fn renew(member: &str, service: &Service, record: &Record, life: &mut Life) -> bool {
    let spread = u64::try_from(life.ttl.as_millis()).unwrap_or(u64::MAX);
    for _ in 0..dice::below(RENEWALS) {
        sleep(Duration::from_millis(dice::below(spread))).await;
        let asked = now_duration();
        let request = pb::LeaseKeepAliveRequest { id: life.id };
        let answer = service.lease_keep_alive(&Caller::default(), request).await;
        if disk(member).is_cut() {
            return false;
        }
        match answer {
            Ok(answer) if answer.ttl > 0 => life.renewed(asked, now_duration()),
            Ok(_) => {
                record.violations.note("leases", life.gone(now_duration()));
                return true;
            }
            Err(_) => life.perhaps_renewed(now_duration()),
        }
    }
    true
}

/// Waits until it is gone; `false` when the member's power is.
async fn follow(member: &str, service: &Service, record: &Record, life: &Life) -> bool {
    loop {
        sleep(Duration::from_millis(dice::below(LOOK_MS))).await;
        let asked = now_duration();
        let request = pb::LeaseTimeToLiveRequest {
            id: life.id,
            keys: false,
        };
        let answer = service.lease_time_to_live(&Caller::default(), request).await;
        if disk(member).is_cut() {
            return false;
        }
        match answer {
            Ok(answer) if answer.ttl < 0 => {
                record.violations.note("leases", life.gone(now_duration()));
                record.count("leases-ended", 1);
                return true;
            }
            // One that ended and is not removed yet is shown with nothing left.
            Ok(_) => {
                record.violations.note("leases", life.present(asked, record.healed()));
            }
            Err(_) => {}
        }
    }
}
