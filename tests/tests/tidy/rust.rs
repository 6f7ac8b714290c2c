//! Rules for Rust files.
//!
//! The rules look at text, not syntax. To keep them honest, what they look for is written here in pieces, so that this
//! file does not find itself.

use crate::tree::{Source, Violations, sources};

/// At this many lines a file must be split.
const LINES_MAX: usize = 800;

/// Above this many lines a file is named in the output, so that review asks why.
const LINES_ASK: usize = 500;

/// Names that say nothing about what is inside.
const NAMES_BANNED: [&str; 9] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "managers", "stuff",
];

/// Where waiting a fixed time is right, and why. A path may be a folder, ending in `/`.
const SLEEPS_ALLOWED: [(&str, &str); 17] = [
    (
        "node/src/cli/",
        "the pace of keepalives, and the pause before a broken watch is opened again",
    ),
    (
        "e2e/src/client/pause.rs",
        "the pause of a workload between two attempts; it is the pace, not a wait",
    ),
    (
        "tests/src/wait.rs",
        "the one poll interval of the black-box tests; every wait there is on a condition",
    ),
    (
        "e2e/src/cluster/wait.rs",
        "the one poll interval of the local Kubernetes, bounded",
    ),
    (
        "e2e/src/cluster/toolchain.rs",
        "looks after a build that runs, bounded, and says how long it has taken",
    ),
    (
        "node/client/src/retry.rs",
        "the pause between two attempts, growing and bounded",
    ),
    (
        "node/src/http/connections/accept.rs",
        "the pause after a failed accept: no descriptors are left, and no event says when",
    ),
    (
        "node/src/simulation/",
        "the time that disk, network and threads of a simulated member take",
    ),
    ("node/src/raft/engine_task.rs", "as simulation, for the engine"),
    (
        "tests/simulation/src/",
        "the pace of a simulated cluster's load, in time that passes without waiting",
    ),
    (
        "node/src/server/belonging.rs",
        "looks at mounted files again, which Kubernetes replaces without an event",
    ),
    (
        "node/src/raft/transfer/send.rs",
        "the pause between two attempts at a member that is gone or has no room; it says when only by being asked",
    ),
    (
        "node/src/raft/state_machine.rs",
        "holds apply back while the engine is far behind; sled has no signal to wait on. Tries a snapshot again",
    ),
    (
        "node/src/service/start.rs",
        "looks again for room on the disk, which comes back by other hands",
    ),
    (
        "node/src/sled_engine.rs",
        "tries again to open a database that a thread of sled's may still be closing",
    ),
    (
        "operator/src/leader.rs",
        "the retry period of leader election, with client-go's meaning",
    ),
    (
        "operator/src/main.rs",
        "the bound on how long work may drain after SIGTERM",
    ),
];

/// Where code may be unsafe, and why. Clippy asks there for a word on each place (`undocumented_unsafe_blocks`).
const UNSAFE_ALLOWED: [(&str, &str); 2] = [
    (
        "tests/powercut/preload/src/",
        "stands for functions of the C library in a process under test, and makes their system calls",
    ),
    (
        "tests/simulation/dice/src/",
        "stands for the C library's source of chance in a simulated cluster",
    ),
];

fn rust() -> Vec<Source> {
    sources(&[".rs"])
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut found = Violations::default();
    for file in rust() {
        if !file.text.starts_with("//!") {
            found.add(
                &file.path,
                1,
                "must open with `//!`: what it is for, what it keeps true, what it does not do",
            );
        }
        if file.text.contains(concat!("//! Place", "holder")) {
            found.add(&file.path, 1, "is still a placeholder");
        }
    }
    found.none();
}

#[test]
fn names_say_what_is_inside() {
    let mut found = Violations::default();
    for file in rust() {
        if file.name() == concat!("mod", ".rs") {
            found.add(
                &file.path,
                1,
                "name it `folder.rs` beside `folder/`, so that editor tabs can be told apart",
            );
        }
        let parts = file.path.trim_end_matches(".rs").split('/');
        for part in parts.filter(|part| NAMES_BANNED.contains(part)) {
            found.add(
                &file.path,
                1,
                format!("`{part}` says nothing; name the thing that is inside"),
            );
        }
    }
    found.none();
}

/// Whether `text` has a line `mod name;`, with any visibility.
fn declares(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        let rest = match line.strip_prefix("pub") {
            Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or("", |(_, rest)| rest),
            Some(rest) => rest,
            None => line,
        };
        rest.trim_start()
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'))
            .is_some_and(|rest| rest == name)
    })
}

/// Whether cargo itself compiles the file: the root of a library, program, test, example, benchmark or build script.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.rsplitn(3, '/').collect();
    let (name, folder) = (parts[0], parts.get(1).copied().unwrap_or_default());
    match name {
        "main.rs" | "build.rs" => true,
        "lib.rs" => folder == "src",
        _ => ["bin", "tests", "examples", "benches"].contains(&folder),
    }
}

#[test]
fn every_file_is_compiled() {
    let files = rust();
    let text_of = |path: &str| {
        files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    };
    let mut found = Violations::default();
    for file in files.iter().filter(|file| !is_root(&file.path)) {
        let name = file.name().trim_end_matches(".rs");
        let Some((folder, _)) = file.path.rsplit_once('/') else {
            found.add(&file.path, 1, "lies outside every package");
            continue;
        };
        let parents = [
            format!("{folder}.rs"),
            format!("{folder}/lib.rs"),
            format!("{folder}/main.rs"),
        ];
        if !parents
            .iter()
            .filter_map(|parent| text_of(parent))
            .any(|text| declares(text, name))
        {
            found.add(
                &file.path,
                1,
                format!("no `mod {name};` in any of {}", parents.join(", ")),
            );
        }
    }
    found.none();
}

#[test]
fn files_stay_short() {
    let mut found = Violations::default();
    for file in rust() {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            found.add(
                &file.path,
                lines,
                format!("{lines} lines; split it (at most {LINES_MAX})"),
            );
        } else if lines > LINES_ASK {
            println!(
                "{}: {lines} lines, tests included; say in review why it is one file",
                file.path
            );
        }
    }
    found.none();
}

#[test]
fn modules_lie_where_their_names_say() {
    let mut found = Violations::default();
    for file in rust().into_iter().filter(|file| file.name() != "build.rs") {
        for (number, line) in file.lines().filter(|(_, line)| line.contains(concat!("#[pa", "th ="))) {
            found.add(
                &file.path,
                number,
                format!("a module's file is where its name says: {}", line.trim()),
            );
        }
    }
    found.none();
}

#[test]
fn nothing_unfinished_or_unsafe() {
    let banned = [
        (concat!("tod", "o!("), "nothing lands unfinished"),
        (concat!("unimple", "mented!("), "nothing lands unfinished"),
        (concat!("#[ign", "ore"), "a test that does not run proves nothing"),
        (concat!("uns", "afe {"), "no unsafe code"),
        (concat!("uns", "afe fn"), "no unsafe code"),
        (concat!("uns", "afe impl"), "no unsafe code"),
        (concat!("uns", "afe extern"), "no unsafe code"),
        (concat!("FIX", "ME"), "mend it, or open an issue"),
        (concat!("XX", "X"), "mend it, or open an issue"),
    ];
    let mut found = Violations::default();
    let files = rust();
    for file in &files {
        let excepted = UNSAFE_ALLOWED.iter().any(|(path, _)| file.path.starts_with(path));
        let allowed = |word: &str| word.starts_with(concat!("uns", "afe")) && excepted;
        for (number, line) in file.lines() {
            for (_, why) in banned.iter().filter(|(word, _)| line.contains(word) && !allowed(word)) {
                found.add(&file.path, number, format!("{why}: {}", line.trim()));
            }
        }
    }
    for (excepted, reason) in UNSAFE_ALLOWED {
        if !files.iter().any(|file| file.path.starts_with(excepted)) {
            found.add(excepted, 1, format!("may be unsafe ({reason}) but does not exist"));
        }
    }
    found.none();
}

#[test]
fn waits_are_for_conditions() {
    let sleeping = [
        concat!("thread::sl", "eep("),
        concat!("time::sl", "eep("),
        concat!(" sl", "eep("),
    ];
    let mut found = Violations::default();
    let files = rust();
    for file in &files {
        if SLEEPS_ALLOWED
            .iter()
            .any(|(path, _)| file.path == *path || path.ends_with('/') && file.path.starts_with(path))
        {
            continue;
        }
        for (number, line) in file.lines() {
            let code = line.trim_start();
            if !code.starts_with("//") && sleeping.iter().any(|word| line.contains(word)) {
                found.add(
                    &file.path,
                    number,
                    format!("wait for a condition, or list the file with a reason: {code}"),
                );
            }
        }
    }
    for (path, reason) in SLEEPS_ALLOWED {
        if !files.iter().any(|file| file.path.starts_with(path)) {
            found.add(
                path,
                1,
                format!("is in the list of allowed waits ({reason}) but does not exist"),
            );
        }
    }
    found.none();
}
