//! Walks through everything that the `etcd-client` crate offers and prints one line for each step.
//!
//! ```text
//! kvorum-etcd-client <endpoint,endpoint> [<ca.pem> <certificate.pem> <key.pem>]
//! ```
//!
//! What it keeps true: a line holds nothing that may differ between two servers that both behave as etcd does: no ids
//! that a server drew, no times, no sizes, no versions. So the lines of two servers can be compared as they are. A
//! refusal is a line like any other; only a server that cannot be reached, or that does not answer in time, ends the
//! walk. The server must be new: revisions are printed.

mod auth;
mod election;
mod keys;
mod lease;
mod lock;
mod said;
mod upkeep;
mod watch;

use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};

/// Longer than any step takes on a machine that is busy.
const WALK_MAX: Duration = Duration::from_secs(120);

/// Where the server is and what the client shows.
pub struct Door {
    endpoints: Vec<String>,
    tls: Option<TlsOptions>,
}

impl Door {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Door, String> {
        let endpoints = arguments.next().ok_or("the first argument is a list of endpoints")?;
        let files: Vec<String> = arguments.collect();
        let read = |path: &String| std::fs::read(path).map_err(|error| format!("{path}: {error}"));
        let tls = match &files[..] {
            [] => None,
            [ca, certificate, key] => Some(
                TlsOptions::new()
                    .ca_certificate(Certificate::from_pem(read(ca)?))
                    .identity(Identity::from_pem(read(certificate)?, read(key)?)),
            ),
            _ => return Err("after the endpoints: nothing, or a CA, a certificate and a key".to_owned()),
        };
        Ok(Door {
            endpoints: endpoints.split(',').map(str::to_owned).collect(),
            tls,
        })
    }

    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new()
            .with_connect_timeout(Duration::from_secs(5))
            .with_keep_alive(Duration::from_secs(5), Duration::from_secs(5))
            .with_require_leader(true);
        match &self.tls {
            Some(tls) => options.with_tls(tls.clone()),
            None => options,
        }
    }

    /// A client of all members.
    pub async fn open(&self) -> Result<Client, Error> {
        Client::connect(&self.endpoints, Some(self.options())).await
    }

    /// A client of all members that is a user.
    pub async fn open_as(&self, user: &str, password: &str) -> Result<Client, Error> {
        Client::connect(&self.endpoints, Some(self.options().with_user(user, password))).await
    }

    /// The last of the endpoints.
    pub fn last(&self) -> &str {
        self.endpoints.last().map_or("", String::as_str)
    }

    /// A client of the member that leads.
    pub async fn open_leader(&self) -> Result<Client, Error> {
        for endpoint in &self.endpoints {
            let mut client = Client::connect([endpoint], Some(self.options())).await?;
            let status = client.status().await?;
            if status
                .header()
                .is_some_and(|header| header.member_id() == status.leader())
            {
                return Ok(client);
            }
        }
        Err(Error::EndpointError("no member says that it leads".to_owned()))
    }
}

#[tokio::main]
async fn main() -> Result<(), String> {
    let door = Door::from_arguments(std::env::args().skip(1))?;
    match tokio::time::timeout(WALK_MAX, walk(&door)).await {
        Ok(walked) => walked.map_err(|error| said::error(&error)),
        Err(_) => Err(format!("the step after the last line did not end within {WALK_MAX:?}")),
    }
}

async fn walk(door: &Door) -> Result<(), Error> {
    let mut client = door.open().await?;
    keys::walk(&mut client).await?;
    watch::walk(&mut client).await?;
    lease::walk(&mut client).await?;
    lock::walk(&mut client).await?;
    election::walk(&mut client).await?;
    upkeep::walk(door, &mut client).await?;
    auth::walk(door, &mut client).await
}
