//! Regular expressions: constants, bounded when they are compiled, charged by the byte when they are used.

use regex::{Regex, RegexBuilder};

/// What a compiled expression may take.
const SIZE_MAX: usize = 64 * 1024;
/// What its cache may take, for each thread that uses it.
const CACHE_MAX: usize = 64 * 1024;

/// The expression, and what a step of searching costs: how many sizes it is larger than a small one.
pub(super) fn compile(text: &str, anchored: bool) -> Result<(Regex, usize), String> {
    let text = if anchored { format!("^(?:{text})") } else { text.to_owned() };
    let build = |size: usize| RegexBuilder::new(&text).size_limit(size).dfa_size_limit(CACHE_MAX).build();
    let pattern = match build(SIZE_MAX) {
        Ok(pattern) => pattern,
        Err(regex::Error::CompiledTooBig(_)) => {
            let advice = r"write [A-Za-z0-9_] for \w and [0-9] for \d, or fewer repetitions";
            return Err(format!("the regular expression takes more than {} KiB; {advice}", SIZE_MAX / 1024));
        }
        Err(error) => {
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            return Err(format!("the regular expression cannot be read: {reason}"));
        }
    };
    let mut cost = 1;
    while cost < SIZE_MAX / 1024 && build(1024 * cost).is_err() {
        cost *= 2;
    }
    Ok((pattern, cost))
}
