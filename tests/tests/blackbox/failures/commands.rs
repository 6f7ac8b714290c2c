//! `kvorum snapshot save` and `restore` whose disk fails: the command says so, and under the name asked for there is
//! nothing or all of it. Done again, it succeeds.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output};

use kvorum_tests::cluster::{Cluster, fallible_program};
use rustix::process::Signal;

use super::cases::{Case, Stage};
use super::member::reason;
use super::{Reaction, Way};

/// What the backup holds.
const KEY: &str = "kept";

pub(super) async fn fails(case: &'static Case, way: Way) -> String {
    let mut cluster = Cluster::founders(1, &[]);
    cluster.members[0].program = Some(fallible_program());
    cluster.start(0);
    cluster.ready().await;
    cluster.at(0).put(KEY, "value").await.unwrap();
    let file = cluster.members[0].folder.join("backup");
    let failpoints = format!("{}=1*return({});{}", case.failpoint, way.word(), case.with);
    let save = save(&cluster, &file);
    if case.stage == Stage::Saving {
        failed(case, way, &run(&save, &failpoints), &cluster.members[0].folder);
        if file.exists() {
            succeeded(&run(
                &["snapshot".into(), "status".into(), file.display().to_string()],
                "",
            ));
        }
        succeeded(&run(&save, ""));
        succeeded(&run(
            &["snapshot".into(), "status".into(), file.display().to_string()],
            "",
        ));
        return "a whole backup afterwards".to_owned();
    }
    succeeded(&run(&save, ""));
    cluster.kill(0);
    cluster.wipe(0);
    let restore = restore(&mut cluster, &file);
    let data = cluster.members[0].folder.join("data");
    failed(case, way, &run(&restore, &failpoints), &cluster.members[0].folder);
    // What was moved to its place is whole, and the next attempt would refuse to touch it.
    if std::fs::read_dir(&data).map_or(0, Iterator::count) == 0 {
        succeeded(&run(&restore, ""));
    }
    cluster.start(0);
    cluster.ready().await;
    assert_eq!(cluster.at(0).get(KEY).await.unwrap().as_deref(), Some("value"));
    "a whole member afterwards".to_owned()
}

fn save(cluster: &Cluster, file: &Path) -> Vec<String> {
    let words = [
        "snapshot",
        "save",
        &file.display().to_string(),
        "--endpoints",
        &cluster.url(0),
    ];
    words.map(str::to_owned).to_vec()
}

fn restore(cluster: &mut Cluster, file: &Path) -> Vec<String> {
    let member = &mut cluster.members[0];
    *member.argument("--initial-cluster-token") = "after the fire".to_owned();
    let mut words = ["snapshot", "restore", &file.display().to_string()]
        .map(str::to_owned)
        .to_vec();
    for flag in [
        "--name",
        "--data-dir",
        "--initial-cluster",
        "--initial-cluster-token",
        "--initial-advertise-peer-urls",
    ] {
        words.extend([flag.to_owned(), member.argument(flag).clone()]);
    }
    words
}

fn run(words: &[String], failpoints: &str) -> Output {
    let mut command = Command::new(fallible_program());
    command.args(words).env("FAILPOINTS", failpoints).output().unwrap()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

/// It failed as it was asked to, and says what and where.
fn failed(case: &Case, way: Way, output: &Output, target: &Path) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let came = format!("failpoint {}: {}", case.failpoint, way.word());
    assert!(errors.contains(&came), "{came:?} is not said: {errors}");
    if case.reaction(way) == Reaction::Dies {
        assert_eq!(output.status.signal(), Some(Signal::ABORT.as_raw()), "{errors}");
        return;
    }
    assert!(output.status.code().is_some_and(|code| code != 0), "{errors}");
    for part in [reason(way), target.to_str().unwrap()] {
        assert!(errors.contains(part), "{part:?} is not said: {errors}");
    }
}
