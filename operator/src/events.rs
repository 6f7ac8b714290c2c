//! Tells people what was decided, as `events.k8s.io/v1` events on the `KvCluster`.
//!
//! What it must keep true: one event per decision, not per pass; a failed event never fails a pass; notes fit the API's
//! bound.
//!
//! Deliberately not here: deciding.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Octets that an event's note may have (the API server's own limit is 1,024).
const NOTE_BYTES_MAX: usize = 1_000;

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether a person should look.
    pub warning: bool,
    /// In one CamelCase word, why.
    pub reason: String,
    /// In one verb, what was done.
    pub action: String,
    /// In a sentence, what happened.
    pub text: String,
    /// The pod that it is about, if it is about one. Events about different pods are never merged into one.
    pub pod: Option<String>,
}

/// Writes events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events that name this replica as their source.
    #[must_use]
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter {
            controller: "kvorum-operator".to_owned(),
            instance: Some(identity.to_owned()),
        };
        Events {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Publishes one note about `regarding`. Failure is logged: an event is a courtesy, not part of the work.
    pub async fn publish(&self, regarding: &ObjectReference, note: Note) {
        let Note {
            warning,
            reason,
            action,
            text,
            pod,
        } = note;
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason,
            action,
            note: Some(bounded(text)),
            secondary: pod.map(|name| pod_reference(regarding, name)),
        };
        if let Err(error) = self.recorder.publish(&event, regarding).await {
            tracing::warn!(reason = event.reason, %error, "an event could not be written");
        }
    }
}

fn pod_reference(regarding: &ObjectReference, name: String) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(name),
        namespace: regarding.namespace.clone(),
        ..ObjectReference::default()
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > NOTE_BYTES_MAX {
        let end = (0..=NOTE_BYTES_MAX)
            .rev()
            .find(|&end| text.is_char_boundary(end))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(bounded("short".to_owned()), "short");
        let long = bounded("ü".repeat(NOTE_BYTES_MAX));
        assert!(long.len() <= NOTE_BYTES_MAX && long.chars().all(|c| c == 'ü'));
        let odd = bounded(format!("x{}", "ü".repeat(NOTE_BYTES_MAX)));
        assert_eq!(odd.len(), NOTE_BYTES_MAX - 1);
    }
}
