//! A history that failed, kept where it outlives the test: all of it as JSON, and a picture for a browser.

use std::path::PathBuf;

use porcupine_rs::{LinearizationInfo, Operation};
use serde_json::{Value, json};

use super::{Answer, Register};

/// The variable that names the folder to keep failed histories in; the folder for temporary files otherwise.
const VARIABLE: &str = "KVORUM_FAILURES";

/// Keeps a history and its picture; where, or why not, in words.
pub(super) fn save(
    name: &str,
    seed: u64,
    operations: &[Operation<Register>],
    info: &LinearizationInfo<Register>,
) -> String {
    let path = place(name, seed);
    let (picture, history) = (path.with_extension("html"), path.with_extension("json"));
    let drawn = porcupine_rs::visualize_path(info, &picture);
    let text = json!({"name": name, "seed": seed, "operations": described(operations)});
    let written = std::fs::write(&history, format!("{text:#}\n"));
    let told = |outcome: std::io::Result<()>, path: PathBuf| match outcome {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("not written: {error}"),
    };
    format!(
        "picture: {}; history: {}; seed: {seed}",
        told(drawn, picture),
        told(written, history)
    )
}

/// Where a failure is kept, but for the ending.
fn place(name: &str, seed: u64) -> PathBuf {
    let folder = std::env::var_os(VARIABLE).map_or_else(std::env::temp_dir, PathBuf::from);
    let plain = |letter: char| if letter.is_alphanumeric() { letter } else { '-' };
    let name: String = name.chars().map(plain).collect();
    folder.join(format!("kvorum-{name}-{seed}-{}", std::process::id()))
}

/// In the order of their calls; times in nanoseconds from the beginning of the run.
fn described(operations: &[Operation<Register>]) -> Value {
    let mut operations: Vec<&Operation<Register>> = operations.iter().collect();
    operations.sort_by_key(|operation| operation.call_time);
    let one = |operation: &&Operation<Register>| {
        let returned = (operation.op.answer != Answer::Unknown).then_some(operation.return_time);
        json!({
            "client": operation.client_id,
            "called": operation.call_time,
            "returned": returned,
            "key": operation.op.key,
            "action": format!("{:?}", operation.op.action),
            "answer": format!("{:?}", operation.op.answer),
        })
    };
    operations.iter().map(one).collect()
}
