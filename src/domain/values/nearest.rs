//! "Did you mean …" for unknown names.

/// The longest name that is compared, in bytes.
const COMPARED_MAX: usize = 100;

/// A sentence's end about an unknown name, with the nearest known one.
pub fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    // A name of a megabyte is like none of ours, and costly to compare.
    let comparable = name.len() <= COMPARED_MAX;
    let near = known
        .iter()
        .filter(|_| comparable)
        .map(|k| (strsim::damerau_levenshtein(&name.to_lowercase(), k), *k))
        .filter(|(distance, k)| *distance <= (k.len() / 2).max(2))
        .min();
    match near {
        Some((_, near)) => format!("is not a known {kind}; did you mean {near}?"),
        None => format!("is not a known {kind}; there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        let known = ["url", "events", "retry_schedule"];
        assert!(unknown("field", "event", &known).contains("did you mean events?"));
        assert!(unknown("field", "retrySchedule", &known).contains("did you mean retry_schedule?"));
        assert!(unknown("field", "colour", &known).contains("there are url, events, retry_schedule"));
    }
}
