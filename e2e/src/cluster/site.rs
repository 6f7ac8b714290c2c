//! One cluster on this machine as the acting modules see it: where its state lies, its programs, its control groups.

use super::authority::ADMIN;
use super::cgroups::Hierarchies;
use super::layout::{Cache, Layout};
use super::process::{self, Recorded, Start};
use super::programs::{self, Program};
use super::record::Record;
use super::toolchain::{self, Programs};
use anyhow::Result;
use std::fs;
use std::process::Command;

/// A cluster whose programs are built and whose control groups are known: what every acting module works on.
#[derive(Debug)]
pub struct Site {
    /// Its state folder.
    pub layout: Layout,
    /// Its programs.
    pub programs: Programs,
    /// The machine's control groups.
    pub cgroups: Hierarchies,
    /// Where built things are kept.
    pub cache: Cache,
}

impl Site {
    /// The site of the environment, with programs as they would be once built.
    pub fn of_this_machine() -> Result<Site> {
        let cache = Cache::from_environment();
        Ok(Site {
            layout: Layout::from_environment(),
            programs: toolchain::cluster_programs(&cache),
            cgroups: Hierarchies::of_this_machine()?,
            cache,
        })
    }

    /// Starts a program where it belongs and writes it down.
    pub fn start(&self, record: &mut Record, program: &Program) -> Result<Recorded> {
        let started = process::start(&Start {
            name: &program.name,
            command: &program.started(),
            environment: &programs::environment(&self.programs, &self.layout),
            enrol: &self.cgroups.enrolment(&program.group()),
            log: &self.layout.log(&program.name),
        })?;
        record.note(&self.layout, started.clone())?;
        Ok(started)
    }

    /// `kubectl` with the user's access to this cluster.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.programs.path("kubectl"));
        command
            .env("KUBECONFIG", self.layout.kubeconfig(ADMIN))
            .env_remove("http_proxy")
            .env_remove("https_proxy");
        command.env_remove("HTTP_PROXY").env_remove("HTTPS_PROXY");
        command
    }

    /// The last lines of a program's log, for a message about its failure.
    pub fn tail(&self, program: &str) -> String {
        let log = self.layout.log(program);
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(8)..].join("\n");
        format!("the end of {}:\n{last}", log.display())
    }
}
