//! `kvorum watch`: prints changes as they happen, and goes on where it stopped when a connection breaks.
//!
//! Must keep true: no change is printed twice and none is left out. After each message the revision to go on from is
//! known; a watch that is opened again begins there.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use clap::Args;
use kvorum_api::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion};
use kvorum_api::mvccpb::{Event, event::EventType};
use kvorum_client::{Error, Messages};

use super::connection::Connection;
use super::output::{self, Text, line, pair};
use super::range::Keys;
use super::{Failure, Format, view};

/// Pause before a broken watch is opened again.
const PAUSE: Duration = Duration::from_millis(200);

/// Examples.
pub(super) const EXAMPLES: &str = "\
Examples:
  kvorum watch greeting                 every change from now on
  kvorum watch app/ --prefix --rev 7    every change of these keys since revision 7
  kvorum watch app/ --prefix -o json    one line of JSON per message
  kvorum watch app/ --prefix -- sh -c 'echo $ETCD_WATCH_KEY changed'
                                        runs a command for every change";

/// Arguments of `watch`.
#[derive(Args, Clone, Debug)]
pub struct Watch {
    #[command(flatten)]
    keys: Keys,
    /// Revision to begin with; 0 for now.
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    rev: i64,
    /// Print the pair that was there before as well.
    #[arg(long)]
    prev_kv: bool,
    /// Ask for a sign of life when nothing happens.
    #[arg(long)]
    progress_notify: bool,
    /// A command to run for every change.
    #[arg(last = true)]
    command: Vec<OsString>,
}

pub(super) async fn run(arguments: &Watch, connection: &Connection) -> Result<(), Failure> {
    let mut next = arguments.rev;
    loop {
        let Err(failure) = follow(arguments, connection, &mut next).await else {
            return Ok(());
        };
        match failure {
            Failure::Request(error) if error.is_unavailable() && next > 0 => {
                writeln!(std::io::stderr(), "{}; going on from revision {next}", error.chain())?;
                tokio::time::sleep(PAUSE).await;
            }
            other => return Err(other),
        }
    }
}

/// Follows one stream to its end, and keeps the revision to go on from.
async fn follow(arguments: &Watch, connection: &Connection, next: &mut i64) -> Result<(), Failure> {
    let (key, range_end) = arguments.keys.span();
    let create = WatchCreateRequest {
        key,
        range_end,
        start_revision: *next,
        prev_kv: arguments.prev_kv,
        progress_notify: arguments.progress_notify,
        ..WatchCreateRequest::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    let mut messages: Messages<WatchResponse> = connection.client.stream("/v3/watch", &request).await?;
    while let Some(message) = messages.next().await? {
        if message.canceled {
            return Err(Failure::Refused(canceled(&message)));
        }
        let revision = message.header.as_ref().map_or(0, |header| header.revision);
        show(arguments, &message, connection.format)?;
        // A message says which revision it reaches: of its own events, or of the member when the watch was opened.
        let reached = message
            .events
            .iter()
            .filter_map(|event| Some(event.kv.as_ref()?.mod_revision))
            .max();
        let begun = (message.created && *next == 0).then_some(revision);
        if let Some(reached) = reached.or(begun).filter(|_| !message.fragment) {
            *next = reached + 1;
        }
    }
    Err(Failure::Request(Error::Broken {
        endpoint: messages.endpoint().clone(),
        source: "the stream ended".into(),
    }))
}

fn canceled(message: &WatchResponse) -> String {
    if message.compact_revision > 0 {
        let from = message.compact_revision;
        return format!(
            "etcdserver: mvcc: required revision has been compacted; the oldest that can be watched from is {from}"
        );
    }
    message.cancel_reason.clone()
}

fn show(arguments: &Watch, message: &WatchResponse, format: Format) -> Result<(), Failure> {
    if message.events.is_empty() && (message.created || !arguments.progress_notify) {
        return Ok(());
    }
    let mut text = output::render(
        format,
        &view::plain(message),
        || output::events_table(&message.events),
        |text| {
            for event in &message.events {
                simple(event, text);
            }
            if message.events.is_empty() {
                let revision = message.header.as_ref().map_or(0, |header| header.revision);
                line(text, format!("progress notify: {revision}").as_bytes());
            }
        },
    )?;
    if format == Format::Yaml {
        text.splice(0..0, *b"---\n");
    }
    output::print(&text)?;
    for event in &message.events {
        react(&arguments.command, event, message)?;
    }
    Ok(())
}

fn simple(event: &Event, text: &mut Text) {
    line(text, event.r#type().as_str_name().as_bytes());
    if let Some(previous) = &event.prev_kv {
        pair(text, previous);
    }
    if let Some(kv) = &event.kv {
        pair(text, kv);
    }
}

/// Runs the command for one change, with etcdctl's variables.
fn react(command: &[OsString], event: &Event, message: &WatchResponse) -> Result<(), Failure> {
    let (Some((program, arguments)), Some(kv)) = (command.split_first(), &event.kv) else {
        return Ok(());
    };
    let kind = match event.r#type() {
        EventType::Put => "PUT",
        EventType::Delete => "DELETE",
    };
    let text = |bytes: &[u8]| format!("{:?}", String::from_utf8_lossy(bytes));
    let revision = message.header.as_ref().map_or(0, |header| header.revision);
    let status = Command::new(program)
        .args(arguments)
        .env("ETCD_WATCH_REVISION", revision.to_string())
        .env("ETCD_WATCH_EVENT_TYPE", format!("{kind:?}"))
        .env("ETCD_WATCH_KEY", text(&kv.key))
        .env("ETCD_WATCH_VALUE", text(&kv.value))
        .status()
        .map_err(|error| Failure::Usage(format!("cannot run {}: {error}", program.to_string_lossy())))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Refused(format!(
            "{} ended with {status}",
            program.to_string_lossy()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvorum_api::mvccpb::KeyValue;

    #[test]
    fn changes_are_printed_as_etcdctl_does() {
        let kv = |value: &'static str| {
            Some(KeyValue {
                key: "k".into(),
                value: value.into(),
                ..KeyValue::default()
            })
        };
        let mut text = Text::new();
        simple(
            &Event {
                kv: kv("2"),
                prev_kv: kv("1"),
                ..Event::default()
            },
            &mut text,
        );
        simple(
            &Event {
                r#type: EventType::Delete.into(),
                kv: kv(""),
                prev_kv: None,
            },
            &mut text,
        );
        assert_eq!(String::from_utf8(text).unwrap(), "PUT\nk\n1\nk\n2\nDELETE\nk\n\n");
    }

    #[test]
    fn a_compacted_start_names_the_oldest_revision() {
        let message = WatchResponse {
            canceled: true,
            compact_revision: 9,
            ..WatchResponse::default()
        };
        assert!(canceled(&message).ends_with("watched from is 9"));
    }
}
