//! Watches: several on one stream, with history, the pairs before, filters, progress, cancelling.

use etcd_client::{
    Client, DeleteOptions, Error, Event, EventType, WatchFilterType, WatchOptions, WatchResponse, WatchStream,
};

use crate::said::{self, done, say};

pub async fn walk(client: &mut Client) -> Result<(), Error> {
    let options = WatchOptions::new().with_prefix().with_prev_key().with_watch_id(7);
    let mut stream = client.watch("w/", Some(options)).await?;
    next(&mut stream, "watch, created").await?;
    for (key, value) in [("w/1", "1"), ("w/1", "2"), ("elsewhere", "1"), ("w/2", "1")] {
        client.put(key, value, None).await?;
    }
    client.delete("w/", Some(DeleteOptions::new().with_prefix())).await?;
    events(&mut stream, "watch, event", 5).await?;

    let first = client.get("elsewhere", None).await?.kvs()[0].mod_revision();
    let history = WatchOptions::new()
        .with_prefix()
        .with_start_revision(first)
        .with_watch_id(8);
    stream.watch("w/", Some(history)).await?;
    next(&mut stream, "watch, a second").await?;
    events(&mut stream, "watch, history", 3).await?;

    let filtered = WatchOptions::new()
        .with_range("x")
        .with_filters([WatchFilterType::NoPut])
        .with_fragment()
        .with_progress_notify()
        .with_watch_id(9);
    stream.cancel(7).await?;
    next(&mut stream, "watch, cancelled").await?;
    stream.cancel(8).await?;
    next(&mut stream, "watch, the second cancelled").await?;
    stream.watch("w", Some(filtered)).await?;
    next(&mut stream, "watch, filtered").await?;
    client.put("w/1", "3", None).await?;
    client.delete("w/1", None).await?;
    events(&mut stream, "watch, only deletions", 1).await?;

    stream.request_progress().await?;
    next(&mut stream, "watch, progress").await?;

    let taken = WatchOptions::new().with_watch_id(9);
    stream.watch("w", Some(taken)).await?;
    next(&mut stream, "watch, id taken").await?;
    let compacted = WatchOptions::new().with_start_revision(2).with_watch_id(10);
    stream.watch("w", Some(compacted)).await?;
    next(&mut stream, "watch, compacted, created").await?;
    next(&mut stream, "watch, compacted").await?;
    done("watch, cancel what is gone", stream.cancel(10).await);
    done("delete, after the watches", client.delete("elsewhere", None).await);
    Ok(())
}

/// Prints the next message as it is.
async fn next(stream: &mut WatchStream, step: &str) -> Result<(), Error> {
    match stream.message().await {
        Ok(Some(message)) => say(step, text(&message)),
        Ok(None) => say(step, "the stream has ended"),
        Err(refused) => say(step, said::error(&refused)),
    }
    Ok(())
}

fn text(message: &WatchResponse) -> String {
    let mut parts = vec![format!("watch {}", message.watch_id())];
    for (is, word) in [(message.created(), "created"), (message.canceled(), "canceled")] {
        parts.extend(is.then(|| word.to_owned()));
    }
    if message.compact_revision() != 0 {
        parts.push(format!("compacted until {}", message.compact_revision()));
    }
    if !message.cancel_reason().is_empty() {
        parts.push(message.cancel_reason().to_owned());
    }
    let revision = message.header().map_or(0, |header| header.revision());
    parts.push(format!("at {revision}, {} events", message.events().len()));
    parts.join(" ")
}

/// Prints so many events, however they are spread over messages.
async fn events(stream: &mut WatchStream, step: &str, count: usize) -> Result<(), Error> {
    let mut seen = 0;
    while seen < count {
        let Some(message) = stream.message().await? else {
            say(step, "the stream has ended");
            return Ok(());
        };
        for event in message.events() {
            say(step, format!("watch {} {}", message.watch_id(), event_text(event)));
        }
        seen += message.events().len();
    }
    Ok(())
}

fn event_text(event: &Event) -> String {
    let kind = match event.event_type() {
        EventType::Put => "put",
        EventType::Delete => "delete",
    };
    let now = event.kv().map_or("nothing".to_owned(), said::pair);
    let before = event.prev_kv().map_or("nothing".to_owned(), said::pair);
    format!("{kind} {now}, before {before}")
}
