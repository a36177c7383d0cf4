//! Sentences for common mistakes in a configuration file. The parser's own message names a token; people need the
//! fix. The line is never shown, because it may contain a secret.

/// What to fix in a line that the parser refuses; `None` when it is none of the common mistakes.
pub(super) fn advice(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with('[') && !line.contains(']') {
        return Some("expected a closing ] at the end of the section's name".to_owned());
    }
    let Some((key, value)) = line.split_once('=') else { return without_equals(line) };
    let (key, value) = (key.trim(), without_comment(value.trim()));
    if !is_key(key) {
        return Some("expected a key of letters, digits, _ and dots before the =".to_owned());
    }
    // The mistake is another one, such as a key that occurs twice.
    if format!("x = {value}").parse::<toml::Table>().is_ok() {
        return None;
    }
    let quoted = |quote: char| value.starts_with(quote);
    match value.chars().next() {
        None => Some(format!("expected a value after {key} =; remove the line to use the default")),
        Some('"' | '\'') if value.len() < 2 || !value.ends_with(['"', '\'']) => {
            let quote = if quoted('"') { "\"" } else { "'" };
            Some(format!("expected a closing {quote} at the end of the value of {key}"))
        }
        Some('"') if value.contains('\\') => {
            Some(format!("the value of {key} has a \\, which \"…\" reads as an escape: write '…' instead"))
        }
        Some('[') if !value.ends_with(']') => {
            Some(format!("expected a closing ] at the end of the list of {key}, and quotes around its items"))
        }
        Some('[') => {
            Some(format!("expected a list such as {key} = [\"a\", \"b\"], with quotes around its items"))
        }
        Some('"' | '\'' | '{') => None,
        Some(_) if matches!(value, "yes" | "no" | "on" | "off" | "True" | "False") => {
            Some(format!("expected {key} = true or {key} = false"))
        }
        Some(_) => Some(format!("expected quotes around the value: {key} = \"…\"")),
    }
}

/// A line such as `listen: 127.0.0.1:8080`, or one with a key alone.
fn without_equals(line: &str) -> Option<String> {
    let key = line.split([':', ' ']).next().unwrap_or_default();
    is_key(key).then(|| format!("expected an = after the key: {key} = \"…\""))
}

fn is_key(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(is_plain)
}

/// The value without a comment after it. A `#` in quotes is part of the value.
fn without_comment(value: &str) -> &str {
    if value.starts_with(['"', '\'']) {
        return value;
    }
    value.split('#').next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_mistakes_get_a_sentence_that_does_not_repeat_the_value() {
        for (line, sentence) in [
            ("listen = 127.0.0.1:8080", "expected quotes around the value: listen = \"…\""),
            ("data_dir = /srv/s3cret # here", "expected quotes around the value: data_dir = \"…\""),
            ("listen: 127.0.0.1:8080", "expected an = after the key: listen = \"…\""),
            ("listen", "expected an = after the key: listen = \"…\""),
            ("listen =", "expected a value after listen =; remove the line to use the default"),
            ("token = \"s3cret", "expected a closing \" at the end of the value of token"),
            ("[delivery", "expected a closing ] at the end of the section's name"),
            (
                "allow = [10.0.0.0/8]",
                "expected a list such as allow = [\"a\", \"b\"], with quotes around its items",
            ),
            (
                "allow = [\"10.0.0.0/8\"",
                "expected a closing ] at the end of the list of allow, and quotes around its items",
            ),
            ("x = yes", "expected x = true or x = false"),
            ("a b = 1", "expected a key of letters, digits, _ and dots before the ="),
        ] {
            let said = advice(line).unwrap();
            assert_eq!(said, sentence, "{line}");
            assert!(!said.contains("s3cret"));
        }
        for other in ["x = {}", "x = 1", "x = [\"a\"]", "  \"10.0.0.0/8\""] {
            assert_eq!(advice(other), None, "{other}");
        }
    }
}
