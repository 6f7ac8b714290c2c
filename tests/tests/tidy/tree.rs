//! The files of the repository, read once per rule, and the list of violations that a rule fills.
//!
//! Build output and git's own folder are left out. Paths are relative to the repository's root and use `/`.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold no source of ours.
const SKIPPED: [&str; 3] = [".git", "target", "node_modules"];

/// One text file.
pub(crate) struct Source {
    /// Relative to the root, for example `node/src/main.rs`.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

impl Source {
    /// Lines with their numbers, counted from one.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The file's name without its folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package lies in the repository")
        .to_path_buf()
}

/// Every file's path, sorted.
pub(crate) fn paths() -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a folder of the repository can be read") {
            let path = entry.expect("a folder of the repository can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_symlink() || SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                let relative = path.strip_prefix(root).expect("walked from the root");
                found.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &root(), &mut found);
    found.sort();
    found
}

/// Every file whose name ends in one of the endings, with its text.
pub(crate) fn sources(endings: &[&str]) -> Vec<Source> {
    paths()
        .into_iter()
        .filter(|path| endings.iter().any(|ending| path.ends_with(ending)))
        .map(|path| {
            let bytes = fs::read(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let text = String::from_utf8(bytes).unwrap_or_else(|_| panic!("{path}: is not UTF-8"));
            Source { path, text }
        })
        .collect()
}

/// One file's text, by its path from the root.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a rule found wrong.
#[derive(Default)]
pub(crate) struct Violations(Vec<String>);

impl Violations {
    /// Adds one.
    pub(crate) fn add(&mut self, path: &str, line: usize, what: impl AsRef<str>) {
        self.0.push(format!("{path}:{line}: {}", what.as_ref()));
    }

    /// Fails the test with all of them, if there is any.
    pub(crate) fn none(self) {
        assert!(
            self.0.is_empty(),
            "{} violation(s):\n{}\n",
            self.0.len(),
            self.0.join("\n")
        );
    }
}
