//! The command line as a user has it: a shell that knows the endpoints of a cluster and, where they are needed, has an
//! application's certificates.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::cluster::{Cluster, program};

/// A user's shell.
#[derive(Debug)]
pub struct Shell {
    endpoints: String,
    folder: tempfile::TempDir,
    certificates: bool,
}

impl Shell {
    /// A shell that knows all members of a cluster.
    pub fn new(cluster: &Cluster) -> Shell {
        let all: Vec<String> = (0..cluster.members.len()).map(|index| cluster.url(index)).collect();
        Shell::knowing(cluster, all.join(","))
    }

    /// A shell that knows these endpoints.
    pub fn knowing(cluster: &Cluster, endpoints: String) -> Shell {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        if let Some(pki) = &cluster.pki {
            let leaf = pki.application();
            for (name, text) in [
                ("ca.crt", &pki.clients.cert),
                ("tls.crt", &leaf.cert),
                ("tls.key", &leaf.key),
            ] {
                std::fs::write(folder.path().join(name), text).expect("a certificate can be written");
            }
        }
        Shell {
            endpoints,
            folder,
            certificates: cluster.pki.is_some(),
        }
    }

    /// Exit code, standard output and standard error of one command.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.feed(arguments, "")
    }

    /// As [`Shell::run`], with something on standard input.
    pub fn feed(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = Command::new(program());
        command.args(arguments).args(self.flags());
        finish(command, input)
    }

    /// As [`Shell::run`], with the shell's own flags before the command: what follows `--` is the user's.
    pub fn run_before(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(program());
        command.args(self.flags()).args(arguments);
        finish(command, "")
    }

    /// Starts a command that runs on, with the file that it prints into.
    pub fn start(&self, arguments: &[&str]) -> (Running, PathBuf) {
        let path = self.folder.path().join("printed");
        let mut command = Command::new(program());
        command
            .args(arguments)
            .args(self.flags())
            .stdout(std::fs::File::create(&path).expect("a file can be made"))
            .stderr(Stdio::null());
        (Running(command.spawn().expect("kvorum starts")), path)
    }

    /// Standard output of a command that must succeed.
    pub fn good(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = self.run(arguments);
        assert_eq!(code, 0, "kvorum {}: {output}\n{errors}", arguments.join(" "));
        output
    }

    fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--endpoints".to_owned(), self.endpoints.clone()];
        if self.certificates {
            for (flag, file) in [("--cacert", "ca.crt"), ("--cert", "tls.crt"), ("--key", "tls.key")] {
                let path = self.folder.path().join(file);
                flags.extend([flag.to_owned(), path.display().to_string()]);
            }
        }
        flags
    }
}

/// A command under way; it ends with this.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nobody to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn finish(mut command: Command, input: &str) -> (i32, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kvorum starts");
    let mut stdin = child.stdin.take().expect("standard input was asked for");
    // A command that refuses its arguments ends without reading.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("kvorum ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}
