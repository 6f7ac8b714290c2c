//! The formats of output, and writing to standard output.
//!
//! `simple` is etcdctl's simple format, byte for byte; keys and values are written raw. `json` and `yaml` have etcdctl's
//! field names (`view`), so keys and values are base64 there. Output is built whole and then written, so that a failure
//! leaves no half of it.

use std::io::Write as _;

use clap::ValueEnum;
use kvorum_api::mvccpb::{Event, KeyValue};
use serde::Serialize;

use super::Failure;
use super::table::Table;

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines, as etcdctl prints them.
    #[default]
    Simple,
    /// One line of JSON, with etcdctl's names; keys and values in base64.
    Json,
    /// The same as YAML.
    Yaml,
    /// A table for people.
    Table,
}

/// Text under construction.
pub(super) type Text = Vec<u8>;

/// Builds the output of a response in one of the formats.
pub(super) fn render(
    format: Format,
    view: &impl Serialize,
    table: impl FnOnce() -> Table,
    simple: impl FnOnce(&mut Text),
) -> Result<Text, Failure> {
    let mut text = Text::new();
    match format {
        Format::Simple => simple(&mut text),
        Format::Table => text.extend_from_slice(table().draw().as_bytes()),
        Format::Json => {
            serde_json::to_writer(&mut text, view).map_err(|error| Failure::Encoding(error.into()))?;
            text.push(b'\n');
        }
        Format::Yaml => serde_yaml::to_writer(&mut text, view).map_err(|error| Failure::Encoding(error.into()))?,
    }
    Ok(text)
}

/// Writes to standard output.
pub(super) fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}

/// The output of a command whose simple format is a sentence or a few lines; there is no table for it.
pub(super) fn said(format: Format, view: &impl Serialize, sentence: &str) -> Result<Text, Failure> {
    let format = if format == Format::Table {
        Format::Simple
    } else {
        format
    };
    render(
        format,
        view,
        || Table::new([]),
        |text| {
            if !sentence.is_empty() {
                line(text, sentence.as_bytes());
            }
        },
    )
}

/// Events as a table.
pub(super) fn events_table(events: &[Event]) -> Table {
    let mut table = Table::new(["EVENT", "KEY", "VALUE", "MODIFIED"]);
    for event in events {
        let kv = event.kv.clone().unwrap_or_default();
        table.row([
            event.r#type().as_str_name().to_owned(),
            String::from_utf8_lossy(&kv.key).into_owned(),
            String::from_utf8_lossy(&kv.value).into_owned(),
            kv.mod_revision.to_string(),
        ]);
    }
    table
}

/// A line of raw bytes.
pub(super) fn line(text: &mut Text, bytes: &[u8]) {
    text.extend_from_slice(bytes);
    text.push(b'\n');
}

/// A key and its value on two lines.
pub(super) fn pair(text: &mut Text, kv: &KeyValue) {
    line(text, &kv.key);
    line(text, &kv.value);
}

/// Pairs as a table.
pub(super) fn pairs_table(kvs: &[KeyValue]) -> Table {
    let mut table = Table::new(["KEY", "VALUE", "VERSION", "CREATED", "MODIFIED", "LEASE"]);
    for kv in kvs {
        let lease = if kv.lease == 0 {
            String::new()
        } else {
            format!("{:016x}", kv.lease)
        };
        table.row([
            String::from_utf8_lossy(&kv.key).into_owned(),
            String::from_utf8_lossy(&kv.value).into_owned(),
            kv.version.to_string(),
            kv.create_revision.to_string(),
            kv.mod_revision.to_string(),
            lease,
        ]);
    }
    table
}
