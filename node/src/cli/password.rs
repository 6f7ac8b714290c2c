//! Passwords typed by people, which are never shown, or read from standard input.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::Failure;

/// Longer than any password may be.
const PASSWORD_BYTES_MAX: u64 = 1 << 10;

/// The password of a user who shows who he is.
pub(super) fn of(user: &str) -> Result<String, Failure> {
    ask("Password: ").map_err(|failure| match failure {
        Failure::Usage(reason) => Failure::Usage(format!("no password for {user}: {reason}")),
        other => other,
    })
}

/// A new password for `user`: typed twice, or a line of standard input.
pub(super) fn new(user: &str, interactive: bool) -> Result<String, Failure> {
    if !interactive {
        return line();
    }
    let first = ask(&format!("Password of {user}: "))?;
    let second = ask(&format!("Type password of {user} again for confirmation: "))?;
    if first == second {
        Ok(first)
    } else {
        Err(Failure::Usage("given passwords are different.".to_owned()))
    }
}

/// Asks at the terminal without showing what is typed; where there is no terminal, takes a line as it comes.
fn ask(prompt: &str) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return line();
    }
    write!(std::io::stderr(), "{prompt}")?;
    let shown = tcgetattr(&stdin).map_err(|error| Failure::Output(error.into()))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &hidden).map_err(|error| Failure::Output(error.into()))?;
    let typed = line();
    tcsetattr(&stdin, OptionalActions::Now, &shown).map_err(|error| Failure::Output(error.into()))?;
    writeln!(std::io::stderr())?;
    typed
}

fn line() -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let stdin = std::io::stdin().lock();
    stdin
        .take(PASSWORD_BYTES_MAX)
        .read_line(&mut text)
        .map_err(|source| Failure::File {
            path: PathBuf::from("standard input"),
            source,
        })?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::Usage("the password is empty".to_owned()));
    }
    Ok(password.to_owned())
}
