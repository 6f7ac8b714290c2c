//! `kvorum-e2e`: a real Kubernetes on this machine, brought up, looked at, broken on purpose and taken down, and the
//! images that run on it. With `KUBECONFIG` set to another cluster, that cluster is used and this machine left alone.
//!
//! Answers go to standard output, progress to standard error.

mod arguments;

use anyhow::{Context, Result, bail, ensure};
use arguments::{Arguments, Format, NodeAction, Task};
use clap::Parser;
use kvorum_e2e::cluster::authority::ADMIN;
use kvorum_e2e::cluster::components::{CLUSTER, CRANE};
use kvorum_e2e::cluster::external::{self, Elsewhere};
use kvorum_e2e::cluster::layout::Cache;
use kvorum_e2e::cluster::record::Record;
use kvorum_e2e::cluster::site::Site;
use kvorum_e2e::cluster::store::StoreKind;
use kvorum_e2e::cluster::topology::Node;
use kvorum_e2e::cluster::wait::Progress;
use kvorum_e2e::cluster::{down, leftovers, nodes, status, toolchain, up};
use kvorum_e2e::images::{self, Assembled};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    match perform(Arguments::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "kvorum-e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; false is an answer that counts as failure.
fn perform(task: Task) -> Result<bool> {
    let site = Site::of_this_machine()?;
    let progress = Progress::start();
    match task {
        Task::Build => build(&site, &progress).map(|()| true),
        Task::Up { nodes, store } => bring_up(&site, nodes, store, &progress).map(|()| true),
        Task::Down => take_down(&site, &progress).map(|()| true),
        Task::Status { output } => tell_status(&site, output),
        Task::LoadImage { archives } => load(&site, &archives, &progress).map(|()| true),
        Task::Images {
            names,
            binaries,
            output,
        } => make_images(&site, &names, binaries, output, &progress).map(|()| true),
        Task::Kubeconfig { export } => tell_kubeconfig(&site, export).map(|()| true),
        Task::Leftovers => tell_leftovers(&site),
        Task::Node { action, name } => act_on_node(&site, action, &name, &progress).map(|()| true),
        Task::Kubectl { arguments } => become_program(&site, "kubectl", &arguments),
        Task::Helm { arguments } => become_program(&site, "helm", &arguments),
    }
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", text.trim_end())?)
}

fn elsewhere(site: &Site, progress: &Progress) -> Result<Option<(Elsewhere, String)>> {
    let Some(named) = external::named_elsewhere(&site.layout) else {
        return Ok(None);
    };
    let programs = toolchain::user_programs(&site.cache, progress)?;
    external::reach(named, &programs).map(Some)
}

fn build(site: &Site, progress: &Progress) -> Result<()> {
    if external::named_elsewhere(&site.layout).is_some() {
        toolchain::user_programs(&site.cache, progress)?;
    } else {
        toolchain::require_packages(progress)?;
        let all: Vec<_> = CLUSTER.iter().chain([&CRANE]).collect();
        toolchain::build(&site.cache, &all, progress)?;
    }
    progress.say("every component is built");
    Ok(())
}

fn bring_up(site: &Site, count: u8, store: Option<StoreKind>, progress: &Progress) -> Result<()> {
    if let Some((cluster, nodes)) = elsewhere(site, progress)? {
        progress.say(&format!(
            "KUBECONFIG is set: using the cluster of context {}",
            cluster.context
        ));
        return say(&nodes);
    }
    let started = up::up(count, store, progress)?;
    progress.say(if started {
        "the cluster is up"
    } else {
        "the cluster was up already"
    });
    let status = status::status(site).context("the cluster that was just there is gone")?;
    say(&status.describe())
}

fn take_down(site: &Site, progress: &Progress) -> Result<()> {
    if let Some(named) = external::named_elsewhere(&site.layout) {
        progress.say(&format!(
            "KUBECONFIG is set to {}: that cluster is not ours to take down",
            named.display()
        ));
        return Ok(());
    }
    let _lock = toolchain::hold(&Cache::from_environment().lock("cluster"))?;
    if !down::anything(site) {
        progress.say("there is no cluster on this machine");
        return Ok(());
    }
    down::down(site, progress)
}

fn tell_status(site: &Site, output: Format) -> Result<bool> {
    if let Some((cluster, nodes)) = elsewhere(site, &Progress::quiet())? {
        say(&match output {
            Format::Text => format!("context: {}\n{nodes}", cluster.context),
            Format::Json => serde_json::json!({"healthy": true, "context": cluster.context}).to_string(),
        })?;
        return Ok(true);
    }
    let status = status::status(site);
    match (output, &status) {
        (Format::Json, _) => say(&serde_json::to_string_pretty(&status)?)?,
        (Format::Text, None) => say("there is no cluster on this machine")?,
        (Format::Text, Some(status)) => say(&status.describe())?,
    }
    Ok(status.is_some_and(|status| status.healthy))
}

fn load(site: &Site, archives: &[PathBuf], progress: &Progress) -> Result<()> {
    ensure!(
        external::named_elsewhere(&site.layout).is_none(),
        "KUBECONFIG is set: load images with that cluster's own tool"
    );
    let record = Record::read(&site.layout).context("there is no cluster on this machine")?;
    for (node, holder) in nodes::holders(&record) {
        for archive in archives {
            images::import_archive(site, holder, &archive.canonicalize()?)?;
            progress.say(&format!("{} is on {node}", archive.display()));
        }
    }
    Ok(())
}

fn make_images(
    site: &Site,
    names: &[String],
    binaries: Option<PathBuf>,
    output: Format,
    progress: &Progress,
) -> Result<()> {
    let own = std::env::current_exe().context("cannot tell where this program lies")?;
    let beside = own.parent().map(PathBuf::from).unwrap_or_default();
    let _lock = toolchain::hold(&site.cache.lock("images"))?;
    let mut made = images::assemble(site, &binaries.unwrap_or(beside), names)?;
    if let Some((cluster, _)) = elsewhere(site, progress)? {
        images::carry_elsewhere(site, &cluster, &mut made, progress)?;
    } else if Record::read(&site.layout).is_some() {
        images::carry_to_nodes(site, &mut made)?;
    }
    say(&match output {
        Format::Json => serde_json::to_string_pretty(&made)?,
        Format::Text => made.iter().map(describe_image).collect::<Vec<_>>().join("\n"),
    })
}

fn describe_image(image: &Assembled) -> String {
    let carried = match image.carried_to.as_slice() {
        [] => "nothing to carry".to_owned(),
        places => format!("now on {}", places.join(", ")),
    };
    format!(
        "{}  {}  {}  {carried}",
        image.reference,
        image.digest,
        image.archive.display()
    )
}

fn tell_kubeconfig(site: &Site, export: bool) -> Result<()> {
    let path = external::named_elsewhere(&site.layout).map_or_else(|| site.layout.kubeconfig(ADMIN), PathBuf::from);
    say(&if export {
        format!("export KUBECONFIG={}", path.display())
    } else {
        path.display().to_string()
    })
}

fn tell_leftovers(site: &Site) -> Result<bool> {
    let left = leftovers::list(site);
    if left.is_empty() {
        say("nothing is left")?;
    }
    left.iter().try_for_each(|line| say(line))?;
    Ok(left.is_empty())
}

fn act_on_node(site: &Site, action: NodeAction, name: &str, progress: &Progress) -> Result<()> {
    ensure!(
        external::named_elsewhere(&site.layout).is_none(),
        "KUBECONFIG is set: the nodes of that cluster are not ours"
    );
    let node = Node::named(name).with_context(|| format!("{name} is not the name of a node, such as node1"))?;
    let _lock = toolchain::hold(&site.cache.lock("cluster"))?;
    let (done, result) = match action {
        NodeAction::Kill => ("is dead", nodes::kill(site, node)),
        NodeAction::Start => ("runs again", nodes::start(site, node, progress)),
        NodeAction::Cut => ("is cut off", nodes::cut(site, node)),
        NodeAction::Join => ("is joined again", nodes::join(site, node)),
    };
    result?;
    progress.say(&format!("{node} {done}"));
    Ok(())
}

/// Turns into another program, which then speaks to the terminal itself. Returns only when it cannot be started.
fn become_program(site: &Site, program: &str, arguments: &[OsString]) -> Result<bool> {
    let mut command;
    if external::named_elsewhere(&site.layout).is_some() {
        let programs = toolchain::user_programs(&site.cache, &Progress::start())?;
        command = Command::new(programs.path(program));
    } else {
        command = Command::new(site.programs.path(program));
        command.env("KUBECONFIG", site.layout.kubeconfig(ADMIN));
    }
    bail!(
        "cannot start {program}: {}; `kvorum-e2e build` builds it",
        command.args(arguments).exec()
    )
}
