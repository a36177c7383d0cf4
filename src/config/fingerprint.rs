//! A hash of what has to be the same on all nodes, so that a node with another configuration is noticed.
//!
//! Secrets are not in it: the database proves `encryption_key`, and a hash of a short token could be guessed.

use sha2::{Digest as _, Sha256};

use super::keys::KEYS;
use super::load::Settings;

/// Keys and sections that may differ from node to node: where it runs, how large it is, and who may look at it.
const PER_NODE: &[&str] = &[
    "listen",
    "data_dir",
    "storage",
    "cluster",
    "delivery.concurrency",
    "http.trusted_proxies",
    "tls",
    "metrics",
    "backup",
    "inbound.listen",
    "log",
];

/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 16;

fn is_per_node(name: &str) -> bool {
    let section = name.split_once('.').map_or(name, |(section, _)| section);
    PER_NODE.contains(&name) || PER_NODE.contains(&section)
}

/// The hash of all other keys, secrets left out.
pub(super) fn of(settings: &Settings) -> String {
    let mut hash = Sha256::new();
    for spec in KEYS.iter().filter(|spec| !spec.is_secret() && !is_per_node(spec.name)) {
        let value = settings.value(spec.name).to_toml().unwrap_or_default();
        hash.update(format!("{}={value}\n", spec.name));
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(DIGITS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn with(name: &str, value: &str) -> String {
        let environment = vec![(name.into(), value.into())];
        Config::load(&Sources { environment, ..Sources::default() }).unwrap().fingerprint()
    }

    #[test]
    fn what_nodes_must_share_changes_the_fingerprint_and_nothing_else_does() {
        let plain = Config::load(&Sources::default()).unwrap().fingerprint();
        assert_eq!(plain.len(), DIGITS);
        for (name, value) in [
            ("POSTRIDER_DELIVERY__TIMEOUT", "3s"),
            ("POSTRIDER_RETENTION__LOGS", "3d"),
            ("POSTRIDER_PUBLIC_URL", "https://example.com"),
            ("POSTRIDER_INBOUND__BODY_SIZE", "64KiB"),
        ] {
            assert_ne!(with(name, value), plain, "{name}");
        }
        for (name, value) in [
            ("POSTRIDER_LISTEN", "127.0.0.1:9"),
            ("POSTRIDER_CLUSTER__NODE", "b"),
            ("POSTRIDER_DELIVERY__CONCURRENCY", "9"),
            ("POSTRIDER_LOG__LEVEL", "debug"),
            ("POSTRIDER_METRICS__TOKEN", "a-token-of-this-node"),
            ("POSTRIDER_ENCRYPTION_KEY", "0123456789abcdef0123456789abcdef"),
        ] {
            assert_eq!(with(name, value), plain, "{name}");
        }
    }

    #[test]
    fn what_may_differ_is_in_the_table_of_keys() {
        for name in PER_NODE {
            let known =
                |spec: &super::super::KeySpec| spec.name == *name || spec.section_and_key().0 == *name;
            assert!(KEYS.iter().any(known), "{name}");
        }
    }
}
