//! Leases at a member: the clock, and who acts on it.
//!
//! What a lease means is the store's; the store has no clock. The cluster's lease time is that of its leader, which
//! stamps every command that concerns time ([`clock`]). Grants and keepalives are log entries, so how long a lease still
//! has survives any change of leader: nothing is extended, nothing ends early. Keepalives that arrive together share an
//! entry ([`renewals`]). The leader, and nobody else, proposes the end of what has expired ([`expiry`]); the store looks
//! again when that entry is applied, so a keepalive that came before it in the log wins.

pub mod clock;
pub mod expiry;
pub mod renewals;
pub mod time_line;
