//! What a disk is like: how much room there is, and how long it takes to keep something.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tokio::time::Instant;

/// How often an fsync is tried.
const FSYNCS: usize = 10;

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What the system calls it; two directories with the same share their room.
    pub file_system: u64,
    /// Bytes that a program without privileges can still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// The room on the disk that a file or directory is on.
pub fn room(path: &Path) -> io::Result<Room> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Room {
        file_system: found.f_fsid,
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

/// How long it takes until 4 KiB more are safe, in milliseconds: the median of some tries. `probe` is a file that
/// is made for it and removed.
pub fn fsync_ms(probe: &Path) -> io::Result<f64> {
    let mut options = OpenOptions::new();
    let mut file: File = options.write(true).create(true).truncate(true).mode(0o600).open(probe)?;
    let mut once = || {
        let started = Instant::now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        Ok(started.elapsed().as_secs_f64() * 1_000.0)
    };
    let measured: io::Result<Vec<f64>> = (0..FSYNCS).map(|_| once()).collect();
    let _ = fs::remove_file(probe);
    let mut measured = measured?;
    measured.sort_by(f64::total_cmp);
    Ok(measured[FSYNCS / 2])
}
