//! A watcher of all keys: it begins where the one before it at this member's place ended, and leaves from time to time.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use kvorum::service::{Caller, Service};
use kvorum_api::etcdserverpb as pb;
use kvorum_api::etcdserverpb::watch_request::RequestUnion;
use kvorum_files::simulated::{dice, disk};
use kvorum_tests::checks::watchers::told;
use tokio::time::{sleep, timeout};

use crate::record::Record;

/// Before a new stream is opened, in milliseconds.
const PAUSE_MS: u64 = 100;
/// A stream is kept for less than this, in milliseconds.
const STAY_MS: u64 = 6_000;
/// Told nothing for so long, it looks whether it is time to go.
const LOOK: Duration = Duration::from_millis(250);

/// Watches at one member as long as that lives.
pub(crate) async fn run(number: usize, member: String, service: Service, record: Arc<Record>) {
    loop {
        sleep(Duration::from_millis(dice::below(PAUSE_MS))).await;
        let create = pb::WatchCreateRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            start_revision: record.watched().next(number),
            ..Default::default()
        };
        let first = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        let requests = stream::iter([Ok(first)]).chain(stream::pending());
        let Ok(mut session) = service.watch(Caller::default(), false, requests).await else {
            continue;
        };
        record.count("watches", 1);
        let until = tokio::time::Instant::now() + Duration::from_millis(dice::below(STAY_MS));
        // After the load the stream stays: what is missing must come by itself.
        while record.is_stopped() || tokio::time::Instant::now() < until {
            let Ok(response) = timeout(LOOK, session.next()).await else {
                continue;
            };
            let Some(Ok(response)) = response else { break };
            if disk(&member).is_cut() {
                return;
            }
            if response.canceled {
                record.wrong(
                    "watch",
                    format!("{member} cancels a watch of what is kept: {response:?}"),
                );
                return;
            }
            let told = told(&response);
            if let Some((revision, _)) = told.last() {
                record.event(&format!("watcher {number} is told {revision}"));
            }
            let taken = record.watched().take(number, told);
            if record.violations.note("watch", taken).is_none() {
                return;
            }
        }
    }
}
