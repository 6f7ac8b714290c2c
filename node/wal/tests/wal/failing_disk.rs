//! A disk that refuses to write, or is full: real refusals by the kernel, in a second process (this test binary again)
//! whose limits can be spoiled.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
    sync::{Arc, Mutex, mpsc},
};

use kvorum_wal::{AppendError, Batch, Failure, Kind, Options};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{PATIENCE, append, open_in, options, payload, wait_until};

/// Names the directory to the second process.
const DIRECTORY: &str = "KVORUM_WAL_TEST_DIRECTORY";

#[test]
fn a_failed_write_ends_the_log_and_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    // Without the trap the limit would kill the process before it could see the error.
    let output = second_process(
        "trap '' XFSZ; exec \"$0\" \"$@\"",
        "failing_disk::writes_beyond_a_limit",
        dir.path(),
    );
    assert!(output.status.success(), "{output:?}");
    let (_wal, seen) = open_in(dir.path(), options()).unwrap();
    assert_eq!(
        seen.iter().map(|(.., payload)| payload.clone()).collect::<Vec<_>>(),
        [payload(1, 300)]
    );
}

/// The second process of the test above.
#[test]
fn writes_beyond_a_limit() {
    let Ok(dir) = env::var(DIRECTORY) else { return };
    let failures = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&failures);
    let fatal = Arc::new(move |failure: &Failure| hook.lock().unwrap().push(failure.to_string()));
    let (wal, _) = open_in(Path::new(&dir), Options { fatal, ..options() }).unwrap();
    let model = append(&wal, &[payload(1, 300)]);
    let end = model[0].0.offset + 328;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: Some(end),
            maximum: None,
        },
    )
    .unwrap();
    let (done, written) = mpsc::channel();
    let mut refused = 0;
    for i in 2..10 {
        let mut batch = Batch::new();
        batch.push(Kind(1), payload(i, 300)).unwrap();
        let done = done.clone();
        match wal.append(batch, move |result| done.send(result.unwrap_err()).unwrap()) {
            Ok(_) => refused += 1,
            Err(error) => assert!(matches!(error, AppendError::Failed(_)), "{error}"),
        }
    }
    drop(done);
    assert!(
        refused > 0 && written.iter().count() == refused,
        "every one who waits is told"
    );
    assert!(matches!(wal.append(Batch::new(), |_| ()), Err(AppendError::Failed(_))));
    wal.close();
    let failures = failures.lock().unwrap();
    assert_eq!(failures.len(), 1, "the hook is called once: {failures:?}");
    // Writer and supply meet the limit at the same time; either may be the first.
    assert!(
        ["cannot write to the segment", "cannot prepare the segment"]
            .iter()
            .any(|what| failures[0].contains(what)),
        "{failures:?}"
    );
}

#[test]
fn a_full_disk_is_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=64k none \"$KVORUM_WAL_TEST_DIRECTORY\" || exit 77; exec \"$0\" \"$@\"";
    let script = format!("exec unshare --user --map-root-user --mount sh -c '{mount}' \"$0\" \"$@\"");
    let output = second_process(&script, "failing_disk::fills_the_disk", dir.path());
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    if !shown.contains("running 1 test") {
        println!("skipped: this machine lets nobody mount a tmpfs in a user namespace: {output:?}");
        return;
    }
    assert!(
        output.status.success() && shown.contains("the disk was full"),
        "{output:?}"
    );
}

/// The second process of the test above, with a disk of 64 KiB.
#[test]
fn fills_the_disk() {
    let Ok(dir) = env::var(DIRECTORY) else { return };
    let dir = Path::new(&dir);
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 40 * 1024]).unwrap();
    let log = dir.join("log");
    let (wal, _) = open_in(&log, options()).unwrap();
    let (done, written) = mpsc::channel();
    let mut model = Vec::new();
    for i in 0..40 {
        let mut batch = Batch::new();
        batch.push(Kind(1), payload(i, 900)).unwrap();
        let done = done.clone();
        wal.append(batch, move |result| done.send(result.is_ok()).unwrap())
            .unwrap();
        model.push(payload(i, 900));
    }
    drop(done);
    wait_until("the disk is full", || wal.metrics().disk_full);
    assert!(wal.metrics().backlog_bytes > 0);
    println!("the disk was full");
    fs::remove_file(&ballast).unwrap();
    for i in 0..40 {
        assert!(written.recv_timeout(PATIENCE).unwrap(), "record {i}");
    }
    drop(wal);
    let (_wal, seen) = open_in(&log, options()).unwrap();
    assert_eq!(seen.into_iter().map(|(.., payload)| payload).collect::<Vec<_>>(), model);
}

/// Runs one test of this binary through a shell script, which finds binary and arguments in `$0` and `$@`.
fn second_process(script: &str, test: &str, dir: &Path) -> Output {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"]);
    command.env(DIRECTORY, dir).output().unwrap()
}
