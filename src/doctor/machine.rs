//! The machine: configuration, files, disk, clock, certificates of authorities.

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
use crate::host::disk::Room;

/// Less free space than this is nearly none.
const SPACE_WARNING: u64 = 1 << 30;
const SPACE_PROBLEM: u64 = 64 << 20;
/// An fsync that takes longer makes posting events slow, in milliseconds.
const FSYNC_WARNING_MS: f64 = 20.0;

/// Looks at everything that does not depend on an endpoint. `now` is what the clock says.
pub fn examine(config: &Config, now: Timestamp) -> Vec<Finding> {
    let dir = DataDir::existing(config);
    let mut found = vec![configuration(config), listening(config)];
    if dir.path().is_dir() {
        found.push(directory(&dir));
        found.push(space(dir.path()));
        found.push(fsync(dir.path()));
        found.push(key(config, &dir));
    } else {
        found.push(Finding::warning(
            "data directory",
            format!("{} does not exist yet", dir.path().display()),
            "the first start makes it; if there should be data, check data_dir (--data)",
        ));
    }
    found.push(clock(now));
    found.push(authorities(authorities::trusted()));
    found
}

fn configuration(config: &Config) -> Finding {
    let set = KEYS.iter().filter(|key| *config.origin(key.name) != Origin::Default).count();
    Finding::fine("configuration", format!("is fine; {set} of {} keys are set", KEYS.len()))
}

fn listening(config: &Config) -> Finding {
    let open = match &config.listen {
        Listen::Tcp(address) => !address.ip().is_loopback(),
        Listen::Unix(_) => false,
    };
    let said = format!("listens at {}, seen as {}", config.listen, config.public_base());
    if open && config.tls.is_none() && config.public_url.is_none() {
        let advice =
            "set public_url, and let a reverse proxy or tls.certificate encrypt what others could read";
        return Finding::warning("listening", format!("{said}, without encryption"), advice);
    }
    Finding::fine("listening", said)
}

fn directory(dir: &DataDir) -> Finding {
    let path = dir.path().display();
    let mode = fs::metadata(dir.path()).map_or(0, |found| found.permissions().mode() & 0o777);
    let served = if dir.is_locked() { "; a server is running on it" } else { "" };
    if mode & 0o077 != 0 {
        let advice = format!("chmod 700 {path}");
        return Finding::warning(
            "data directory",
            format!("{path} is open to others (mode {mode:o})"),
            advice,
        );
    }
    Finding::fine("data directory", format!("{path} is for its owner only{served}"))
}

fn space(path: &Path) -> Finding {
    let advice = "free some space, or shorten retention.logs and retention.events";
    match disk::room(path) {
        Ok(Room { free_bytes: free, .. }) => {
            let said = format!("{} MiB are free", free >> 20);
            match free {
                0..SPACE_PROBLEM => Finding::problem("disk space", said, advice),
                SPACE_PROBLEM..SPACE_WARNING => Finding::warning("disk space", said, advice),
                _ => Finding::fine("disk space", said),
            }
        }
        Err(error) => Finding::warning("disk space", format!("could not be asked for: {error}"), advice),
    }
}

/// What one commit costs at the least.
fn fsync(path: &Path) -> Finding {
    match disk::fsync_ms(&path.join("doctor.probe")) {
        Ok(ms) if ms > FSYNC_WARNING_MS => Finding::warning(
            "disk speed",
            format!("an fsync takes {ms:.1} ms"),
            "each accepted event waits for one: put the data on a local SSD, not on a network or an SD card",
        ),
        Ok(ms) => Finding::fine("disk speed", format!("an fsync takes {ms:.1} ms")),
        Err(error) => Finding::problem(
            "disk speed",
            format!("nothing can be written to {}: {error}", path.display()),
            "check owner, permissions, and whether the disk is full or mounted read-only",
        ),
    }
}

fn key(config: &Config, dir: &DataDir) -> Finding {
    if config.encryption_key.is_some() {
        return Finding::fine("encryption key", "is configured; a backup does not hold it");
    }
    if !dir.database().exists() {
        return Finding::fine("encryption key", "is made at the first start");
    }
    match dir.key_text() {
        Ok(_) => Finding::fine("encryption key", "is in secret.key, and in each backup"),
        Err(error) => Finding::problem("encryption key", "cannot be read", error.to_string()),
    }
}

fn clock(now: Timestamp) -> Finding {
    // A clock that was never set begins at 1970 or at the day the firmware was built.
    if now.as_millis() < 1_750_000_000_000 {
        let advice = "set the clock (timedatectl set-ntp true): receivers refuse signatures of another time";
        return Finding::problem("clock", format!("says {now}, which is long ago"), advice);
    }
    Finding::fine("clock", format!("says {now}; receivers refuse signatures that are minutes off"))
}

fn authorities(trusted: Authorities) -> Finding {
    match trusted {
        Authorities::System => {
            Finding::fine("authorities", "certificates of authorities are there for HTTPS")
        }
        Authorities::BuiltIn => Finding::warning(
            "authorities",
            "this system has no certificates of authorities; those that came with this program are used",
            "install the package ca-certificates, which is kept up to date",
        ),
        Authorities::Nobody => Finding::problem(
            "authorities",
            "no certificates of authorities are where SSL_CERT_FILE and SSL_CERT_DIR say; no HTTPS receiver can be reached",
            "correct these variables, or remove them",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn authorities_that_came_with_the_program_are_worth_a_warning_and_none_at_all_is_a_problem() {
        let verdict = |trusted| authorities(trusted).verdict;
        assert_eq!(verdict(Authorities::System), Verdict::Fine);
        assert_eq!(verdict(Authorities::BuiltIn), Verdict::Warning);
        assert_eq!(verdict(Authorities::Nobody), Verdict::Problem);
    }
}
