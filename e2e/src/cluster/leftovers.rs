//! What of a cluster is still on the machine. After `down` there must be nothing; the list is the evidence.

use super::process::Recorded;
use super::record::Record;
use super::site::Site;
use super::topology::CGROUP;
use super::{network, process};
use std::fs;
use std::path::Path;

/// Everything found, one line each.
pub fn list(site: &Site) -> Vec<String> {
    let mut found = Vec::new();
    for pid in site.cgroups.processes(CGROUP) {
        found.push(format!("process {pid}: {}", process::command_line(pid)));
    }
    if let Some(record) = Record::read(&site.layout) {
        let alive = record.processes.values().filter(|process| process.alive());
        found.extend(alive.map(|Recorded { name, pid, .. }| format!("process {pid}: {name}, as recorded")));
        found.extend(
            record
                .tunables
                .iter()
                .map(|(name, value)| format!("kernel setting {name}: was {value}")),
        );
        found.extend(
            record
                .folders
                .iter()
                .map(|folder| format!("folder {}", folder.display())),
        );
    }
    found.extend(
        site.cgroups
            .folders(CGROUP)
            .iter()
            .map(|folder| format!("control group {}", folder.display())),
    );
    found.extend(
        network::namespaces()
            .iter()
            .map(|name| format!("network namespace {name}")),
    );
    found.extend(
        network::interfaces()
            .iter()
            .map(|name| format!("network interface {name}")),
    );
    found.extend(
        mounts_below(site.layout.root())
            .iter()
            .map(|mount| format!("mount {mount}")),
    );
    if site.layout.root().exists() {
        found.push(format!("folder {}", site.layout.root().display()));
    }
    found
}

/// Mount points in a folder, the innermost first.
pub fn mounts_below(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = text.lines().filter_map(|line| line.split(' ').nth(1));
    // The kernel writes a space in a path as its octal number.
    let points = points.map(|point| point.replace("\\040", " "));
    let mut below: Vec<String> = points.filter(|point| Path::new(point).starts_with(folder)).collect();
    below.reverse();
    below
}
