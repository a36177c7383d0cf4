//! Filters that write a text for a certain place.

use std::borrow::Cow;

use base64::Engine;

use super::super::budget::{Budget, Overrun};
use super::super::value::Value;
use super::Filtered;

type Text<'a> = Result<Cow<'a, str>, Overrun>;

/// What stands in the output for a character.
#[derive(Clone, Copy)]
enum Written {
    Itself,
    As(&'static str),
    /// The character with this before it.
    After(&'static str),
    /// The character with this behind it.
    Before(&'static str),
}

/// A text with some characters written differently; `rule` sees the one before, the one, and the rest.
fn written<'a>(
    text: Cow<'a, str>,
    budget: &mut Budget,
    rule: impl Fn(Option<char>, char, &str) -> Written,
) -> Text<'a> {
    // Each character is looked at on its own, twice.
    budget.scan(text.len().saturating_mul(4))?;
    let each = |visit: &mut dyn FnMut(usize, char, Written)| {
        let mut before = None;
        for (at, c) in text.char_indices() {
            visit(at, c, rule(before, c, &text[at + c.len_utf8()..]));
            before = Some(c);
        }
    };
    let (mut length, mut changed) = (0, false);
    each(&mut |_, c, written| {
        length += match written {
            Written::Itself => c.len_utf8(),
            Written::As(other) => other.len(),
            Written::After(other) | Written::Before(other) => other.len() + c.len_utf8(),
        };
        changed |= !matches!(written, Written::Itself);
    });
    if !changed {
        return Ok(text);
    }
    budget.make(length)?;
    let mut out = String::with_capacity(length);
    each(&mut |_, c, written| match written {
        Written::Itself => out.push(c),
        Written::As(other) => out.push_str(other),
        Written::After(other) => {
            out.push_str(other);
            out.push(c);
        }
        Written::Before(other) => {
            out.push(c);
            out.push_str(other);
        }
    });
    Ok(Cow::Owned(out))
}

pub(super) fn html<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    written(text, budget, |_, c, _| match c {
        '&' => Written::As("&amp;"),
        '<' => Written::As("&lt;"),
        '>' => Written::As("&gt;"),
        '"' => Written::As("&quot;"),
        '\'' => Written::As("&#39;"),
        _ => Written::Itself,
    })
}

/// For Markdown of Discord, Mattermost, Gotify and ntfy.
pub(super) fn markdown<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    written(text, budget, |before, c, rest| match c {
        '\\' | '`' | '*' | '_' | '~' | '|' | '[' | ']' | '<' | '>' | '#' => Written::After("\\"),
        // A list.
        '-' | '+' if matches!(before, None | Some('\n')) && rest.starts_with([' ', '\t']) => {
            Written::After("\\")
        }
        _ => Written::Itself,
    })
}

/// For Telegram's MarkdownV2, which refuses a message with one of these unescaped.
pub(super) fn markdown_v2<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    written(text, budget, |_, c, _| match c {
        '_' | '*' | '[' | ']' | '(' | ')' | '~' | '`' | '>' | '#' | '+' | '-' | '=' | '|' | '{' | '}'
        | '.' | '!' | '\\' => Written::After("\\"),
        _ => Written::Itself,
    })
}

pub(super) fn slack<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    written(text, budget, |_, c, _| match c {
        '&' => Written::As("&amp;"),
        '<' => Written::As("&lt;"),
        '>' => Written::As("&gt;"),
        _ => Written::Itself,
    })
}

/// Breaks mentions with a zero-width space: `@here`, `@**all**`, `<users/all>`, `<!here>`.
pub(super) fn quiet<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    const NOTHING: &str = "\u{200B}";
    written(text, budget, |_, c, rest| match c {
        '@' if rest.starts_with(|next: char| !next.is_whitespace() && next != '\u{200B}') => {
            Written::Before(NOTHING)
        }
        '<' if rest.starts_with(['!', '@', '&']) || rest.starts_with("users/") => Written::Before(NOTHING),
        _ => Written::Itself,
    })
}

/// Everything but unreserved characters, `/` included.
pub(super) fn url<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let others = text.bytes().filter(|b| !plain(*b)).count();
    if others == 0 {
        return Ok(text);
    }
    budget.make(text.len() + 2 * others)?;
    let mut out = String::with_capacity(text.len() + 2 * others);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(byte as char);
        } else {
            out.extend(['%', HEX[usize::from(byte >> 4)] as char, HEX[usize::from(byte & 15)] as char]);
        }
    }
    Ok(Cow::Owned(out))
}

pub(super) fn base64<'a>(text: Cow<'a, str>, budget: &mut Budget) -> Text<'a> {
    budget.make(text.len().div_ceil(3) * 4)?;
    Ok(Cow::Owned(base64::engine::general_purpose::STANDARD.encode(text.as_bytes())))
}

/// Compact JSON; `<`, `>`, `&` and `'` are escaped as in Jinja2, so that it may stand in HTML.
pub(super) fn to_json<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let bound = value.json_bound(budget)?;
    budget.make(bound)?;
    let mut out = String::with_capacity(bound);
    value.write_json(&mut out);
    budget.scan(out.len())?;
    Ok(Value::Text(written(Cow::Owned(out), budget, |_, c, _| match c {
        '<' => Written::As("\\u003c"),
        '>' => Written::As("\\u003e"),
        '&' => Written::As("\\u0026"),
        '\'' => Written::As("\\u0027"),
        _ => Written::Itself,
    })?))
}

/// The color of a level, as the integer that Discord wants.
pub(super) fn color<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    if value.is_missing() || value.is_none() {
        return Ok(value);
    }
    Ok(Value::integer(match value.into_text(budget)?.as_ref() {
        "success" => 3_066_993,
        "warning" => 15_844_367,
        "error" => 15_158_332,
        _ => 3_447_003,
    }))
}
