//! The client against real servers in this process: transport, rotation, errors, TLS.
//!
//! The servers answer what a test tells them to; what a member really answers is tested with the node.

mod etcd;
mod plain;
mod rotation;
mod server;
mod tls;

use crate::{Client, Config, Error};
use server::Server;

/// A client of these servers, in this order.
fn client(servers: &[&Server]) -> Client {
    Client::new(Config::plaintext(servers.iter().map(|server| server.url()))).unwrap()
}

/// The variant of an error and what it says, without the port, which changes from run to run.
fn told(error: &Error) -> String {
    let name = match error {
        Error::Refused { .. } => "Refused",
        Error::Problem { .. } => "Problem",
        Error::Unreachable { .. } => "Unreachable",
        Error::Broken { .. } => "Broken",
        Error::Timeout { .. } => "Timeout",
        Error::Foreign { .. } => "Foreign",
        Error::Request { .. } => "Request",
    };
    format!("{name}: {error}")
}
