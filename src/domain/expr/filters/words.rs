//! `snake` and `slug`: a name as words with a separator between them.

use std::borrow::Cow;

use super::super::budget::{Budget, Overrun};

/// Runs of other characters than letters and digits become one separator, and a capital begins a word. A run of
/// capitals is one word: `HTTPServer` → `http_server`.
pub(super) fn separated<'a>(
    text: Cow<'a, str>,
    separator: char,
    budget: &mut Budget,
) -> Result<Cow<'a, str>, Overrun> {
    // Letters beyond ASCII can become longer in lower case; each may have a separator before it.
    budget.make(text.len() * 2)?;
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut before: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() {
            let begins = match before {
                Some(before) if before.is_alphanumeric() => {
                    c.is_uppercase()
                        && (!before.is_uppercase() || chars.peek().is_some_and(|next| next.is_lowercase()))
                }
                Some(_) => true,
                None => false,
            };
            if begins && !out.is_empty() {
                out.push(separator);
            }
            out.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    Ok(Cow::Owned(out))
}
