//! What one member is started with, and its files.

use std::path::PathBuf;

use super::{Member, program};
use crate::pki::Leaf;

impl Member {
    /// The part of the command line that every form shares.
    pub(super) fn common(&self, scheme: &str) -> Vec<String> {
        let client = format!("{scheme}://{}:{}", self.client_address, self.client);
        let peer = format!("{scheme}://{}:{}", self.peer_address, self.peer);
        let metrics = format!("http://{}:{}", self.client_address, self.metrics);
        let data = self.folder.join("data").display().to_string();
        let pairs = [
            ("--name", &self.name),
            ("--data-dir", &data),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--listen-metrics-urls", &metrics),
        ];
        let mut arguments = vec!["serve".to_owned()];
        arguments.extend(
            pairs
                .into_iter()
                .flat_map(|(flag, value)| [flag.to_owned(), value.clone()]),
        );
        // To look closer at one failing test: KVORUM_TEST_LOG=debug.
        if let Ok(level) = std::env::var("KVORUM_TEST_LOG") {
            arguments.extend(["--log-level".to_owned(), level]);
        }
        arguments
    }

    /// What to start: the node itself, or what enters the member's namespace and becomes the node there.
    pub(super) fn command(&self) -> (PathBuf, Vec<String>) {
        let program = self.program.clone().unwrap_or_else(program);
        let Some(namespace) = &self.namespace else {
            return (program, self.arguments.clone());
        };
        let mut arguments = vec![format!("--net={}", namespace.display()), program.display().to_string()];
        arguments.extend_from_slice(&self.arguments);
        ("nsenter".into(), arguments)
    }

    /// The value of a flag on its command line.
    ///
    /// # Panics
    /// When it has no such flag.
    pub fn argument(&mut self, flag: &str) -> &mut String {
        let place = self.arguments.iter().position(|argument| argument == flag);
        let place = place.unwrap_or_else(|| panic!("{} has no {flag}", self.name));
        &mut self.arguments[place + 1]
    }

    /// Writes a file into one of the member's folders so that a reader sees the old text or the new one, never a part.
    pub fn write(&self, folder: &str, name: &str, text: &str) {
        let folder = self.folder.join(folder);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let fresh = folder.join(format!(".{name}.new"));
        std::fs::write(&fresh, text).expect("the temporary folder can be written");
        std::fs::rename(&fresh, folder.join(name)).expect("the temporary folder can be written");
    }

    /// Writes all six files of `tls`.
    pub fn write_certificates(&self, server: &Leaf, peer: &Leaf, client_ca: &str, peer_ca: &str) {
        for (name, text) in [
            ("server.crt", server.cert.as_str()),
            ("server.key", &server.key),
            ("peer.crt", &peer.cert),
            ("peer.key", &peer.key),
            ("client-ca.crt", client_ca),
            ("peer-ca.crt", peer_ca),
        ] {
            self.write("tls", name, text);
        }
    }

    /// Everything the member has printed, over all its starts.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}
