//! Figures of a disk: free space, and how long an fsync takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tokio::time::Instant;

/// Number of fsyncs that are measured.
const FSYNCS: usize = 10;

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Its id; directories with the same id share their space.
    pub file_system: u64,
    /// Bytes that an unprivileged program can still write.
    pub free_bytes: u64,
    /// Total bytes.
    pub total_bytes: u64,
}

/// The space of the disk that a file or directory is on.
pub fn space(path: &Path) -> io::Result<DiskSpace> {
    let found = rustix::fs::statvfs(path)?;
    Ok(DiskSpace {
        file_system: found.f_fsid,
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
    })
}

/// The time to write 4 KiB with fsync, in milliseconds: the median of several tries. `probe` is a file that
/// is created and removed.
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
