//! Rules for the written pages: what they name exists.

use crate::tree::{Source, Violations, paths, sources, text};

/// The targets that the Makefile defines.
fn targets() -> Vec<String> {
    let makefile = text("Makefile");
    let names = makefile.lines().filter_map(|line| line.strip_prefix(".PHONY: "));
    names
        .flat_map(|line| line.split_whitespace().map(str::to_owned))
        .collect()
}

/// The words between back-quotes on a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn pages() -> Vec<Source> {
    sources(&[".md"])
        .into_iter()
        .filter(|page| page.name() != "CHANGELOG.md")
        .collect()
}

#[test]
fn make_targets_exist() {
    let known = targets();
    let mut found = Violations::default();
    for page in pages() {
        for (number, line) in page.lines() {
            let code = quoted(line).chain(line.trim().starts_with("make ").then(|| line.trim()));
            for target in code
                .filter_map(|code| code.strip_prefix("make "))
                .filter_map(|rest| rest.split_whitespace().next())
            {
                if !known.iter().any(|name| name == target) && !target.contains('<') {
                    found.add(&page.path, number, format!("the Makefile has no target `{target}`"));
                }
            }
        }
    }
    found.none();
}

/// Whether a quoted word is meant as a path of this repository.
fn is_path(word: &str, top: &[String]) -> bool {
    let first = word.split('/').next().unwrap_or_default();
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    plain && word.contains('/') && top.iter().any(|name| name == first)
}

#[test]
fn named_paths_exist() {
    let all = paths();
    let mut top: Vec<String> = all
        .iter()
        .filter_map(|path| path.split_once('/'))
        .map(|(top, _)| top.to_owned())
        .collect();
    top.dedup();
    let mut found = Violations::default();
    for page in pages() {
        for (number, line) in page.lines() {
            for word in quoted(line).filter(|word| is_path(word, &top)) {
                let folder = format!("{}/", word.trim_end_matches('/'));
                if !all.iter().any(|path| path == word || path.starts_with(&folder)) {
                    found.add(&page.path, number, format!("there is no `{word}`"));
                }
            }
        }
    }
    found.none();
}

#[test]
fn named_types_exist() {
    let code = sources(&[".rs", ".proto"]);
    let mut found = Violations::default();
    for page in pages().iter().filter(|page| page.path == "docs/architecture.md") {
        for (number, line) in page.lines() {
            for word in quoted(line).filter(|word| is_type(word)) {
                let defined = ["struct ", "enum ", "trait ", "type "].map(|kind| format!("{kind}{word}"));
                if !code
                    .iter()
                    .any(|file| defined.iter().any(|definition| file.text.contains(definition.as_str())))
                {
                    found.add(&page.path, number, format!("there is no type `{word}`"));
                }
            }
        }
    }
    found.none();
}

/// Whether a quoted word looks like a Rust type: one capitalised word with a second capital or a small letter in it.
fn is_type(word: &str) -> bool {
    word.chars().next().is_some_and(|c| c.is_ascii_uppercase())
        && word.chars().all(|c| c.is_ascii_alphanumeric())
        && word.chars().any(|c| c.is_ascii_lowercase())
}

#[test]
fn links_lead_somewhere() {
    let all = paths();
    let mut found = Violations::default();
    for page in pages() {
        let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in page.lines() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap_or_default();
                if target.is_empty() || target.contains("://") {
                    continue;
                }
                let resolved = resolve(folder, target);
                let inside = format!("{resolved}/");
                if !all.iter().any(|path| *path == resolved || path.starts_with(&inside)) {
                    found.add(&page.path, number, format!("the link to `{target}` leads nowhere"));
                }
            }
        }
    }
    found.none();
}

/// The path that a link on a page in `folder` means.
fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[test]
fn decisions_are_numbered() {
    let mut found = Violations::default();
    let records: Vec<_> = pages()
        .into_iter()
        .filter(|page| page.path.starts_with("docs/decisions/"))
        .collect();
    for (index, record) in records.iter().enumerate() {
        let number = index + 1;
        if !record.name().starts_with(&format!("{number:04}-")) {
            found.add(
                &record.path,
                1,
                format!("should be number {number:04}: records are numbered without gaps"),
            );
        }
        if !record.text.starts_with(&format!("# {number}. ")) {
            found.add(&record.path, 1, format!("must open with `# {number}. <title>`"));
        }
        if !record.text.contains("**Decision.**") || !record.text.contains("**Why.**") {
            found.add(&record.path, 1, "must say the decision and why");
        }
    }
    assert!(
        !records.is_empty(),
        "the decision records have moved; this rule must follow them"
    );
    found.none();
}

#[test]
fn the_changelog_knows_this_version() {
    let version = format!("## {}", env!("CARGO_PKG_VERSION"));
    let changelog = text("CHANGELOG.md");
    let newest = changelog
        .lines()
        .find(|line| line.starts_with("## "))
        .unwrap_or_default();
    assert!(
        newest.starts_with(&version),
        "CHANGELOG.md: the newest entry is `{newest}`, the version `{version}`"
    );
}
