//! The work of an open log in steps, for a simulated member, which has no threads: the same writer and the same supply,
//! each doing what there is to do and then returning.

use std::{io, sync::Arc};

use crate::{directory::Directory, log::Log, writer::Writer};

/// What the log's threads would hold.
pub(crate) struct Running {
    log: Arc<Log>,
    directory: Arc<Directory>,
    writer: Writer,
}

impl Running {
    /// Nothing runs by itself.
    #[expect(clippy::unnecessary_wraps, reason = "as the threads, which may not start")]
    pub(crate) fn start(log: &Arc<Log>, directory: Arc<Directory>, writer: Writer) -> io::Result<Running> {
        Ok(Running {
            log: Arc::clone(log),
            directory,
            writer,
        })
    }

    /// Writes and syncs one group, if one waits, and makes and removes segments; whether there was a group. A failure was
    /// told to the log.
    pub(crate) fn step(&mut self) -> bool {
        if self.log.supply.step(&self.log, &self.directory).is_err() {
            return false;
        }
        let Some(group) = self.log.queue.try_take() else {
            return false;
        };
        self.writer.serve(group).is_ok()
    }

    /// Writes what waits.
    pub(crate) fn finish(mut self) {
        while self.step() {}
    }
}
