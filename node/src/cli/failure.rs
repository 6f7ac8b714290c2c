//! How a command can end badly, what it says then, and the exit code.

use std::io;
use std::path::PathBuf;

use kvorum_client::{ConfigError, Error};

/// Exit code of a refused request.
const REFUSED: u8 = 1;
/// Exit code of a command line that makes no sense; clap's own errors have it too.
const USAGE: u8 = 2;
/// Exit code when the cluster cannot be reached or does not answer in time.
const UNAVAILABLE: u8 = 3;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Flags or variables contradict each other or do not parse.
    #[error("{0}")]
    Usage(String),
    /// A file with a certificate, or standard input, cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Endpoints or certificates make no client.
    #[error(transparent)]
    Setup(#[from] ConfigError),
    /// The cluster refused, or did not answer.
    #[error(transparent)]
    Request(#[from] Error),
    /// What was asked for cannot be had; the sentence says why.
    #[error("{0}")]
    Refused(String),
    /// The cluster cannot be reached or does not answer in time; the sentence says more.
    #[error("{0}")]
    Unavailable(String),
    /// A command that was run ended with this exit code, and has said what there is to say.
    #[error("the command ended with exit code {0}")]
    Ended(u8),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A snapshot cannot be restored.
    #[error(transparent)]
    Restore(Box<crate::restore::RestoreError>),
    /// Some endpoints are not healthy; each was reported on its own.
    #[error("unhealthy cluster")]
    Unhealthy,
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// The output cannot be put into this format.
    #[error("cannot write the output")]
    Encoding(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The process cannot do input and output at all.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::File { .. } | Self::Setup(_) => USAGE,
            Self::Request(error) if error.is_unavailable() => UNAVAILABLE,
            Self::Unhealthy | Self::Unavailable(_) => UNAVAILABLE,
            // The reader has seen enough, as `head` does; that is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Ended(code) => *code,
            Self::Request(_)
            | Self::Refused(_)
            | Self::Write { .. }
            | Self::Restore(_)
            | Self::Output(_)
            | Self::Encoding(_)
            | Self::Runtime(_) => REFUSED,
        }
    }

    /// What to tell people; `None` when there is nothing to tell.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Request(error) => Some(format!("{}{}", error.chain(), hint(error))),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Ended(_) => None,
            Self::Usage(_)
            | Self::Refused(_)
            | Self::Write { .. }
            | Self::File { .. }
            | Self::Setup(_)
            | Self::Restore(_)
            | Self::Unhealthy
            | Self::Unavailable(_)
            | Self::Output(_)
            | Self::Encoding(_)
            | Self::Runtime(_) => Some(chain(self)),
        }
    }
}

/// What a person can do about it, where that is not plain.
fn hint(error: &Error) -> &'static str {
    match error {
        Error::Unreachable { .. } => "\nHint: choose members with --endpoints or KVORUM_ENDPOINTS.",
        Error::Request { .. } | Error::Foreign { .. } | Error::Problem { .. } | Error::Refused { .. } => "",
        Error::Broken { .. } | Error::Timeout { .. } => {
            "\nHint: if this was a write, it may have happened; read to see."
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        source = cause.source();
    }
    text
}
