//! The files of a member: the system's own, or under the feature `simulation` those of a disk in memory whose power can
//! be cut. What a member writes goes through here, so that the code that runs in a simulated cluster is the code that
//! runs in a real one.
//!
//! Must keep true: without the feature nothing is between a caller and the system; both sides have the same names and
//! the same meaning, errors included.
//!
//! What it does not do: it is no layer for other file systems, and knows neither formats nor names.

#[cfg(feature = "simulation")]
pub mod simulated;
#[cfg(not(feature = "simulation"))]
mod system;

#[cfg(feature = "simulation")]
pub use simulated::names::{
    DirBuilder, DirEntry, ReadDir, canonicalize, create_dir_all, exists, lock, read_dir, read_to_string, remove_file,
    rename, room, unlock,
};
#[cfg(feature = "simulation")]
pub use simulated::open::{File, Metadata, OpenOptions};
#[cfg(not(feature = "simulation"))]
pub use system::{
    DirBuilder, DirEntry, File, Metadata, OpenOptions, ReadDir, canonicalize, create_dir_all, exists, lock, read_dir,
    read_to_string, remove_file, rename, room, unlock,
};
