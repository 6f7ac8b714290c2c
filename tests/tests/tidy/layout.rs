//! Rules for the repository as a whole: text hygiene, packages, scripts, generated files.

use crate::tree::{Violations, paths, root, sources, text};

/// No tracked file may be larger, in bytes: binaries and captures do not belong here. Lock and sum files may.
const FILE_BYTES_MAX: u64 = 512 * 1024;

/// Text files whose every line is checked.
const TEXT: [&str; 13] = [
    ".rs",
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".proto",
    ".sh",
    ".go",
    ".tpl",
    "Makefile",
    "/run",
    "Dockerfile",
];

#[test]
fn text_is_clean() {
    let mut found = Violations::default();
    for file in sources(&TEXT) {
        for (number, line) in file.lines() {
            if line.ends_with([' ', '\t']) {
                found.add(&file.path, number, "white space at the end");
            }
            if let Some(odd) = line.chars().find(|c| is_hidden(*c)) {
                found.add(&file.path, number, format!("hidden character {}", odd.escape_unicode()));
            }
            if file.path.ends_with(".rs") && line.contains('\t') {
                found.add(&file.path, number, "tab; use spaces, or \\t in a string");
            }
        }
        if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
            found.add(
                &file.path,
                file.text.lines().count(),
                "must end in exactly one line feed",
            );
        }
    }
    found.none();
}

/// Characters that make text look like something else: carriage returns, byte-order marks, zero-width and
/// direction-changing characters.
fn is_hidden(c: char) -> bool {
    matches!(c, '\r' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{a0}')
        || (c.is_control() && c != '\t')
}

#[test]
fn files_are_small() {
    let mut found = Violations::default();
    for path in paths() {
        let bytes = std::fs::metadata(root().join(&path)).map_or(0, |meta| meta.len());
        let lock = path.ends_with(".lock") || path.ends_with("go.sum");
        if bytes > FILE_BYTES_MAX && !lock {
            found.add(&path, 1, format!("{bytes} bytes; at most {FILE_BYTES_MAX}"));
        }
    }
    found.none();
}

/// Clients of others, each a package by itself, whose dependencies are none of the workspace's business.
const CLIENTS: &str = "tests/clients/";

/// The packages that may be unsafe: they have the workspace's lints written out, but for that one.
const UNSAFE: [&str; 2] = ["tests/powercut/preload/Cargo.toml", "tests/simulation/dice/Cargo.toml"];

/// What the lints of each of [`UNSAFE`] must be.
fn lints_but_unsafe(workspace: &str) -> String {
    let from = workspace.find("[workspace.lints.rust]").unwrap_or_default();
    let lints = workspace[from..].split("\n[profile").next().unwrap_or_default();
    let own = lints.replace("[workspace.", "[");
    own.replace("unsafe_code = \"forbid\"", "unsafe_code = \"allow\"")
        .trim()
        .to_owned()
}

/// Package manifests of the workspace, by path.
fn manifests() -> Vec<String> {
    paths()
        .into_iter()
        .filter(|path| path.ends_with("/Cargo.toml") && !path.starts_with(CLIENTS))
        .collect()
}

#[test]
fn packages_share_lints_and_versions() {
    let mut found = Violations::default();
    let workspace = text("Cargo.toml");
    for path in manifests() {
        let manifest = text(&path);
        let folder = path.trim_end_matches("/Cargo.toml");
        if !workspace.contains(&format!("\"{folder}\"")) {
            found.add(&path, 1, "is no member of the workspace");
        }
        let lints = match path.as_str() {
            path if UNSAFE.contains(&path) => lints_but_unsafe(&workspace),
            _ => "[lints]\nworkspace = true".to_owned(),
        };
        if !manifest.contains(&lints) {
            found.add(&path, 1, format!("must take the workspace's lints:\n{lints}"));
        }
        let (mut section, mut before) = ("", "");
        for (index, line) in manifest.lines().enumerate() {
            // An exception is a comment on the line before.
            if section.contains("dependencies") && line.contains("version") && !before.starts_with('#') {
                found.add(
                    &path,
                    index + 1,
                    format!("versions live in the root Cargo.toml: {line}"),
                );
            }
            section = if line.starts_with('[') { line } else { section };
            before = line;
        }
    }
    found.none();
}

#[test]
fn scripts_are_used() {
    let mut found = Violations::default();
    let callers = sources(&["Makefile", ".md", "/run"]);
    let scripts: Vec<_> = sources(&[""])
        .into_iter()
        .filter(|file| file.path.starts_with("tests/scripts/"))
        .collect();
    assert!(
        !scripts.is_empty(),
        "the scripts have moved; this rule must follow them"
    );
    for script in &scripts {
        let name = script.name();
        let others = scripts.iter().filter(|other| other.path != script.path);
        let named =
            |text: &str| text.contains(&format!("scripts/{name}")) || text.contains(&format!("SCRIPTS)/{name}"));
        let beside = |text: &str| text.contains(&format!("/{name}"));
        if !callers.iter().any(|file| named(&file.text)) && !others.into_iter().any(|file| beside(&file.text)) {
            found.add(&script.path, 1, "nothing calls it");
        }
        if !script.text.starts_with("#!/bin/") || !script.text.lines().nth(1).unwrap_or_default().starts_with("# ") {
            found.add(
                &script.path,
                1,
                "must start with its interpreter and a sentence on what it does",
            );
        }
    }
    found.none();
}

/// Test programs that `make` runs elsewhere than among the quick ones: they need a built node, or a cluster, or members
/// made for the simulation.
const SLOW_TESTS: [&str; 3] = ["blackbox", "scenarios", "simulation"];

#[test]
fn every_test_program_is_run() {
    let makefile = text("Makefile");
    let quick = makefile
        .lines()
        .find_map(|line| line.strip_prefix("QUICK := "))
        .unwrap_or_default();
    let named: Vec<&str> = quick.split_whitespace().chain(SLOW_TESTS).collect();
    let mut found = Violations::default();
    for path in paths() {
        let Some((_, rest)) = path.strip_suffix(".rs").and_then(|path| path.split_once("/tests/")) else {
            continue;
        };
        let rest = rest.strip_prefix("tests/").unwrap_or(rest);
        let name = match rest.split_once('/') {
            None => rest,
            Some((name, "main")) => name,
            Some(_) => continue,
        };
        if !path.contains("/src/") && !named.contains(&name) {
            found.add(&path, 1, format!("the Makefile does not run the test program `{name}`"));
        }
    }
    found.none();
}
