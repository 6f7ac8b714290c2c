//! Loopback ports that nothing else uses.
//!
//! They are taken below the range that the kernel gives to outgoing connections, so that no connection of a test can
//! take one between the moment it is chosen and the moment the node listens on it; a port is handed out once per run.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// First port tried; below Linux's default `ip_local_port_range`, above the well-known ones.
const FIRST: u16 = 20_000;
/// Ports in the range.
const COUNT: u16 = 12_000;

/// The next port to try, relative to `FIRST`. Starts at a place that differs between test programs running at once.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 that is free now and was not handed out before in this process.
///
/// # Panics
/// When the whole range is taken.
pub fn free() -> u16 {
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let port = FIRST + (offset.wrapping_mul(7) % COUNT + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port of {FIRST}..{} is free", FIRST + COUNT);
}
