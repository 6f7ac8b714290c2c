//! Typed async client of Kvorum: etcd's JSON calls, the plain JSON of `/v1`, and the operator's admin calls.
//!
//! [`Client`] knows several endpoints and goes on to the next one when a member cannot be reached or says that it cannot
//! serve now. What it must keep true: **a write is never sent twice unless it is certain that the first attempt did not
//! reach a member**, so an error of a write other than a refusal or [`Error::Unreachable`] means "unknown, maybe done".
//! Reads are repeated freely, within a number of rounds and a deadline.
//!
//! Every error keeps the endpoint, and the server's code and message where it sent them. The client reads no files and no
//! environment; certificates come in as PEM bytes. Streams ([`Messages`]) are opened where an endpoint takes them and not
//! carried on elsewhere: only the caller knows from where.

mod admin;
mod config;
mod endpoint;
mod error;
mod etcd;
mod plain;
mod retry;
mod stream;
mod tls;
mod transport;

pub use admin::{Admin, LeaderAdmin};
pub use config::{Config, ConfigError, TIMEOUT_DEFAULT, Tls};
pub use endpoint::Endpoint;
pub use error::Error;
pub use plain::{Expected, PageQuery};
pub use retry::Repeat;
pub use stream::Messages;

use transport::Transport;

/// A client of one cluster. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    rotation: retry::Rotation,
}

impl Client {
    /// A client with this configuration; connects at the first call.
    ///
    /// # Errors
    /// When there is no endpoint, an endpoint is no `http` or `https` address, or the TLS material does not fit.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let endpoints = config.parsed_endpoints()?;
        let transport = Transport::new(&config)?;
        Ok(Self {
            transport,
            rotation: retry::Rotation::new(endpoints, config.timeout),
        })
    }

    /// The endpoints, in the order given.
    pub fn endpoints(&self) -> &[Endpoint] {
        self.rotation.endpoints()
    }

    /// The same client with another time for each call, all attempts together.
    #[must_use]
    pub fn within(&self, timeout: std::time::Duration) -> Self {
        Self {
            transport: self.transport.clone(),
            rotation: self.rotation.within(timeout),
        }
    }

    /// The same client for one endpoint only, sharing connections.
    pub fn only(&self, endpoint: &Endpoint) -> Self {
        Self {
            transport: self.transport.clone(),
            rotation: retry::Rotation::new(vec![endpoint.clone()], self.rotation.timeout()),
        }
    }
}

#[cfg(test)]
mod tests;
