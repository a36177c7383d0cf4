//! What the fuzzers have been given and have found (tests/fuzz) is tried on every run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use postrider::host::clock::{Clock as _, SystemClock};

#[path = "../../fuzz/targets.rs"]
mod targets;

/// Takes any bytes.
type Target = fn(&[u8]);

/// Feeds every file of a target's corpus to it; a panic names the file.
fn feed(name: &str, target: Target) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut fed = 0;
    for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
        let path = entry.expect("an entry").path();
        eprintln!("{}", path.display());
        target(&fs::read(&path).expect("it can be read"));
        fed += 1;
    }
    assert!(fed >= 5, "{name} has {fed} seeds");
}

/// What is put in: what means something somewhere.
const BYTES: &[u8] = b"0123456789.:/%@[]*#?&=,-_ \n\0x\xff";

/// A small generator (xorshift64*): what it gives depends on the seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let wide = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(wide).expect("31 bits fit") % n.max(1)
    }

    /// Some seed, with a few bytes changed, removed, doubled, or taken from another seed.
    fn bent(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.insert(at, BYTES[self.below(BYTES.len())]),
                3 => {
                    let from = self.below(bytes.len() + 1);
                    let piece: Vec<u8> = bytes[from.min(at)..from.max(at)].to_vec();
                    bytes.splice(at..at, piece);
                }
                4 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    bytes.splice(at.., other[from..].to_vec());
                }
                _ => bytes.truncate(at),
            }
        }
        bytes.truncate(4_096);
        bytes
    }
}

/// Fuzzing without a fuzzer's eyes, where none can be built: `FUZZ_SECS` for each target, 60 unless given.
/// An input that breaks a rule is written below `target/`, to be kept in the corpus.
#[test]
#[ignore = "takes minutes: cargo test --test it -- security::corpus::bent --ignored --nocapture"]
fn bent_seeds_break_no_rule() {
    let secs = std::env::var("FUZZ_SECS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(60);
    let all: [(&str, Target); 8] = [
        ("url", targets::url),
        ("pattern", targets::pattern),
        ("cursor", targets::cursor),
        ("retry_after", targets::retry_after),
        ("config", targets::config),
        ("language", targets::language),
        ("verifiers", targets::verifiers),
        ("bodies", targets::bodies),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in all {
        let dir = root.join("tests/fuzz/corpus").join(name);
        let mut seeds: Vec<_> =
            fs::read_dir(dir).expect("it is there").map(|e| e.expect("a file").path()).collect();
        seeds.sort();
        let seeds: Vec<Vec<u8>> = seeds.iter().map(|path| fs::read(path).expect("it can be read")).collect();
        let (mut random, mut tried) = (Random(20_261_122), 0u64);
        let started = SystemClock.now();
        let limit = i64::try_from(Duration::from_secs(secs).as_millis()).expect("it is not that long");
        while SystemClock.now().as_millis() - started.as_millis() < limit {
            let input = random.bent(&seeds);
            if std::panic::catch_unwind(|| target(&input)).is_err() {
                let kept = root.join("target").join(format!("broken-{name}"));
                fs::write(&kept, &input).expect("it can be written");
                panic!("{name}: {:?}, kept in {}", String::from_utf8_lossy(&input), kept.display());
            }
            tried += 1;
        }
        println!("{name}: {tried} inputs in {secs} s, no rule broken");
    }
}

#[test]
fn urls() {
    feed("url", targets::url);
}

#[test]
fn patterns() {
    feed("pattern", targets::pattern);
}

#[test]
fn cursors() {
    feed("cursor", targets::cursor);
}

#[test]
fn wishes_for_later() {
    feed("retry_after", targets::retry_after);
}

#[test]
fn configurations() {
    feed("config", targets::config);
}

#[test]
fn templates_and_filters() {
    feed("language", targets::language);
}

#[test]
fn verifiers() {
    feed("verifiers", targets::verifiers);
}

#[test]
fn bodies_of_sources() {
    feed("bodies", targets::bodies);
}
