//! Takes the cluster down and leaves nothing. Works from what is found, not from what should be there, so that it also
//! clears away a cluster that never came up whole or that crashed.

use super::leftovers;
use super::process::Recorded;
use super::record::Record;
use super::site::Site;
use super::topology::CGROUP;
use super::wait::Progress;
use super::{network, tunables};
use anyhow::{Context, Result, bail, ensure};
use rustix::mount::UnmountFlags;
use std::fs;

/// Whether there is anything to take down.
pub fn anything(site: &Site) -> bool {
    !leftovers::list(site).is_empty()
}

/// Refuses to touch what is not ours: a folder that somebody else filled, or a cluster with its state elsewhere.
pub fn require_own(site: &Site) -> Result<()> {
    let root = site.layout.root();
    if let Some(owner) = network::owner().filter(|owner| owner != root) {
        bail!(
            "the cluster on this machine has its state in {0}: set KVORUM_STATE={0}",
            owner.display()
        );
    }
    let empty = !root.exists() || fs::read_dir(root)?.next().is_none();
    ensure!(
        empty || site.layout.marker().exists(),
        "{} was not made by kvorum-e2e: left alone",
        root.display()
    );
    Ok(())
}

/// Removes processes, control groups, network, mounts, changed settings and the state folder, in that order.
pub fn down(site: &Site, progress: &Progress) -> Result<()> {
    require_own(site)?;
    // What can be done without the record comes first, so that a damaged one keeps nothing alive.
    let killed = site.cgroups.kill(CGROUP)?;
    progress.say(&format!("{killed} processes are ended"));
    let record = Record::read(&site.layout).unwrap_or_default();
    record
        .processes
        .values()
        .filter(|process| process.alive())
        .try_for_each(Recorded::kill)?;
    site.cgroups.remove(CGROUP)?;
    network::remove()?;
    for point in leftovers::mounts_below(site.layout.root()) {
        rustix::mount::unmount(&point, UnmountFlags::DETACH).with_context(|| format!("cannot unmount {point}"))?;
    }
    tunables::restore(&record)?;
    for folder in &record.folders {
        // Somebody else may use the folder by now; then it stays.
        let _ = fs::remove_dir(folder);
    }
    let root = site.layout.root();
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    let left = leftovers::list(site);
    ensure!(left.is_empty(), "still there:\n{}", left.join("\n"));
    progress.say("control groups, network and state folder are removed");
    Ok(())
}
