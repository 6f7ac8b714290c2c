//! The network between members: the system's, or under the feature `simulation` the simulated one.
//!
//! Must keep true: without the feature nothing is between a caller and tokio.

#[cfg(feature = "simulation")]
pub use crate::simulation::net::{TcpListener, TcpStream, listen, prepare};
#[cfg(not(feature = "simulation"))]
pub use system::{TcpListener, TcpStream, listen, prepare};

#[cfg(not(feature = "simulation"))]
mod system;
