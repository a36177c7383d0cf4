//! Filters that change, shorten or search texts.

use std::borrow::Cow;

use super::super::budget::{Budget, Overrun};
use super::super::run::Run;
use super::super::value::Value;
use super::count;

type Text<'a> = Result<Cow<'a, str>, Overrun>;

/// A part of a text; what was borrowed stays so.
fn part<'a>(text: Cow<'a, str>, from: usize, to: usize) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[from..to]),
        Cow::Owned(mut text) => {
            text.truncate(to);
            text.drain(..from);
            Cow::Owned(text)
        }
    }
}

/// Charges for a change of case: letters beyond ASCII can become three times as long.
fn make_cased(text: &str, budget: &mut Budget) -> Result<(), Overrun> {
    budget.make(if text.is_ascii() { text.len() } else { text.len() * 3 })
}

pub(super) fn lower<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    make_cased(&text, budget)?;
    Ok(Cow::Owned(text.to_lowercase()))
}

pub(super) fn upper<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    make_cased(&text, budget)?;
    Ok(Cow::Owned(text.to_uppercase()))
}

pub(super) fn capitalize<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    make_cased(&text, budget)?;
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return Ok(text) };
    let mut out: String = first.to_uppercase().collect();
    out.push_str(&chars.as_str().to_lowercase());
    Ok(Cow::Owned(out))
}

pub(super) fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    let from = text.len() - text.trim_start().len();
    let to = from + text.trim().len();
    part(text, from, to)
}

pub(super) fn replace<'a>(
    text: Cow<'a, str>,
    old: Value<'a>,
    new: Value<'a>,
    budget: &mut Budget,
) -> Text<'a> {
    let (old, new) = (old.into_text(budget)?, new.into_text(budget)?);
    if old.is_empty() {
        return Ok(text);
    }
    budget.scan(text.len() + old.len())?;
    let hits = text.matches(old.as_ref()).count();
    if hits == 0 {
        return Ok(text);
    }
    budget.make((text.len() - hits * old.len()).saturating_add(hits.saturating_mul(new.len())))?;
    Ok(Cow::Owned(text.replace(old.as_ref(), &new)))
}

/// Cuts at a byte and adds `…`.
fn cut<'a>(text: &str, at: usize, ellipsis: bool, run: &mut Run<'_>, excerpt: &str) -> Text<'a> {
    let ellipsis = if ellipsis { "…" } else { "" };
    run.budget.make(at + ellipsis.len())?;
    if let Some(notes) = run.notes.as_deref_mut() {
        notes.cut(format!("{excerpt}: {} of {} bytes are left", at, text.len()));
    }
    Ok(Cow::Owned([&text[..at], ellipsis].concat()))
}

/// To `n` UTF-16 units, the ellipsis included. Telegram and browsers count so; it is never fewer than characters.
pub(super) fn truncate<'a>(text: Cow<'a, str>, n: Value<'_>, run: &mut Run<'_>, excerpt: &str) -> Text<'a> {
    let Some(most) = count(&n) else { return Ok(text) };
    if text.len() <= most {
        return Ok(text);
    }
    let (mut units, mut end) = (0, 0);
    for (at, c) in text.char_indices() {
        units += c.len_utf16();
        if units > most {
            return cut(&text, end, most > 0, run, excerpt);
        }
        // The last place that leaves room for the ellipsis.
        if units < most {
            end = at + c.len_utf8();
        }
    }
    Ok(text)
}

/// To `n` bytes of UTF-8, the ellipsis included.
pub(super) fn truncate_bytes<'a>(
    text: Cow<'a, str>,
    n: Value<'_>,
    run: &mut Run<'_>,
    excerpt: &str,
) -> Text<'a> {
    let Some(most) = count(&n) else { return Ok(text) };
    if text.len() <= most {
        return Ok(text);
    }
    let ellipsis = most >= "…".len();
    let at = text.floor_char_boundary(if ellipsis { most - "…".len() } else { most });
    cut(&text, at, ellipsis, run, excerpt)
}

/// The first `n` lines.
pub(super) fn lines<'a>(text: Cow<'a, str>, n: Value<'_>, run: &mut Run<'_>, excerpt: &str) -> Text<'a> {
    let Some(most) = count(&n) else { return Ok(text) };
    let end = match most {
        0 => Some(0),
        _ => text.bytes().enumerate().filter(|(_, b)| *b == b'\n').nth(most - 1).map(|(at, _)| at),
    };
    let Some(end) = end else { return Ok(text) };
    if let Some(notes) = run.notes.as_deref_mut()
        && !text[end..].trim().is_empty()
    {
        notes.cut(format!("{excerpt}: {end} of {} bytes are left", text.len()));
    }
    let end = text[..end].strip_suffix('\r').map_or(end, str::len);
    Ok(part(text, 0, end))
}

/// What is behind the last `separator`.
pub(super) fn after<'a>(text: Cow<'a, str>, separator: Value<'a>, budget: &mut Budget) -> Text<'a> {
    let separator = separator.into_text(budget)?;
    if separator.is_empty() {
        return Ok(text);
    }
    budget.scan(separator.len())?;
    let from = text.rfind(separator.as_ref()).map_or(0, |at| at + separator.len());
    let to = text.len();
    Ok(part(text, from, to))
}
