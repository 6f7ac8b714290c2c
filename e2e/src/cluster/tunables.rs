//! Kernel settings of the machine that the cluster needs otherwise than found. Each is written down before it is
//! changed, and put back by `down`. The kubelet would change some of them by itself, without a word; finding them as it
//! wants them, it leaves them alone.

use super::layout::Layout;
use super::record::Record;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A setting's file below `/proc/sys`, the value wanted, and whether a larger one found there will do.
const WANTED: &[(&str, u64, bool)] = &[
    // Packets pass from one node's pods to another's, and to the machine.
    ("net/ipv4/ip_forward", 1, false),
    // Three kubelets, three containerds and the control plane watch files for one and the same user.
    ("fs/inotify/max_user_instances", 8192, true),
    ("fs/inotify/max_user_watches", 524_288, true),
    // What a kubelet insists on.
    ("vm/overcommit_memory", 1, false),
    ("vm/panic_on_oom", 0, false),
    ("kernel/panic", 10, false),
    ("kernel/panic_on_oops", 1, false),
    ("kernel/keys/root_maxkeys", 1_000_000, true),
    ("kernel/keys/root_maxbytes", 25_000_000, true),
];

/// Changes what needs changing and notes in the record what it was.
pub fn set(layout: &Layout, record: &mut Record) -> Result<()> {
    for (name, wanted, more_will_do) in WANTED {
        let file = file(name);
        let Ok(found) = fs::read_to_string(&file) else {
            continue;
        };
        let value: u64 = found.trim().parse().with_context(|| format!("{name} is {found:?}"))?;
        if value == *wanted || (*more_will_do && value > *wanted) {
            continue;
        }
        record.tunables.insert((*name).to_owned(), found.trim().to_owned());
        record.write(layout)?;
        fs::write(&file, wanted.to_string()).with_context(|| format!("cannot set {name} to {wanted}"))?;
    }
    Ok(())
}

/// Puts back what the record says.
pub fn restore(record: &Record) -> Result<()> {
    for (name, value) in &record.tunables {
        fs::write(file(name), value).with_context(|| format!("cannot set {name} back to {value}"))?;
    }
    Ok(())
}

fn file(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}
