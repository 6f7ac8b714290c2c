//! One write and one read, shown to a person as they go over the wire.

use super::wire::{Address, Wire, request, text};
use crate::history::Action;
use anyhow::{Result, anyhow, ensure};
use serde_json::Value;
use std::io::Write;
use std::time::Instant;

/// Writes a key and reads it back; fails when another value comes back.
pub async fn show(address: Address, key: &str, value: &str, out: &mut impl Write) -> Result<()> {
    let url = address.url.trim_end_matches('/').to_owned();
    let mut wire = Wire::new(address);
    exchange(
        &mut wire,
        &url,
        key,
        &Action::Put {
            value: value.to_owned(),
        },
        out,
    )
    .await?;
    let answer = exchange(&mut wire, &url, key, &Action::Get, out).await?;
    let found = answer["kvs"][0]["value"].as_str().and_then(text);
    ensure!(
        found.as_deref() == Some(value),
        "{key} holds {found:?} and not {value:?}"
    );
    writeln!(out, "\n{key} = {value}")?;
    Ok(())
}

async fn exchange(wire: &mut Wire, url: &str, key: &str, action: &Action, out: &mut impl Write) -> Result<Value> {
    let (path, body) = request(key, action);
    writeln!(out, "POST {url}{path}\n{body}")?;
    let begun = Instant::now();
    let answer = wire
        .call(path, &body)
        .await
        .map_err(|failure| anyhow!("{path}: {:#}", failure.source))?;
    writeln!(
        out,
        "  200 after {:.1} ms\n  {answer}",
        begun.elapsed().as_secs_f64() * 1000.0
    )?;
    Ok(answer)
}
