//! The page of all paths and methods (`docs/surface.md`) leaves none out and names only tests that exist.

use std::collections::BTreeSet;

use crate::tree::{sources, text};

/// JSON paths of etcd 3.7: those of its three API descriptions, aliases included.
const JSON_PATHS: usize = 51;

/// One line of the page's table: method, JSON paths, test file and test.
struct Row {
    method: String,
    paths: Vec<String>,
    file: String,
    test: String,
}

fn rows() -> Vec<Row> {
    let page = text("docs/surface.md");
    let lines = page.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            let words = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
            let [method, paths, test] = cells[..] else {
                panic!("three columns: {line}");
            };
            let test = words(test);
            Row {
                method: words(method).concat(),
                paths: words(paths),
                file: test[0].clone(),
                test: test[1].clone(),
            }
        })
        .collect()
}

#[test]
fn every_method_of_every_service_has_a_row() {
    let mut methods = BTreeSet::new();
    for file in sources(&[".proto"]) {
        let mut service = "";
        for line in file.text.lines() {
            let mut words = line
                .split(|c: char| !c.is_ascii_alphanumeric())
                .filter(|word| !word.is_empty());
            match (words.next(), words.next()) {
                (Some("service"), Some(name)) => service = name,
                (Some("rpc"), Some(name)) => drop(methods.insert(format!("{service}.{name}"))),
                _ => {}
            }
        }
    }
    let listed: BTreeSet<String> = rows().into_iter().map(|row| row.method).collect();
    let missing: Vec<_> = methods.difference(&listed).collect();
    assert!(missing.is_empty(), "docs/surface.md misses {missing:?}");
    assert!(!methods.is_empty());
}

#[test]
fn every_json_path_has_a_row_and_a_route() {
    let listed: BTreeSet<String> = rows().into_iter().flat_map(|row| row.paths).collect();
    let mut routes = BTreeSet::new();
    for file in sources(&[".rs"]) {
        if file.path.starts_with("node/src/http") {
            let quoted = file.text.split('"').skip(1).step_by(2);
            routes.extend(
                quoted
                    .filter(|word| word.starts_with("/v3/") && word.len() > 4)
                    .map(str::to_owned),
            );
        }
    }
    assert_eq!(listed, routes, "docs/surface.md and the routes of node/src/http");
    assert_eq!(listed.len(), JSON_PATHS);
}

#[test]
fn every_named_test_exists() {
    let mut wrong = Vec::new();
    for row in rows() {
        let file = text(&format!("tests/tests/blackbox/{}", row.file));
        if !file.contains(&format!("async fn {}()", row.test)) {
            wrong.push(format!("{}: {} has no test {}", row.method, row.file, row.test));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
