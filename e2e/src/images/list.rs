//! The images there are and the lists of their files, compiled in from the folder `images` of the repository.

use super::layer;
use crate::cluster::commands;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// An image of ours.
#[derive(Debug)]
pub struct Image {
    /// Its short name.
    pub name: &'static str,
    /// The list of its files.
    pub list: &'static str,
}

impl Image {
    /// The name under which pods ask for it.
    pub fn reference(&self) -> String {
        format!("registry.kvorum.dev/{}:{}", self.name, env!("CARGO_PKG_VERSION"))
    }
}

/// The node, the operator, and the client that scenarios run.
pub const IMAGES: &[Image] = &[
    Image {
        name: "kvorum",
        list: include_str!("../../../images/kvorum.files"),
    },
    Image {
        name: "kvorum-operator",
        list: include_str!("../../../images/kvorum-operator.files"),
    },
    Image {
        name: "kvorum-e2e-client",
        list: include_str!("../../../images/kvorum-e2e-client.files"),
    },
];

/// Files that the lists refer to, and the script that follows a list.
pub const SUPPORT: &[(&str, &str)] = &[
    ("stage", include_str!("../../../images/stage")),
    ("passwd", include_str!("../../../images/passwd")),
    ("group", include_str!("../../../images/group")),
    ("nsswitch.conf", include_str!("../../../images/nsswitch.conf")),
];

/// What the assembler itself needs from a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Names of programs from the folder of release binaries.
    pub programs: Vec<String>,
    /// What the image runs.
    pub entrypoint: String,
    /// As whom, by number.
    pub user: String,
}

/// Reads a list; a line of unknown kind is an error.
pub fn parse(text: &str) -> Result<List> {
    let mut list = List::default();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["program", name, _] => list.programs.push(name.to_owned()),
            ["file", name, _] => ensure!(
                SUPPORT.iter().any(|(known, _)| *known == name),
                "no file {name} beside the list"
            ),
            ["folder", _, _] => {}
            ["entrypoint", path] => list.entrypoint = path.to_owned(),
            ["user", user] => list.user = user.to_owned(),
            _ => bail!("not a line of a list: {line}"),
        }
    }
    ensure!(
        !list.entrypoint.is_empty() && !list.user.is_empty(),
        "a list needs an entrypoint and a user"
    );
    Ok(list)
}

/// Lays an image's files out in a folder of scratch and returns them as a layer.
pub fn stage(image: &Image, binaries: &Path, scratch: &Path) -> Result<Vec<u8>> {
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    fs::create_dir_all(scratch)?;
    let list = format!("{}.files", image.name);
    for (name, content) in SUPPORT.iter().copied().chain([(list.as_str(), image.list)]) {
        fs::write(scratch.join(name), content)?;
    }
    let out = scratch.join("out");
    let mut command = Command::new("sh");
    command
        .arg(scratch.join("stage"))
        .arg(scratch.join(&list))
        .arg(binaries)
        .arg(&out);
    commands::output(&mut command).with_context(|| format!("cannot lay out the image {}", image.name))?;
    let layer = layer::of_folder(&out)?;
    fs::remove_dir_all(scratch)?;
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_readable() {
        for image in IMAGES {
            let list = parse(image.list).unwrap();
            assert_eq!(list.entrypoint, format!("/usr/local/bin/{}", image.name));
            assert_eq!(list.user, "65532:65532");
        }
    }
}
