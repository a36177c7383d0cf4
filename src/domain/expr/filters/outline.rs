//! `outline`: any JSON as lines of `path.to.field: value`, where nothing better is known.

use std::borrow::Cow;

use super::super::budget::Overrun;
use super::super::run::Run;
use super::super::value::{Items, Number, Value};
use super::{Filtered, count};

/// Lines without an argument.
const LINES: usize = 20;
/// Characters of a value that are shown.
const VALUE_CHARS: usize = 200;

struct Outline<'o, 'r> {
    run: &'o mut Run<'r>,
    out: String,
    path: String,
    lines: usize,
    most: usize,
}

pub(super) fn outline<'a>(value: Value<'a>, n: Value<'_>, run: &mut Run<'_>, excerpt: &str) -> Filtered<'a> {
    if value.is_missing() || value.is_none() {
        return Ok(value);
    }
    let most = count(&n).unwrap_or(LINES);
    let mut outline = Outline { run, out: String::new(), path: String::new(), lines: 0, most };
    let whole = outline.add(&value)?;
    let Outline { run, out, .. } = outline;
    if let Some(notes) = run.notes.as_deref_mut()
        && !whole
    {
        notes.cut(format!("{excerpt}: {most} lines are shown, there are more"));
    }
    Ok(Value::Text(Cow::Owned(out)))
}

impl Outline<'_, '_> {
    /// Whether all of it had room.
    fn add(&mut self, value: &Value<'_>) -> Result<bool, Overrun> {
        if self.lines >= self.most {
            return Ok(false);
        }
        self.run.budget.steps(1)?;
        match value {
            Value::Object(object) if !object.is_empty() => {
                for (key, value) in object.iter() {
                    if !self.below(key, &Value::of(value))? {
                        return Ok(false);
                    }
                }
            }
            Value::List(list) if !list.is_empty() => return self.list(list),
            other => self.line(other)?,
        }
        Ok(true)
    }

    fn list(&mut self, list: &Items<'_>) -> Result<bool, Overrun> {
        for (index, value) in list.iter().enumerate() {
            if !self.below(&index.to_string(), &value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn below(&mut self, name: &str, value: &Value<'_>) -> Result<bool, Overrun> {
        let length = self.path.len();
        self.run.budget.make(name.len() + 1)?;
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let whole = self.add(value)?;
        self.path.truncate(length);
        Ok(whole)
    }

    fn line(&mut self, value: &Value<'_>) -> Result<(), Overrun> {
        let text: Cow<'_, str> = match value {
            Value::Text(text) => shortened(text),
            Value::Number(Number::Written(text)) => shortened(text),
            Value::None => Cow::Borrowed("null"),
            other => {
                let mut text = String::new();
                other.print(&mut text);
                Cow::Owned(text)
            }
        };
        self.run.budget.make(self.path.len() + text.len() + 3)?;
        if self.lines > 0 {
            self.out.push('\n');
        }
        if !self.path.is_empty() {
            self.out.push_str(&self.path);
            self.out.push_str(": ");
        }
        self.out.push_str(&text);
        self.lines += 1;
        Ok(())
    }
}

/// On one line, to [`VALUE_CHARS`] characters.
fn shortened(text: &str) -> Cow<'_, str> {
    let end = text.char_indices().nth(VALUE_CHARS).map_or(text.len(), |(at, _)| at);
    if end == text.len() && !text.contains(['\n', '\r']) {
        return Cow::Borrowed(text);
    }
    let mut line: String =
        text[..end].split(['\r', '\n']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    if end < text.len() {
        line.push('…');
    }
    Cow::Owned(line)
}
