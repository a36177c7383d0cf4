//! Checks of the machine: configuration, files, disk, clock, CA certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Finding;
use crate::config::{Config, KEYS, Listen, Origin};
use crate::delivery::sending::authorities;
use crate::delivery::sending::authorities::Authorities;
use crate::domain::Timestamp;
use crate::host::data_dir::DataDir;
use crate::host::disk;
use crate::host::disk::DiskSpace;
use crate::host::process;
use crate::store::location::files;

/// Less free space is worth a warning, or a problem.
const SPACE_WARNING: u64 = 1 << 30;
const SPACE_PROBLEM: u64 = 64 << 20;
/// A slower fsync slows down posting events; in milliseconds.
const FSYNC_WARNING_MS: f64 = 20.0;

/// Runs all checks that do not depend on an endpoint. `now` is the time of the clock.
pub fn examine(config: &Config, now: Timestamp) -> Vec<Finding> {
    let dir = DataDir::existing(config);
    let mut found = vec![configuration(config), listening(config)];
    if config.storage.url.is_some() {
        found.push(Finding::ok("data", "is in the database of storage.url"));
    } else if dir.path().is_dir() {
        found.push(directory(&dir));
        found.push(space(dir.path()));
        found.push(fsync(dir.path()));
        found.push(key(config, &dir));
    } else {
        found.push(Finding::warning(
            "data directory",
            format!("{} does not exist yet", dir.path().display()),
            "the first start creates it. If data should exist, name the right directory with --data",
        ));
    }
    found.push(open_files(config, process::open_files_hard_limit()));
    found.push(clock(now));
    found.push(authorities(authorities::trusted()));
    found
}

fn configuration(config: &Config) -> Finding {
    let set = KEYS.iter().filter(|key| *config.origin(key.name) != Origin::Default).count();
    Finding::ok("configuration", format!("is valid; {set} of {} keys are set", KEYS.len()))
}

fn listening(config: &Config) -> Finding {
    let open = match &config.listen {
        Listen::Tcp(address) => !address.ip().is_loopback(),
        Listen::Unix(_) => false,
    };
    let said = format!("listens on {}, clients use {}", config.listen, config.public_base());
    if open && config.tls.is_none() && config.public_url.is_none() {
        let advice = "put a reverse proxy with TLS in front of it and set public_url, or set tls.certificate";
        return Finding::warning("listening", format!("{said}, without TLS"), advice);
    }
    Finding::ok("listening", said)
}

fn directory(dir: &DataDir) -> Finding {
    let path = dir.path().display();
    let mode = fs::metadata(dir.path()).map_or(0, |found| found.permissions().mode() & 0o777);
    let served = if dir.is_locked() { "; a server is running" } else { "" };
    if mode & 0o022 != 0 {
        let advice = format!("check its content, then run chmod 700 {path}");
        let said = format!("other users may write to {path} (mode {mode:o}); the server does not start");
        return Finding::problem("data directory", said, advice);
    }
    if mode & 0o077 != 0 {
        let advice = format!("chmod 700 {path}");
        return Finding::warning(
            "data directory",
            format!("{path} is accessible to other users (mode {mode:o})"),
            advice,
        );
    }
    Finding::ok("data directory", format!("{path} is private{served}"))
}

fn space(path: &Path) -> Finding {
    let advice = "free some space, or shorten retention.logs and retention.events";
    match disk::space(path) {
        Ok(DiskSpace { free_bytes: free, .. }) => {
            let said = format!("{} MiB free", free >> 20);
            match free {
                0..SPACE_PROBLEM => Finding::problem("disk space", said, advice),
                SPACE_PROBLEM..SPACE_WARNING => Finding::warning("disk space", said, advice),
                _ => Finding::ok("disk space", said),
            }
        }
        Err(error) => Finding::warning("disk space", format!("cannot be read: {error}"), advice),
    }
}

/// The minimum duration of a commit.
fn fsync(path: &Path) -> Finding {
    match disk::fsync_ms(&path.join("doctor.probe")) {
        Ok(ms) if ms > FSYNC_WARNING_MS => Finding::warning(
            "disk speed",
            format!("an fsync takes {ms:.1} ms"),
            "every accepted event waits for an fsync. Put the data on a local SSD, not on a network disk or an SD card",
        ),
        Ok(ms) => Finding::ok("disk speed", format!("an fsync takes {ms:.1} ms")),
        Err(error) => Finding::problem(
            "disk speed",
            format!("cannot write to {}: {error}", path.display()),
            "check the owner, the permissions, and whether the disk is full or read-only",
        ),
    }
}

fn key(config: &Config, dir: &DataDir) -> Finding {
    if !dir.database().exists() {
        let is_configured = config.encryption_key.is_some();
        let said = if is_configured {
            "is configured; backups do not contain it"
        } else {
            "is generated at the first start"
        };
        return Finding::ok("encryption key", said);
    }
    match dir.vault().map(|vault| (files(&dir.database()).key_evidence(), vault)) {
        Ok((Ok(evidence), vault)) if !vault.opens(&evidence) => {
            Finding::problem("encryption key", "is not the one of the database", dir.wrong_key().to_string())
        }
        Ok(_) if config.encryption_key.is_some() => {
            Finding::ok("encryption key", "is configured; backups do not contain it")
        }
        Ok(_) => Finding::ok("encryption key", "is in secret.key and in every backup"),
        Err(error) => Finding::problem("encryption key", "cannot be read", error.to_string()),
    }
}

/// Open files besides requests in flight.
const OTHER_FILES: u64 = 256;

/// The server raises the soft limit to the hard one, so only that one counts.
fn open_files(config: &Config, hard_limit: u64) -> Finding {
    let needed = u64::try_from(config.delivery.concurrency).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let said = format!("up to {hard_limit} files may be open");
    if hard_limit < needed {
        let advice = format!("allow {needed} for delivery.concurrency (ulimit -Hn, LimitNOFILE=)");
        return Finding::warning("open files", said, advice);
    }
    Finding::ok("open files", said)
}

fn clock(now: Timestamp) -> Finding {
    // A clock that was never set starts at 1970 or at the firmware's build date.
    if now.as_millis() < 1_750_000_000_000 {
        let advice =
            "set the clock (timedatectl set-ntp true). Receivers reject signatures with a wrong timestamp";
        return Finding::problem("clock", format!("says {now}, which is in the past"), advice);
    }
    Finding::ok("clock", format!("says {now}; receivers reject signatures that are minutes off"))
}

fn authorities(trusted: Authorities) -> Finding {
    match trusted {
        Authorities::System => Finding::ok("CA certificates", "are installed"),
        Authorities::BuiltIn => Finding::warning(
            "CA certificates",
            "are not installed on this system; the built-in ones are used",
            "install the package ca-certificates, which receives updates",
        ),
        Authorities::Nobody => Finding::problem(
            "CA certificates",
            "SSL_CERT_FILE and SSL_CERT_DIR lead to no certificates; HTTPS receivers cannot be reached",
            "correct or unset these variables",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn built_in_ca_certificates_are_a_warning_and_none_a_problem() {
        let severity = |trusted| authorities(trusted).severity;
        assert_eq!(severity(Authorities::System), Severity::Ok);
        assert_eq!(severity(Authorities::BuiltIn), Severity::Warning);
        assert_eq!(severity(Authorities::Nobody), Severity::Problem);
    }
}
