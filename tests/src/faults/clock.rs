//! Wall clocks that jump: a member runs with a library that adds to its clock what a file says.
//!
//! The clock that only counts on (`CLOCK_MONOTONIC`) is the machine's; no jump moves it, as on a real machine.

use std::fs::File;
use std::os::unix::fs::FileExt;

use kvorum_powercut::CLOCK;

use crate::cluster::Member;
use crate::power::library;

/// The file, in the member's folder.
const FILE: &str = "clock";

impl Member {
    /// Gives the member, which does not run, a wall clock that can jump, from its next start on.
    ///
    /// # Panics
    /// When the library was not built, or the temporary folder cannot be written.
    pub fn unsteady_clock(&mut self) {
        assert!(self.process.is_none(), "{} runs", self.name);
        let path = self.folder.join(FILE);
        std::fs::write(&path, 0_i64.to_le_bytes()).expect("the temporary folder can be written");
        for (name, value) in [("LD_PRELOAD", library()), (CLOCK, path)] {
            self.variables.push((name.to_owned(), value.display().to_string()));
        }
    }

    /// Moves the member's wall clock by so many milliseconds from where it is now; it stays there, over restarts too.
    ///
    /// # Panics
    /// When it has no such clock.
    pub fn jump(&self, by_ms: i64) {
        let file = File::options().read(true).write(true).open(self.folder.join(FILE));
        let file = file.expect("its clock can jump");
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, 0).expect("eight bytes");
        let ahead = i64::from_le_bytes(bytes).saturating_add(by_ms.saturating_mul(1_000_000));
        file.write_all_at(&ahead.to_le_bytes(), 0)
            .expect("the temporary folder can be written");
    }
}
