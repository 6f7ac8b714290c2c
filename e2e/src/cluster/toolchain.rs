//! Builds components with the Go toolchain into the cache. A component that is there already costs nothing, in a fresh
//! clone too, because the cache knows it by the hash of its module files.
//!
//! A build goes into a folder beside the final one and is renamed into place when whole, so an interrupted build leaves
//! nothing that looks finished.

use super::commands;
use super::components::{CLUSTER, Component, KUBE};
use super::layout::Cache;
use super::wait::Progress;
use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The longest one component may take to build: twelve times what the slowest takes on two idle cores.
const BUILD_SECONDS_MAX: u64 = 3600;
/// How often a build that runs is mentioned.
const MENTION_SECONDS: u64 = 20;

/// The built programs of the cluster, found by name.
#[derive(Clone, Debug)]
pub struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// The path of a program, which must have been built.
    pub fn path(&self, name: &str) -> PathBuf {
        let found = self
            .folders
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.exists());
        found.unwrap_or_else(|| PathBuf::from(name))
    }

    /// The folders, for a `PATH`.
    pub fn search_path(&self) -> String {
        let folders = self.folders.iter().map(|folder| folder.display().to_string());
        folders
            .chain(["/usr/sbin:/usr/bin:/sbin:/bin".to_owned()])
            .collect::<Vec<_>>()
            .join(":")
    }
}

/// The programs that these components yield, built or not.
pub fn programs(cache: &Cache, components: &[&Component]) -> Programs {
    Programs {
        folders: components
            .iter()
            .map(|it| cache.programs(it.name, &it.fingerprint()))
            .collect(),
    }
}

/// All programs of a cluster on this machine.
pub fn cluster_programs(cache: &Cache) -> Programs {
    programs(cache, &CLUSTER.iter().collect::<Vec<_>>())
}

/// `kubectl` and `helm` for a cluster elsewhere: the user's own where both are installed, otherwise ours.
pub fn user_programs(cache: &Cache, progress: &Progress) -> Result<Programs> {
    let installed = ["kubectl", "helm"].into_iter().all(on_path);
    let wanted: &[&Component] = if installed { &[] } else { &[&KUBE] };
    build(cache, wanted, progress)
}

/// Builds what is missing and returns where everything is.
pub fn build(cache: &Cache, components: &[&Component], progress: &Progress) -> Result<Programs> {
    let found = programs(cache, components);
    if components.iter().zip(&found.folders).all(|(_, folder)| folder.is_dir()) {
        return Ok(found);
    }
    let _lock = hold(&cache.lock("build"))?;
    let missing: Vec<&&Component> = components
        .iter()
        .filter(|it| !cache.programs(it.name, &it.fingerprint()).is_dir())
        .collect();
    let minutes: f32 = missing.iter().map(|it| it.minutes).sum();
    progress.say(&format!(
        "building {} of {} components (about {minutes:.0} min on two cores)",
        missing.len(),
        components.len()
    ));
    for (done, component) in missing.iter().enumerate() {
        let place = format!("[{}/{}] {}", done + 1, missing.len(), component.name);
        build_one(cache, component, &place, progress)?;
    }
    Ok(found)
}

/// Waits for, and then holds, a lock until the returned file is dropped.
pub fn hold(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let file = File::create(path).with_context(|| format!("cannot open the lock {}", path.display()))?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Whether a program is found on the user's `PATH`.
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn build_one(cache: &Cache, component: &Component, place: &str, progress: &Progress) -> Result<()> {
    let target = cache.programs(component.name, &component.fingerprint());
    let fresh = target.with_extension("partial");
    let sources = target.with_extension("sources");
    for folder in [&fresh, &sources] {
        remove_folder(folder)?;
        fs::create_dir_all(folder)?;
    }
    for (path, content) in component.files {
        fs::write(sources.join(path), content)?;
    }
    progress.say(&format!("{place}: building (about {:.1} min)", component.minutes));
    let begun = Instant::now();
    run_go(cache, component, &sources, &fresh, place, progress)?;
    for (program, names) in component.programs {
        anyhow::ensure!(
            fresh.join(program).is_file(),
            "the build of {} yields no {program}",
            component.name
        );
        names.iter().try_for_each(|name| symlink(program, fresh.join(name)))?;
    }
    fs::rename(&fresh, &target)?;
    remove_folder(&sources)?;
    progress.say(&format!("{place}: built in {:.0} s", begun.elapsed().as_secs_f32()));
    Ok(())
}

/// The compiler's garbage collector, in Go's own terms: compiling ends before much is garbage, so it seldom runs, and the
/// limit keeps the largest program's linker within what a small machine has.
const COLLECTOR: [(&str, &str); 2] = [("GOGC", "400"), ("GOMEMLIMIT", "3GiB")];

fn run_go(
    cache: &Cache,
    component: &Component,
    sources: &Path,
    output: &Path,
    place: &str,
    progress: &Progress,
) -> Result<()> {
    let log = cache.build_log(component.name);
    fs::create_dir_all(log.parent().expect("a log lies in a folder"))?;
    let mut child = Command::new("nice")
        .arg("go")
        .args(component.arguments(&format!("{}/", output.display())))
        .current_dir(sources)
        .env("CGO_ENABLED", if component.cgo { "1" } else { "0" })
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .envs(COLLECTOR)
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?)
        .spawn()
        .context("cannot start `go`: install Go 1.26 or later")?;
    let begun = Instant::now();
    let mut mentioned = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let elapsed = begun.elapsed().as_secs();
        if elapsed > BUILD_SECONDS_MAX {
            child.kill()?;
            child.wait()?;
            bail!("{}: not built after {BUILD_SECONDS_MAX} s", component.name);
        }
        if elapsed / MENTION_SECONDS > mentioned {
            mentioned = elapsed / MENTION_SECONDS;
            progress.say(&format!("{place}: still building, {elapsed} s"));
        }
        thread::sleep(Duration::from_millis(100));
    };
    if !status.success() {
        let said = fs::read_to_string(&log)?;
        let tail: Vec<&str> = said.lines().rev().take(20).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!(
            "{} does not build ({status}); the end of {}:\n{}",
            component.name,
            log.display(),
            tail.join("\n")
        );
    }
    Ok(())
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// What the cluster needs from the distribution: a file that tells whether it is there, and Debian's name for it.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/bin/ip", "iproute2"),
    ("/usr/include/seccomp.h", "libseccomp-dev"),
    ("/usr/bin/pkg-config", "pkg-config"),
    ("/usr/bin/gcc", "gcc"),
    ("/usr/bin/nsenter", "util-linux"),
];

/// Installs what is missing where it may, and says what to install where it may not.
pub fn require_packages(progress: &Progress) -> Result<()> {
    let absent = |file: &str| {
        let name = Path::new(file)
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        !Path::new(file).exists() && !on_path(name)
    };
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(file, _)| absent(file))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !rustix::process::geteuid().is_root() || !on_path("apt-get") {
        bail!(
            "missing from this machine: {names} (names of Debian packages). Install them, or set KUBECONFIG to use another cluster"
        );
    }
    progress.say(&format!("installing {names}"));
    let install = || {
        let mut command = Command::new("apt-get");
        command
            .args(["install", "-y", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive");
        commands::output_within(&mut command, Duration::from_secs(600))
    };
    if install().is_err() {
        commands::output_within(Command::new("apt-get").arg("update"), Duration::from_secs(600))?;
        install()?;
    }
    Ok(())
}
