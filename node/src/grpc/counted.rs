//! Counts gRPC's calls under the names that etcd's dashboards read: begun and handled by service, method and code, and
//! the bytes of messages.
//!
//! Must keep true: labels come from the `.proto` files alone, never from a client, so their number is bounded; a call
//! counts as handled once, however it ends.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;

use crate::metrics::text::Page;
use crate::service::counts::add;

/// The names of gRPC's codes, 0 to 16, as Go writes them.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The calls of one process.
#[derive(Debug)]
pub struct Calls {
    methods: BTreeMap<String, Arc<Method>>,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

#[derive(Debug)]
struct Method {
    service: String,
    name: String,
    kind: &'static str,
    started: AtomicU64,
    handled: [AtomicU64; CODES.len()],
}

impl Default for Calls {
    fn default() -> Self {
        let files = FileDescriptorSet::decode(kvorum_api::FILE_DESCRIPTOR_SET);
        let files = files.expect("the descriptors of this build can be read").file;
        let services = files.iter().flat_map(|file| {
            let package = file.package();
            file.service.iter().map(move |service| (package, service))
        });
        let methods = services.flat_map(|(package, service)| {
            let full = format!("{package}.{}", service.name());
            service.method.iter().map(move |method| {
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => "unary",
                    (true, false) => "client_stream",
                    (false, true) => "server_stream",
                    (true, true) => "bidi_stream",
                };
                let counted = Method {
                    service: full.clone(),
                    name: method.name().to_owned(),
                    kind,
                    started: AtomicU64::default(),
                    handled: Default::default(),
                };
                (format!("/{full}/{}", method.name()), Arc::new(counted))
            })
        });
        Self {
            methods: methods.collect(),
            received_bytes: AtomicU64::default(),
            sent_bytes: AtomicU64::default(),
        }
    }
}

impl Calls {
    /// Writes the families.
    pub fn write(&self, page: &mut Page) {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut started = page.counter(
            "grpc_server_started_total",
            "Total number of RPCs started on the server.",
        );
        for method in self.methods.values() {
            started = started.with(&method.labels(), now(&method.started));
        }
        let mut handled = page.counter(
            "grpc_server_handled_total",
            "Total number of RPCs completed on the server, regardless of success or failure.",
        );
        for method in self.methods.values() {
            let [kind, service, name] = method.labels();
            for (code, count) in CODES.iter().zip(&method.handled) {
                // Every method has its successes from the start; what never happened is left out.
                if *code == "OK" || now(count) > 0 {
                    handled = handled.with(&[("grpc_code", code), name, service, kind], now(count));
                }
            }
        }
        page.counter(
            "etcd_network_client_grpc_received_bytes_total",
            "The total number of bytes received from grpc clients.",
        )
        .value(now(&self.received_bytes));
        page.counter(
            "etcd_network_client_grpc_sent_bytes_total",
            "The total number of bytes sent to grpc clients.",
        )
        .value(now(&self.sent_bytes));
    }
}

impl Method {
    fn labels(&self) -> [(&'static str, &str); 3] {
        [
            ("grpc_type", self.kind),
            ("grpc_service", &self.service),
            ("grpc_method", &self.name),
        ]
    }
}

/// The middleware. A path that is no method of ours passes uncounted.
pub async fn count(State(calls): State<Arc<Calls>>, request: Request, next: Next) -> Response {
    let Some(method) = calls.methods.get(request.uri().path()).map(Arc::clone) else {
        return next.run(request).await;
    };
    add(&method.started);
    // A call that is given up before there is an answer is handled as well.
    let mut ending = Ending(Some(method));
    let request = request.map(|body| Body::new(Counted::new(body, Arc::clone(&calls), Way::Received, Ending(None))));
    let response = next.run(request).await;
    ending.note(response.headers());
    response.map(|body| Body::new(Counted::new(body, calls, Way::Sent, ending)))
}

/// Counts how a call ended: with the status that was seen, otherwise as given up.
struct Ending(Option<Arc<Method>>);

impl Ending {
    fn note(&mut self, headers: &HeaderMap) {
        let status = headers
            .get("grpc-status")
            .map(|status| Code::from_bytes(status.as_bytes()));
        if let Some(code) = status {
            self.end(code);
        }
    }

    fn end(&mut self, code: Code) {
        if let Some(method) = self.0.take() {
            let place = usize::try_from(i32::from(code)).unwrap_or_default();
            add(&method.handled[place.min(CODES.len() - 1)]);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

#[derive(Clone, Copy)]
enum Way {
    Received,
    Sent,
}

/// A body whose bytes are counted, and that looks for the status behind them.
struct Counted {
    body: Body,
    calls: Arc<Calls>,
    way: Way,
    ending: Ending,
}

impl Counted {
    fn new(body: Body, calls: Arc<Calls>, way: Way, ending: Ending) -> Self {
        Self {
            body,
            calls,
            way,
            ending,
        }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            if let Some(data) = frame.data_ref() {
                let counter = match self.way {
                    Way::Received => &self.calls.received_bytes,
                    Way::Sent => &self.calls.sent_bytes,
                };
                counter.fetch_add(data.len() as u64, Ordering::Relaxed);
            }
            if let Some(trailers) = frame.trailers_ref() {
                self.ending.note(trailers);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(calls: &Calls) -> String {
        let mut page = Page::default();
        calls.write(&mut page);
        page.finish()
    }

    #[test]
    fn every_call_ends_once() {
        let calls = Calls::default();
        let method = &calls.methods["/etcdserverpb.KV/Put"];
        let status = |code: &str| {
            HeaderMap::from_iter([(
                http::header::HeaderName::from_static("grpc-status"),
                code.parse().unwrap(),
            )])
        };
        let mut well = Ending(Some(Arc::clone(method)));
        well.note(&HeaderMap::new());
        well.note(&status("0"));
        well.note(&status("5"));
        drop(well);
        let mut refused = Ending(Some(Arc::clone(method)));
        refused.note(&status("11"));
        drop(refused);
        drop(Ending(Some(Arc::clone(method))));
        let text = page(&calls);
        for (code, count) in [("OK", 1), ("OutOfRange", 1), ("Canceled", 1)] {
            let line = format!(
                "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",\
                 grpc_type=\"unary\"}} {count}"
            );
            assert!(text.contains(&line), "{line}: {text}");
        }
        assert!(!text.contains("NotFound"), "{text}");
    }

    #[test]
    fn kinds_are_told_apart() {
        let text = page(&Calls::default());
        for (service, method, kind) in [
            ("etcdserverpb.KV", "Range", "unary"),
            ("etcdserverpb.Watch", "Watch", "bidi_stream"),
            ("etcdserverpb.Maintenance", "Snapshot", "server_stream"),
        ] {
            let line = format!(
                "grpc_server_started_total{{grpc_type=\"{kind}\",grpc_service=\"{service}\",grpc_method=\"{method}\"}} 0"
            );
            assert!(text.contains(&line), "{line}: {text}");
        }
    }
}
