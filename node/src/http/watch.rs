//! Changes for people: `GET /v1/watch?key=…|prefix=…&from=…&previous`.
//!
//! Server-sent events by default, so that a browser's `EventSource` or `curl -N` will do; a line of JSON for each change
//! with `Accept: application/x-ndjson`. The id of an event is its revision, and only the last change of a revision has
//! one: a client that comes back with `Last-Event-ID` misses nothing and hears nothing twice.
//!
//! The first event is `progress`: everything after its revision will be told. It is repeated in quiet times, which also
//! keeps the connection alive and makes later returns cheap.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Uri};
use kvorum_api::error::{Failure, Refusal};
use kvorum_api::etcdserverpb::{self as pb, watch_request::RequestUnion};
use kvorum_api::mvccpb::{Event, event::EventType};
use kvorum_api::plain::{Entry, News, Text, WATCH_PATH};
use kvorum_api::problem::Problem;
use kvorum_api::range::{first_key, prefix_end};
use tokio::time::timeout;

use super::Edge;
use super::problem::{ProblemResponse, malformed, only};
use super::query::Query;
use crate::service::Caller;
use crate::watch::Session;

/// Without news a client is told how far it is after this time: within the idle times of usual proxies.
const QUIET_MAX: Duration = Duration::from_secs(15);

const LAST_EVENT_ID: &str = "last-event-id";
const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// The path.
pub fn routes() -> Router<Edge> {
    Router::new().route(WATCH_PATH, only("GET", get(watch)))
}

type Requests = Pin<Box<dyn Stream<Item = Result<pb::WatchRequest, Failure>> + Send>>;

async fn watch(
    State(edge): State<Edge>,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ProblemResponse> {
    let mut create = asked(&uri)?;
    if let Some(revision) = last_event_id(&headers)? {
        create.start_revision = revision.saturating_add(1);
    }
    if (1..edge.service.compacted()).contains(&create.start_revision) {
        return Err(Refusal::Compacted.into());
    }
    let start = create.start_revision;
    let request = pb::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    // The client says no more, and listens on.
    let requests = futures::stream::iter([Ok(request)]).chain(futures::stream::pending());
    let mut session = edge
        .service
        .watch(caller, false, Box::pin(requests) as Requests)
        .await?;
    let created = match session.next().await {
        Some(Ok(created)) => created,
        Some(Err(failure)) => return Err(problem(&failure).into()),
        None => return Err(Refusal::Stopped.into()),
    };
    if created.canceled {
        return Err(refused(&created.cancel_reason).into());
    }
    let newest = created.header.map_or(0, |header| header.revision);
    let before = if start == 0 { newest } else { start - 1 };
    let by_lines = headers.get_all(ACCEPT).iter().any(|accept| accept == LINES);
    Ok(respond(session, before, by_lines))
}

/// What the query asks for.
fn asked(uri: &Uri) -> Result<pb::WatchCreateRequest, ProblemResponse> {
    let mut query = Query::parse(uri.query());
    let (key, prefix) = (query.bytes("key")?, query.bytes("prefix")?);
    let from: Option<i64> = query.parsed("from", "a revision")?;
    let prev_kv = query.switch("previous")?;
    query.finish()?;
    let (key, range_end) = match (key, prefix) {
        (Some(key), None) if key.is_empty() => return Err(Refusal::EmptyKey.into()),
        (Some(key), None) => (key, Bytes::new()),
        (None, Some(prefix)) => (first_key(&prefix), prefix_end(&prefix)),
        (None, None) => {
            return Err(malformed(
                "the parameter key or the parameter prefix is needed; an empty prefix means every key",
            ));
        }
        (Some(_), Some(_)) => return Err(malformed("key and prefix exclude each other")),
    };
    if from.is_some_and(|from| from < 1) {
        return Err(malformed(
            "the parameter from must be a revision of at least 1; without it only what is new is told",
        ));
    }
    Ok(pb::WatchCreateRequest {
        key,
        range_end,
        start_revision: from.unwrap_or_default(),
        prev_kv,
        ..Default::default()
    })
}

/// The last revision that the client heard of, when it comes back.
fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, ProblemResponse> {
    let Some(value) = headers.get(LAST_EVENT_ID) else {
        return Ok(None);
    };
    let revision = value.to_str().ok().and_then(|text| text.parse::<i64>().ok());
    match revision {
        Some(revision) if revision >= 0 => Ok(Some(revision)),
        _ => Err(malformed("the header Last-Event-ID must be a revision")),
    }
}

fn respond(session: Session<Requests>, before: i64, by_lines: bool) -> Response {
    let encode = if by_lines { as_line } else { as_event };
    let greeting = encode(&News::Progress { revision: before }, Some(before));
    let telling = Telling {
        session,
        is_over: false,
        encode,
    };
    let rest = futures::stream::unfold(telling, async |mut telling| {
        let bytes = telling.next().await?;
        Some((bytes, telling))
    });
    let all = futures::stream::iter([Bytes::from(greeting)]).chain(rest);
    let kind = if by_lines { LINES } else { EVENTS };
    let headers = [
        (CONTENT_TYPE.as_str(), kind),
        (CACHE_CONTROL.as_str(), "no-cache"),
        // Proxies that gather answers would hold changes back.
        ("x-accel-buffering", "no"),
    ];
    (headers, Body::from_stream(all.map(Ok::<Bytes, Infallible>))).into_response()
}

/// A change as text; with the id that a client may come back with.
type Encode = fn(&News, Option<i64>) -> String;

struct Telling {
    session: Session<Requests>,
    is_over: bool,
    encode: Encode,
}

impl Telling {
    /// The next piece of the body.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            // A wait for the session may be given up: what it has not handed out, it keeps.
            let text = match timeout(QUIET_MAX, self.session.next()).await {
                Err(_) => {
                    self.session.ask_for_progress();
                    continue;
                }
                Ok(None) => return None,
                Ok(Some(Ok(response))) => self.tell(response),
                Ok(Some(Err(failure))) => self.end(problem(&failure)),
            };
            if !text.is_empty() {
                return Some(text.into());
            }
        }
        None
    }

    fn tell(&mut self, response: pb::WatchResponse) -> String {
        if response.canceled {
            let problem = if response.compact_revision > 0 {
                Refusal::Compacted.into()
            } else {
                refused(&response.cancel_reason)
            };
            return self.end(problem);
        }
        let revision = response.header.map_or(0, |header| header.revision);
        if response.events.is_empty() {
            return (self.encode)(&News::Progress { revision }, Some(revision));
        }
        let mut text = String::new();
        let mut events = response.events.into_iter().peekable();
        while let Some(event) = events.next() {
            let revision = revision_of(&event);
            let ends_revision = events.peek().is_none_or(|next| revision_of(next) != revision);
            if let Some(news) = news(event) {
                text.push_str(&(self.encode)(&news, ends_revision.then_some(revision)));
            }
        }
        text
    }

    fn end(&mut self, problem: Problem) -> String {
        self.is_over = true;
        (self.encode)(&News::Error { problem }, None)
    }
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |pair| pair.mod_revision)
}

fn news(event: Event) -> Option<News> {
    let kind = event.r#type();
    let pair = event.kv?;
    let previous = event.prev_kv.map(|pair| Box::new(Entry::from(pair)));
    Some(match kind {
        EventType::Put => News::Put {
            entry: Entry::from(pair),
            previous,
        },
        EventType::Delete => News::Delete {
            key: Text::from(pair.key),
            mod_revision: pair.mod_revision,
            previous,
        },
    })
}

fn as_line(news: &News, _: Option<i64>) -> String {
    json(news) + "\n"
}

fn as_event(news: &News, id: Option<i64>) -> String {
    let name = match news {
        News::Put { .. } => "put",
        News::Delete { .. } => "delete",
        News::Progress { .. } => "progress",
        // `error` is what EventSource calls its own.
        News::Error { .. } => "problem",
    };
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    // JSON has no line ends outside strings, and escapes those inside.
    format!("event: {name}\n{id}data: {}\n\n", json(news))
}

fn json(news: &News) -> String {
    serde_json::to_string(news).expect("news has text keys and no fallible field, so it always encodes")
}

fn problem(failure: &Failure) -> Problem {
    match Refusal::from_message(&failure.message) {
        Some(refusal) => refusal.into(),
        None => Problem::new(
            failure.code.http_status(),
            &format!("{:?}", failure.code),
            "the watch ended",
            failure.message.clone(),
        ),
    }
}

/// The refusal that stands in the reason of a cancel.
fn refused(reason: &str) -> Problem {
    let message = reason.split_once(" desc = ").map_or(reason, |(_, message)| message);
    match Refusal::from_message(message) {
        Some(refusal) => refusal.into(),
        None => Problem::new(400, "WatchCanceled", "the watch was canceled", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use kvorum_api::mvccpb::KeyValue;

    #[test]
    fn changes_are_written_as_events_and_as_lines() {
        let put = News::Put {
            entry: Entry::from(KeyValue {
                key: "k".into(),
                value: "a\nb".into(),
                version: 1,
                create_revision: 7,
                mod_revision: 7,
                lease: 0,
            }),
            previous: None,
        };
        let delete = News::Delete {
            key: Text::from(Bytes::from_static(b"\xff")),
            mod_revision: 8,
            previous: None,
        };
        let all = [
            as_event(&put, Some(7)),
            as_event(&delete, None),
            as_event(&News::Progress { revision: 8 }, Some(8)),
            as_line(&put, Some(7)),
            as_line(&delete, Some(8)),
        ];
        expect![[r#"
            event: put
            id: 7
            data: {"type":"put","key":"k","value":"a\nb","version":1,"create_revision":7,"mod_revision":7}

            event: delete
            data: {"type":"delete","key_base64":"/w==","mod_revision":8}

            event: progress
            id: 8
            data: {"type":"progress","revision":8}

            {"type":"put","key":"k","value":"a\nb","version":1,"create_revision":7,"mod_revision":7}
            {"type":"delete","key_base64":"/w==","mod_revision":8}
        "#]]
        .assert_eq(&all.concat());
    }

    #[test]
    fn a_refused_watch_keeps_the_name_of_its_refusal() {
        let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!(refused(reason).code, "PermissionDenied");
        assert_eq!(refused("mvcc: watcher range is empty").code, "WatchCanceled");
    }
}
