//! Which cluster is meant: the one on this machine, or one that the user named with `KUBECONFIG`, in which case this
//! machine's network, processes and settings are none of our business.

use super::authority::ADMIN;
use super::commands;
use super::layout::Layout;
use super::toolchain::Programs;
use anyhow::{Context, Result};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// A cluster that is not on this machine, or at least not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The user's `KUBECONFIG`.
    pub kubeconfig: OsString,
    /// The context in use.
    pub context: String,
}

/// Whether the user named another cluster. Our own kubeconfig, exported as `kubeconfig` suggests, names ours.
pub fn named_elsewhere(layout: &Layout) -> Option<OsString> {
    let named = env::var_os("KUBECONFIG").filter(|named| !named.is_empty())?;
    let same = |a: &std::path::Path, b: &std::path::Path| fs::canonicalize(a).ok() == fs::canonicalize(b).ok();
    let own = layout.kubeconfig(ADMIN);
    let ours = own.as_os_str() == named || (own.exists() && same(&own, named.as_ref()));
    (!ours).then_some(named)
}

/// Looks at the cluster the user named; an error when it cannot be reached.
pub fn reach(kubeconfig: OsString, programs: &Programs) -> Result<(Elsewhere, String)> {
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(programs.path("kubectl"));
        commands::output_within(
            command.args(arguments).env("KUBECONFIG", &kubeconfig),
            Duration::from_secs(30),
        )
    };
    let context = kubectl(&["config", "current-context"])
        .context("KUBECONFIG names no current context")?
        .trim()
        .to_owned();
    let nodes = kubectl(&["get", "nodes", "--request-timeout=15s"])
        .with_context(|| format!("the cluster of context {context} does not answer"))?;
    Ok((
        Elsewhere {
            kubeconfig: kubeconfig.clone(),
            context,
        },
        nodes,
    ))
}
