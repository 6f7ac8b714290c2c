//! Control groups: where the cluster's processes are counted, limited and found again.
//!
//! Machines differ: the old kind mounts one hierarchy per controller, the new kind a single one. Both are served; in the
//! old kind every hierarchy gets the same folders. A node's kubelet keeps its pods below the node's folder, and the
//! node's own programs lie beside them in `daemons`, because the new kind allows processes in leaves only.

use super::process;
use super::topology::{CGROUP, Node};
use super::wait;
use anyhow::{Context, Result};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The share of processor time that the whole cluster gets when the machine is busy, where 1024 is the weight of any
/// one other process: the control plane must not starve beside a compiler.
const PROCESSOR_SHARES: &str = "16384";
/// The same in the new kind's scale, whose default is 100.
const PROCESSOR_WEIGHT: &str = "1600";
/// How long killed processes may take to vanish.
const END_SECONDS_MAX: u64 = 20;

/// The hierarchies of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchies {
    roots: Vec<PathBuf>,
    unified: bool,
}

impl Hierarchies {
    /// Finds them.
    pub fn of_this_machine() -> Result<Hierarchies> {
        Ok(parse_mounts(
            &fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?,
        ))
    }

    /// Makes a folder for the control plane and for each node.
    pub fn prepare(&self, nodes: &[Node]) -> Result<()> {
        let groups = [CGROUP.to_owned(), control()];
        let groups = groups
            .into_iter()
            .chain(nodes.iter().flat_map(|node| [node.cgroup(), daemons(*node)]));
        for group in groups {
            self.make(&group)?;
        }
        let (file, value) = if self.unified {
            ("cpu.weight", PROCESSOR_WEIGHT)
        } else {
            ("cpu.shares", PROCESSOR_SHARES)
        };
        for root in &self.roots {
            let file = root.join(CGROUP).join(file);
            if file.exists() {
                fs::write(&file, value).with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
        Ok(())
    }

    /// Files to write a process id into so that the process belongs to this group, everywhere.
    pub fn enrolment(&self, group: &str) -> Vec<String> {
        self.roots
            .iter()
            .map(|root| root.join(group).join("cgroup.procs").display().to_string())
            .collect()
    }

    /// The processes of a group and of all groups below it.
    pub fn processes(&self, group: &str) -> Vec<u32> {
        let mut found = Vec::new();
        for root in &self.roots {
            visit(&root.join(group), &mut |folder| {
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            });
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Kills every process of a group, and those they start meanwhile, until none is left.
    pub fn kill(&self, group: &str) -> Result<usize> {
        let mut killed = 0;
        let gone = wait::poll(Duration::from_secs(END_SECONDS_MAX), Duration::from_millis(20), || {
            let living = self.processes(group);
            killed = killed.max(living.len());
            living.iter().try_for_each(|pid| process::signal(*pid, Signal::KILL))?;
            Ok(living.is_empty().then_some(()))
        });
        gone.with_context(|| format!("processes {:?} of {group} do not end", self.processes(group)))?;
        Ok(killed)
    }

    /// Removes a group and those below it, which must be empty of processes.
    pub fn remove(&self, group: &str) -> Result<()> {
        for root in &self.roots {
            let mut folders = Vec::new();
            visit(&root.join(group), &mut |folder| folders.push(folder.to_owned()));
            for folder in folders.iter().rev() {
                // The kernel lets go of a killed process's group a moment after the process is gone.
                wait::poll(Duration::from_secs(5), Duration::from_millis(20), || {
                    Ok(fs::remove_dir(folder).ok())
                })
                .with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        Ok(())
    }

    /// Folders of the group that still exist.
    pub fn folders(&self, group: &str) -> Vec<PathBuf> {
        self.roots
            .iter()
            .map(|root| root.join(group))
            .filter(|folder| folder.exists())
            .collect()
    }

    fn make(&self, group: &str) -> Result<()> {
        for root in &self.roots {
            let folder = root.join(group);
            let made = || format!("cannot make the control group {}", folder.display());
            if !folder.exists() {
                fs::create_dir(&folder).with_context(made)?;
            }
            let parent = folder.parent().expect("a group lies below its root");
            if self.unified {
                delegate(parent);
            } else {
                inherit(parent, &folder).with_context(made)?;
            }
        }
        Ok(())
    }
}

/// The group of the control plane.
pub fn control() -> String {
    format!("{CGROUP}/control")
}

/// The group of a node's own programs, as opposed to its pods.
pub fn daemons(node: Node) -> String {
    format!("{}/daemons", node.cgroup())
}

/// A new group of the old kind has no processors and no memory nodes until it is told some.
fn inherit(parent: &Path, folder: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(file), folder.join(file));
        if from.exists() && fs::read_to_string(&to)?.trim().is_empty() {
            fs::write(to, fs::read_to_string(from)?.trim())?;
        }
    }
    Ok(())
}

/// A group of the new kind passes controllers on only when told to. One that the machine lacks is no error here: the
/// kubelet names those it cannot do without.
fn delegate(parent: &Path) {
    for controller in ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"] {
        let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

fn visit(folder: &Path, see: &mut dyn FnMut(&Path)) {
    if !folder.is_dir() {
        return;
    }
    see(folder);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            visit(&entry.path(), see);
        }
    }
}

/// With both kinds mounted the old one counts, as it does for the container runtime.
fn parse_mounts(text: &str) -> Hierarchies {
    let of_kind = |wanted: &str| -> Vec<PathBuf> {
        let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        fields
            .filter(|it| it.get(2) == Some(&wanted))
            .filter_map(|it| it.get(1).map(PathBuf::from))
            .collect()
    };
    let old = of_kind("cgroup");
    if old.is_empty() {
        return Hierarchies {
            roots: of_kind("cgroup2"),
            unified: true,
        };
    }
    Hierarchies {
        roots: old,
        unified: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0" => (vec!["/sys/fs/cgroup".into()], true))]
    #[test_case("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                 cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0"
                 => (vec!["/sys/fs/cgroup/cpu".into(), "/sys/fs/cgroup/systemd".into()], false))]
    fn hierarchies(mounts: &str) -> (Vec<PathBuf>, bool) {
        let found = parse_mounts(mounts);
        (found.roots, found.unified)
    }
}
