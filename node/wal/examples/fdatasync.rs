//! Why segments are written full of zeros before use: times a fdatasync after 4 KiB into such a file and into one that
//! grows. `cargo run --release -p kvorum-wal --example fdatasync [directory]`; asserts nothing.

#![allow(clippy::print_stdout, reason = "printing is its purpose")]

use std::{
    env,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const WRITES: u64 = 1000;
const BYTES: u64 = 4096;

fn main() -> io::Result<()> {
    let directory = env::args().nth(1).map_or_else(env::temp_dir, PathBuf::from);
    for (name, prepared) in [
        ("pre-written", true),
        ("growing", false),
        ("pre-written", true),
        ("growing", false),
    ] {
        let mut times = measure(&directory.join("fdatasync.example"), prepared)?;
        times.sort_unstable();
        let (half, most) = (
            times[times.len() / 2].as_micros(),
            times[times.len() * 99 / 100].as_micros(),
        );
        println!("{name:>12}: median {half} µs, 99th percentile {most} µs");
    }
    Ok(())
}

fn measure(path: &Path, prepared: bool) -> io::Result<Vec<Duration>> {
    let file = File::create(path)?;
    if prepared {
        file.write_all_at(&vec![0; usize::try_from(WRITES * BYTES).expect("a few MiB")], 0)?;
    }
    file.sync_all()?;
    let mut times = Vec::new();
    for i in 0..WRITES {
        file.write_all_at(&[1; BYTES as usize], i * BYTES)?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(times)
}
