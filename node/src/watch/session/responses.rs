//! From a delivery to responses: previous values where they are wanted, and fragments of what is large.

use kvorum_api::etcdserverpb as pb;
use kvorum_api::mvccpb::{Event, KeyValue};
use kvorum_store::View;
use kvorum_store::watch::Delivery;
use prost::Message;

/// A response larger than this is split for clients that allow it: etcd's largest request and its overhead.
const FRAGMENT_BYTES_MAX: usize = 2 << 20;

/// The responses that make a delivery; `before` gives previous values.
pub(super) fn of(
    delivery: Delivery,
    header: Option<pb::ResponseHeader>,
    before: Option<&View>,
    may_split: bool,
) -> Vec<pb::WatchResponse> {
    let Delivery { id, events, .. } = delivery;
    let events = events.into_iter().map(|event| {
        let prev_kv = before.and_then(|view| previous(view, &event));
        Event {
            prev_kv,
            ..Event::clone(&event)
        }
    });
    let whole = pb::WatchResponse {
        header,
        watch_id: id,
        events: events.collect(),
        ..Default::default()
    };
    if may_split { fragments(whole) } else { vec![whole] }
}

/// What the key was before an event; `None` where it was not there, or history does not reach so far.
fn previous(view: &View, event: &Event) -> Option<KeyValue> {
    let pair = event.kv.as_ref()?;
    if pair.create_revision == pair.mod_revision {
        return None;
    }
    view.get(&pair.key, pair.mod_revision - 1).ok().flatten()
}

/// A response in parts that are not much larger than [`FRAGMENT_BYTES_MAX`], all but the last marked.
fn fragments(whole: pb::WatchResponse) -> Vec<pb::WatchResponse> {
    if whole.events.len() < 2 || whole.encoded_len() < FRAGMENT_BYTES_MAX {
        return vec![whole];
    }
    let pb::WatchResponse {
        header,
        watch_id,
        events,
        ..
    } = whole;
    let part = || pb::WatchResponse {
        header,
        watch_id,
        fragment: true,
        ..Default::default()
    };
    let mut parts = vec![part()];
    let mut bytes = 0;
    for event in events {
        let size = event.encoded_len();
        if bytes > 0 && bytes + size > FRAGMENT_BYTES_MAX {
            parts.push(part());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = parts.last_mut() {
            last.events.push(event);
        }
    }
    if let Some(last) = parts.last_mut() {
        last.fragment = false;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(sizes: &[usize]) -> pb::WatchResponse {
        let events = sizes.iter().map(|size| Event {
            kv: Some(KeyValue {
                value: vec![0; *size].into(),
                ..KeyValue::default()
            }),
            ..Event::default()
        });
        pb::WatchResponse {
            watch_id: 3,
            events: events.collect(),
            ..Default::default()
        }
    }

    #[test]
    fn large_responses_are_split_and_only_the_last_is_unmarked() {
        let megabyte = 1 << 20;
        let parts = fragments(response(&[megabyte, megabyte / 2, megabyte, 10, 3 * megabyte, 1]));
        let seen: Vec<_> = parts.iter().map(|part| (part.events.len(), part.fragment)).collect();
        assert_eq!(seen, [(2, true), (2, true), (1, true), (1, false)]);
        assert!(parts.iter().all(|part| part.watch_id == 3));
    }

    #[test]
    fn small_responses_and_single_events_stay_whole() {
        for sizes in [&[10, 10][..], &[3 << 20], &[]] {
            let parts = fragments(response(sizes));
            assert_eq!((parts.len(), parts[0].fragment), (1, false));
        }
    }
}
