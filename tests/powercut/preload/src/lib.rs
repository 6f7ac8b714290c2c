//! A library for `LD_PRELOAD`: stands between one process and the C library's file calls, journals every change below
//! one folder as `kvorum-powercut` wants it, and makes the disk fail when told to. It can move the wall clock too.
//!
//! What it must keep true:
//! 1. A change is in the journal before it is made, and a sync's end only after the sync has returned. The journal's
//!    order is the order of effects: one lock is held over record and change, though not over a sync.
//! 2. A change below the folder that it cannot journal (a writable shared mapping, a copy inside the kernel, a link)
//!    ends the process with a message: nothing is missed silently.
//! 3. It calls the kernel itself, never one of the functions it stands for, so it cannot enter itself.
//! 4. Everything outside the folder, and every process without the variables, is left alone.
//!
//! What it cannot see: programs that make system calls without the C library. The node and its engine do not for files.
//!
//! `calls` is what the process calls, thin; `disk` decides, and is safe code; `kernel` makes the system calls.

#![deny(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the functions of the C library, whose manual says what their callers must keep"
)]

mod calls;
mod clock;
mod disk;
mod kernel;
mod spot;
