//! Images without a Docker daemon: a list of files (`images/*.files` in the repository) becomes one layer, the layer an
//! archive that containerd, kind, Docker and crane all read, and the archive goes to where the cluster finds it.
//!
//! The same programs always give the same bytes: entries are sorted and carry no times and no owners. So an image is
//! known by its digest, and one that a node has already is not carried there again.

pub mod archive;
pub mod layer;
pub mod list;

use crate::cluster::components::{CRANE, Component};
use crate::cluster::external::Elsewhere;
use crate::cluster::site::Site;
use crate::cluster::wait::Progress;
use crate::cluster::{commands, nodes, programs, toolchain};
use anyhow::{Context, Result, ensure};
use archive::Archive;
use list::{IMAGES, Image};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The image that holds a pod's namespaces.
pub const PAUSE: &str = "registry.kvorum.dev/pause:1";
/// How long one image may take on its way to a node or a registry.
const CARRY_SECONDS_MAX: u64 = 300;

/// An image that was put together.
#[derive(Clone, Debug, Serialize)]
pub struct Assembled {
    /// Its short name.
    pub name: String,
    /// The name under which pods ask for it.
    pub reference: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Where its archive lies.
    pub archive: PathBuf,
    /// Nodes, or the cluster, that it was brought to just now; empty when it was there already.
    pub carried_to: Vec<String>,
}

/// Puts these images together (all, when none is named) from release binaries in a folder.
pub fn assemble(site: &Site, binaries: &Path, names: &[String]) -> Result<Vec<Assembled>> {
    for name in names {
        ensure!(
            IMAGES.iter().any(|image| image.name == name),
            "there is no image called {name}"
        );
    }
    let wanted = IMAGES
        .iter()
        .filter(|image| names.is_empty() || names.iter().any(|name| name == image.name));
    wanted.map(|image| assemble_one(site, binaries, image)).collect()
}

/// The archive of the image that holds a pod's namespaces; it must exist before anything else can.
pub fn pause_archive(site: &Site) -> Result<PathBuf> {
    let program = site.programs.path("pause");
    let mark = mark_of(&[fs::read(&program).context("the program `pause` is not built")?]);
    let file = site.cache.images().join(format!("pause-{mark}.tar"));
    if !file.exists() {
        let layer = layer::of_files(&[("pause", &program)])?;
        let built = archive::build(&Archive {
            reference: PAUSE,
            entrypoint: "/pause",
            user: "65535:65535",
            layer: &layer,
        });
        keep(site, "pause", &file, &built)?;
    }
    Ok(file)
}

/// Imports an archive into one node's containerd.
pub fn import_archive(site: &Site, holder: u32, archive: &Path) -> Result<()> {
    let file = archive.display().to_string();
    let words = programs::ctr(
        &site.programs,
        holder,
        &["images", "import", "--local", "--no-unpack=false", &file],
    );
    let mut command = Command::new(&words[0]);
    commands::output_within(command.args(&words[1..]), Duration::from_secs(CARRY_SECONDS_MAX)).map(drop)
}

/// Brings images to every node of the cluster on this machine that runs and lacks them.
pub fn carry_to_nodes(site: &Site, images: &mut [Assembled]) -> Result<()> {
    let record = crate::cluster::record::Record::read(&site.layout).context("no cluster runs here")?;
    for (node, holder) in nodes::holders(&record) {
        let present = commands::run(programs::ctr(&site.programs, holder, &["images", "ls"]))?;
        for image in images.iter_mut() {
            let there = |line: &str| line.starts_with(&format!("{} ", image.reference)) && line.contains(&image.digest);
            if !present.lines().any(there) {
                import_archive(site, holder, &image.archive)?;
                image.carried_to.push(node.name());
            }
        }
    }
    Ok(())
}

/// Brings images to a cluster elsewhere: into the nodes of a kind cluster, otherwise to the registry in `REGISTRY`,
/// whose name the references then bear.
pub fn carry_elsewhere(site: &Site, cluster: &Elsewhere, images: &mut [Assembled], progress: &Progress) -> Result<()> {
    let limit = Duration::from_secs(CARRY_SECONDS_MAX);
    if let Some(kind) = cluster.context.strip_prefix("kind-") {
        for image in images {
            let mut command = Command::new("kind");
            command
                .args(["load", "image-archive", "--name", kind])
                .arg(&image.archive);
            commands::output_within(&mut command, limit)?;
            image.carried_to.push(cluster.context.clone());
        }
        return Ok(());
    }
    let registry = std::env::var("REGISTRY").ok().filter(|registry| !registry.is_empty());
    let registry =
        registry.context("set REGISTRY to a registry that the cluster pulls from, such as registry.example.com/me")?;
    let crane: &Component = &CRANE;
    let programs = toolchain::build(&site.cache, &[crane], progress)?;
    for image in images {
        let (_, name) = image.reference.rsplit_once('/').expect("a reference has a registry");
        image.reference = format!("{}/{name}", registry.trim_end_matches('/'));
        let mut command = Command::new(programs.path("crane"));
        command.arg("push").arg(&image.archive).arg(&image.reference);
        commands::output_within(&mut command, limit)?;
        image.carried_to.push(registry.clone());
    }
    Ok(())
}

fn assemble_one(site: &Site, binaries: &Path, image: &Image) -> Result<Assembled> {
    let list = list::parse(image.list)?;
    let mut inputs: Vec<Vec<u8>> = list::SUPPORT
        .iter()
        .map(|(_, content)| content.as_bytes().to_vec())
        .collect();
    inputs.push(image.list.as_bytes().to_vec());
    for program in &list.programs {
        let path = binaries.join(program);
        inputs.push(fs::read(&path).with_context(|| format!("{} is not built", path.display()))?);
    }
    let archive = site
        .cache
        .images()
        .join(format!("{}-{}.tar", image.name, mark_of(&inputs)));
    let digest_file = archive.with_extension("digest");
    let reference = image.reference();
    let digest = match fs::read_to_string(&digest_file) {
        Ok(digest) if archive.exists() => digest,
        _ => {
            let layer = list::stage(image, binaries, &site.cache.images().join("stage"))?;
            let (entrypoint, user) = (list.entrypoint.as_str(), list.user.as_str());
            let built = archive::build(&Archive {
                reference: &reference,
                entrypoint,
                user,
                layer: &layer,
            });
            keep(site, image.name, &archive, &built)?;
            fs::write(&digest_file, &built.digest)?;
            built.digest
        }
    };
    Ok(Assembled {
        name: image.name.to_owned(),
        reference,
        digest,
        archive,
        carried_to: Vec::new(),
    })
}

/// Writes an archive into the cache and drops earlier ones of the same image.
fn keep(site: &Site, name: &str, file: &Path, built: &archive::Built) -> Result<()> {
    fs::create_dir_all(site.cache.images())?;
    for entry in fs::read_dir(site.cache.images())?.flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let mark = found
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-')?.split_once('.'));
        if mark.is_some_and(|(mark, _)| mark.len() == MARK_LETTERS && mark.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            fs::remove_file(entry.path())?;
        }
    }
    let fresh = file.with_extension("fresh");
    fs::write(&fresh, &built.bytes)?;
    Ok(fs::rename(fresh, file)?)
}

/// Length of a mark: long enough that two builds never share one.
const MARK_LETTERS: usize = 16;

fn mark_of(parts: &[Vec<u8>]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())[..MARK_LETTERS].to_owned()
}
