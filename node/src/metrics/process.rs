//! The process as Linux counts it, under the names that every Prometheus client library gives it.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};

use super::text::Page;

/// What `/proc/self/stat` tells, of what is wanted here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Clock ticks of work, in user and system mode.
    cpu_ticks: u64,
    threads: u64,
    /// Clock ticks since the start of the machine at which the process started.
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// Reads the line; see proc_pid_stat(5), whose fields are counted from one.
fn stat(line: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses, and may hold anything.
    let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.trim().parse::<u64>().ok();
    Some(Stat {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        started_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

/// The soft limit of open files; none when there is no limit.
fn files_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Writes what this system tells; elsewhere nothing.
pub fn write(page: &mut Page) {
    let ticks = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(stat) {
        page.counter(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        )
        .value(ticks(stat.cpu_ticks));
        page.gauge("process_resident_memory_bytes", "Resident memory size in bytes.")
            .value(stat.resident_pages * page_size() as u64);
        page.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")
            .value(stat.virtual_bytes);
        page.gauge("process_threads", "Number of OS threads.")
            .value(stat.threads);
        if let Some(booted) = booted_seconds() {
            page.gauge(
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
            )
            .value(booted as f64 + ticks(stat.started_ticks));
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        page.gauge("process_open_fds", "Number of open file descriptors.")
            .value(files.count().saturating_sub(1));
    }
    if let Some(max) = fs::read_to_string("/proc/self/limits")
        .ok()
        .as_deref()
        .and_then(files_max)
    {
        page.gauge("process_max_fds", "Maximum number of open file descriptors.")
            .value(max);
    }
}

/// When the machine started, in seconds since 1970.
fn booted_seconds() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_name_that_looks_like_fields() {
        let line = "71 (a) b (c) S 1 71 71 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 7 0 4242 1048576 300 184 1 1 0";
        let expected = Stat {
            cpu_ticks: 200,
            threads: 7,
            started_ticks: 4242,
            virtual_bytes: 1_048_576,
            resident_pages: 300,
        };
        assert_eq!(stat(line), Some(expected));
        assert_eq!(stat("71 (cut"), None);
        assert_eq!(stat("71 (cut) S 1 71"), None);
    }

    #[test]
    fn limits_are_read() {
        let line = |limit: &str| format!("Limit Soft Hard\nMax open files            {limit}  524288  files\n");
        assert_eq!(files_max(&line("1024")), Some(1024));
        assert_eq!(files_max(&line("unlimited")), None);
    }

    #[test]
    fn this_process_is_known() {
        let mut page = Page::default();
        write(&mut page);
        let text = page.finish();
        for name in [
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
        ] {
            assert!(text.contains(&format!("\n{name} ")), "{name}: {text}");
        }
    }
}
