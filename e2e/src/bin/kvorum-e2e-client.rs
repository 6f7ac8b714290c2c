//! `kvorum-e2e-client`: what runs in a pod of the scenarios. `run` is the workload, `demo` shows one write and one read,
//! `resolve` looks a name up, `empty` wipes a folder, `wait` does nothing until it is told to end.

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use kvorum_e2e::client::demonstration;
use kvorum_e2e::client::door::Door;
use kvorum_e2e::client::pause::pause;
use kvorum_e2e::client::wire::Address;
use kvorum_e2e::client::workload::{Plan, Workload};
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

#[derive(Parser)]
#[command(name = "kvorum-e2e-client", version, about = "The clients that the scenarios run")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write, read and swap without pause; print a report at the end
    Run {
        #[command(flatten)]
        address: Address,
        #[command(flatten)]
        plan: Plan,
        /// End by itself after this many seconds; otherwise on SIGTERM or GET /finish
        #[arg(long, env = "KVORUM_SECONDS")]
        seconds: Option<u64>,
        /// Where scenarios ask: /report, /mark?name=…, /finish, /ready
        #[arg(long, env = "KVORUM_LISTEN", default_value = "0.0.0.0:8080")]
        listen: SocketAddr,
    },
    /// Write a key, read it back, and show both
    Demo {
        #[command(flatten)]
        address: Address,
        /// The key
        #[arg(long, default_value = "greeting")]
        key: String,
        /// The value
        #[arg(long, default_value = "hello from inside the cluster")]
        value: String,
    },
    /// Print the addresses of a name, one a line
    Resolve {
        /// The name
        name: String,
    },
    /// Delete everything in a folder, but not the folder; print how many entries it had
    Empty {
        /// The folder
        folder: PathBuf,
    },
    /// Do nothing until SIGTERM
    Wait,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Run {
            address,
            plan,
            seconds,
            listen,
        } => run(Workload::new(address, plan), seconds, listen).await,
        Task::Demo { address, key, value } => demonstration::show(address, &key, &value, &mut std::io::stdout()).await,
        Task::Resolve { name } => resolve(name).await,
        Task::Empty { folder } => empty(&folder),
        Task::Wait => {
            writeln!(std::io::stdout(), "waiting")?;
            terminated().await;
            Ok(())
        }
    }
}

async fn run(workload: Arc<Workload>, seconds: Option<u64>, listen: SocketAddr) -> Result<()> {
    let (publish, report) = watch::channel(None);
    let door = tokio::spawn(
        Door {
            workload: workload.clone(),
            report,
        }
        .open(listen),
    );
    let stopper = workload.clone();
    let told = tokio::spawn(async move {
        tokio::select! {
            () = terminated() => {}
            () = alarm(seconds) => {}
        }
        stopper.stop();
    });
    let report = tokio::select! {
        report = workload.run() => report?,
        failed = door => return failed?,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?;
    let sound = report
        .end
        .as_ref()
        .is_some_and(|end| end.linearizable && end.missing.is_empty());
    publish.send_replace(Some(report));
    // Whoever ended the run at the door reads the report there; the pod stays until it is told to go.
    told.await?;
    ensure!(sound, "the store lost writes, or its answers contradict each other");
    Ok(())
}

async fn alarm(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => pause(seconds.saturating_mul(1000)).await,
        None => std::future::pending().await,
    }
}

async fn resolve(name: String) -> Result<()> {
    let lookup = tokio::task::spawn_blocking(move || {
        let found = (name.as_str(), 0)
            .to_socket_addrs()
            .with_context(|| format!("cannot resolve {name}"))?;
        anyhow::Ok(found.map(|address| address.ip().to_string()).collect::<Vec<_>>())
    });
    writeln!(std::io::stdout(), "{}", lookup.await??.join("\n"))?;
    Ok(())
}

fn empty(folder: &Path) -> Result<()> {
    let shown = || folder.display().to_string();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).with_context(shown)? {
        let entry = entry.with_context(shown)?;
        let removed = if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())
        } else {
            std::fs::remove_file(entry.path())
        };
        removed.with_context(|| entry.path().display().to_string())?;
        count += 1;
    }
    writeln!(std::io::stdout(), "{count}")?;
    Ok(())
}

async fn terminated() {
    let mut asked = signal(SignalKind::terminate()).expect("a program may always handle SIGTERM");
    asked.recv().await;
}
