//! The repository checks itself: the rules of style and layout that a program can check.
//!
//! Each test gathers every violation before it fails, one per line as `path:line: what is wrong`, so that one run shows
//! all there is to mend. The rules read text only: they must stay quick, need no build of anything else, and never
//! change a file. Rules that the compiler or clippy can check are not here (see `[workspace.lints]`).

mod docs;
mod failpoints;
mod layout;
mod rust;
mod surface;
mod tree;
