//! `kvorum completion`: what a shell needs to complete command lines.

use clap::Args;
use clap_complete::{Shell, generate};

use super::{Failure, output};

/// Examples.
pub(super) const EXAMPLES: &str = "\
Examples:
  source <(kvorum completion bash)      for this shell; put it into ~/.bashrc for every shell
  kvorum completion zsh > \"${fpath[1]}/_kvorum\"";

/// Arguments of `completion`.
#[derive(Args, Clone, Copy, Debug)]
pub struct Completion {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(completion: &Completion, program: clap::Command) -> Result<(), Failure> {
    output::print(&script(completion, program))
}

pub(super) fn script(completion: &Completion, mut program: clap::Command) -> Vec<u8> {
    let mut text = Vec::new();
    generate(completion.shell, &mut program, "kvorum", &mut text);
    text
}
