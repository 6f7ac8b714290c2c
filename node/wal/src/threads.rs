//! The two threads of an open log: one writes, one keeps a segment ready and removes old ones.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use crate::{directory::Directory, log::Log, writer::Writer};

/// The log's threads. Both hold the directory, so that its lock lasts as long as they do.
pub(crate) struct Running {
    writer: JoinHandle<()>,
    supply: JoinHandle<()>,
}

impl Running {
    /// Starts both.
    pub(crate) fn start(log: &Arc<Log>, directory: Arc<Directory>, writer: Writer) -> io::Result<Running> {
        let (shared, held) = (Arc::clone(log), Arc::clone(&directory));
        let supply = thread::Builder::new().name("wal-supply".to_owned());
        let supply = supply.spawn(move || shared.supply.run(&shared, &held))?;
        let shared = Arc::clone(log);
        let work = move || {
            writer.run();
            shared.supply.stop();
            drop(directory);
        };
        let writer = thread::Builder::new().name("wal-writer".to_owned()).spawn(work);
        let writer = writer.inspect_err(|_| log.supply.stop())?;
        Ok(Running { writer, supply })
    }

    /// Waits for the end of both; not on the thread of the writer, whose `done` may hold the last handle.
    pub(crate) fn finish(self) {
        if thread::current().id() != self.writer.thread().id() {
            // A thread that panicked has failed the log, and every waiting caller was told.
            let _ = self.writer.join();
            let _ = self.supply.join();
        }
    }
}
