//! Figures of a process from `/proc` (0 when unreadable), and its limit of open files.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Clock ticks per second in `/proc`: 100 on every Linux architecture with a standard library, whatever
/// the kernel's clock.
const TICKS: f64 = 100.0;

/// The figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    pub resident_bytes: u64,
    /// The peak of `resident_bytes`.
    pub peak_resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    pub cpu_seconds: f64,
    pub open_fds: u64,
    pub max_fds: u64,
}

/// The name of this machine; empty if it has none.
pub fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The highest limit that is set: more files than any server here opens, and a number that every kernel accepts.
const OPEN_FILES_MAX: u64 = 1 << 20;

/// Raises the soft limit of open files to the hard one, and returns the limit that holds now.
///
/// # Errors
/// When the kernel refuses; the limit is as before then.
pub fn raise_open_files() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(OPEN_FILES_MAX).min(OPEN_FILES_MAX);
    match current {
        Some(current) if current < wanted => {
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?;
            Ok(wanted)
        }
        current => Ok(current.unwrap_or(u64::MAX)),
    }
}

/// The soft limit of open files.
pub fn open_files_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The hard limit of open files, to which a server raises the soft one.
pub fn open_files_hard_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(OPEN_FILES_MAX).min(OPEN_FILES_MAX)
}

impl Process {
    /// Reads this process. Blocks for some microseconds.
    pub fn own() -> Process {
        Process::in_directory("/proc/self")
    }

    /// Reads another process of the same user.
    pub fn of(pid: u32) -> Process {
        Process::in_directory(&format!("/proc/{pid}"))
    }

    fn in_directory(directory: &str) -> Process {
        let text = |name: &str| fs::read_to_string(format!("{directory}/{name}")).unwrap_or_default();
        let (status, stat, limits) = (text("status"), text("stat"), text("limits"));
        let kib = |name| status_number(&status, name) * 1_024;
        Process {
            resident_bytes: kib("VmRSS:"),
            peak_resident_bytes: kib("VmHWM:"),
            virtual_bytes: kib("VmSize:"),
            threads: status_number(&status, "Threads:"),
            cpu_seconds: cpu(&stat),
            // One of them is the directory handle itself.
            open_fds: fs::read_dir(format!("{directory}/fd"))
                .map_or(0, |fds| fds.count().saturating_sub(1) as u64),
            max_fds: limit(&limits, "Max open files"),
        }
    }
}

/// The number after a name at the start of a line.
fn status_number(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The soft limit with this name.
fn limit(limits: &str, name: &str) -> u64 {
    status_number(limits, name)
}

/// CPU seconds used. The program's name comes first, in parentheses, and may contain anything.
fn cpu(stat: &str) -> f64 {
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0.0 };
    // The state of the process is the third field of the line and the first of these.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3).and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
    (number(14) + number(15)) / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_is_skipped() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 12345 1 1 1\n";
        assert_eq!(cpu(stat), 3.0);
        assert_eq!(cpu(""), 0.0);
    }

    #[test]
    fn the_figures_of_this_process_are_plausible() {
        let process = Process::own();
        assert!(process.peak_resident_bytes >= process.resident_bytes, "{process:?}");
        assert_eq!(Process::of(u32::MAX), Process::default(), "there is no such process");
        assert!(process.resident_bytes > 1 << 20 && process.open_fds >= 3, "{process:?}");
        assert!(process.max_fds >= process.open_fds && process.threads >= 1, "{process:?}");
    }
}
