//! Filters of numbers, dates, sizes and durations.

use std::borrow::Cow;

use super::super::budget::{Budget, Overrun};
use super::super::dates::{Moment, offset};
use super::super::run::Run;
use super::super::value::{Number, Value, charge_digits};
use super::Filtered;

/// A text that holds a number, as senders often write them.
fn parsed(text: &str, budget: &mut Budget) -> Result<Option<f64>, Overrun> {
    budget.digits(text.len())?;
    let text = text.trim();
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
    Ok(text.parse().ok().filter(|number: &f64| plain && number.is_finite()))
}

/// The number that a value is or holds.
fn number_of(value: &Value<'_>, budget: &mut Budget) -> Result<Option<f64>, Overrun> {
    match value {
        Value::Number(number) => {
            charge_digits(number, budget)?;
            Ok(Some(number.float()).filter(|number| number.is_finite()))
        }
        Value::Text(text) => parsed(text, budget),
        _ => Ok(None),
    }
}

/// A number without a fraction; missing if it is too large.
fn whole<'a>(number: f64) -> Value<'a> {
    const MOST: f64 = 1e38;
    if number.abs() < MOST { Value::integer(number as i128) } else { Value::Missing }
}

/// Halves away from zero. Without decimals the result has no fraction.
pub(super) fn round<'a>(value: Value<'a>, decimals: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let Value::Number(number) = value else { return Ok(Value::Missing) };
    charge_digits(&number, budget)?;
    let decimals = match decimals {
        Value::Number(decimals) => decimals.whole().unwrap_or(0).clamp(-30, 30) as i32,
        _ => 0,
    };
    if number.integer().is_some() && decimals >= 0 {
        return Ok(Value::Number(number));
    }
    let scale = 10_f64.powi(decimals.abs());
    let float = number.float();
    if decimals <= 0 {
        return Ok(whole((float / scale).round() * scale));
    }
    let rounded = (float * scale).round() / scale;
    Ok(Value::float(if rounded.is_finite() { rounded } else { float }))
}

/// As in Jinja2, a text that is no number is 0.
pub(super) fn int<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let number = match &value {
        Value::Missing => return Ok(Value::Missing),
        Value::Bool(value) => return Ok(Value::integer(i128::from(*value))),
        Value::Number(number) => {
            charge_digits(number, budget)?;
            if let Some(integer) = number.integer() {
                return Ok(Value::integer(integer));
            }
            number.float()
        }
        Value::Text(text) => {
            budget.digits(text.len())?;
            if let Ok(integer) = text.trim().parse() {
                return Ok(Value::integer(integer));
            }
            parsed(text, budget)?.unwrap_or(0.0)
        }
        _ => 0.0,
    };
    Ok(whole(number.trunc()))
}

pub(super) fn float<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    Ok(match &value {
        Value::Missing => Value::Missing,
        Value::Bool(value) => Value::float(f64::from(u8::from(*value))),
        Value::Number(number) => {
            charge_digits(number, budget)?;
            Value::float(number.float())
        }
        other => Value::float(number_of(other, budget)?.unwrap_or(0.0)),
    })
}

pub(super) fn abs<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let Value::Number(number) = value else { return Ok(Value::Missing) };
    charge_digits(&number, budget)?;
    Ok(match (number, number.integer()) {
        (Number::Written(text), _) if !text.starts_with('-') => Value::Number(number),
        (_, Some(integer)) => integer.checked_abs().map_or(Value::Missing, Value::integer),
        (_, None) => Value::float(number.float().abs()),
    })
}

/// The result of a filter that cannot read its value.
fn unreadable<'a>(value: &Value<'_>, run: &mut Run<'_>, excerpt: &str, wanted: &str) -> Value<'a> {
    if let Some(notes) = run.notes.as_deref_mut()
        && !value.is_missing()
        && !value.is_none()
    {
        notes.hint(format!("{excerpt}: {} is not {wanted}", value.preview()));
    }
    Value::Missing
}

/// A short text that a filter made.
fn made<'a>(text: String, budget: &mut Budget) -> Filtered<'a> {
    budget.make(text.len())?;
    Ok(Value::Text(Cow::Owned(text)))
}

pub(super) fn date<'a>(
    value: Value<'a>,
    format: Value<'a>,
    zone: Value<'a>,
    run: &mut Run<'_>,
    excerpt: &str,
) -> Filtered<'a> {
    let moment = match &value {
        // The longest text that is a date is shorter.
        Value::Text(text) if text.len() <= 100 => match Moment::of_text(text) {
            Some(moment) => Some(moment),
            None => parsed(text, run.budget)?.and_then(Moment::of_number),
        },
        other => number_of(other, run.budget)?.and_then(Moment::of_number),
    };
    let format = match format {
        Value::Missing => Cow::Borrowed("%Y-%m-%d %H:%M"),
        format => format.into_text(run.budget)?,
    };
    let zone = match zone {
        Value::Missing => Some(0),
        zone => offset(&zone.into_text(run.budget)?),
    };
    run.budget.digits(format.len())?;
    // A specifier has two characters and prints at most ten.
    run.budget.make(format.len().saturating_mul(5))?;
    match (moment, zone) {
        (Some(moment), Some(zone)) => match moment.format(&format, zone) {
            Some(text) => Ok(Value::Text(Cow::Owned(text))),
            None => Ok(unreadable(&Value::Text(format), run, excerpt, "a format of dates")),
        },
        (None, _) => Ok(unreadable(&value, run, excerpt, "a date or a time since 1970")),
        (_, None) => Ok(unreadable(&value, run, excerpt, "at a known offset")),
    }
}

/// `1.4 GiB`
pub(super) fn file_size<'a>(value: Value<'a>, run: &mut Run<'_>, excerpt: &str) -> Filtered<'a> {
    let Some(bytes) = number_of(&value, run.budget)? else {
        return Ok(unreadable(&value, run, excerpt, "a number of bytes"));
    };
    if bytes.abs() < 1023.5 {
        return made(format!("{bytes:.0} B"), run.budget);
    }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut size = bytes / 1024.0;
    let mut unit = 0;
    // 1023.95 would be written 1024.0.
    while size.abs() >= 1023.95 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    made(format!("{size:.1} {}", units[unit]), run.budget)
}

/// `2 h 5 min`: seconds as the two largest units.
pub(super) fn duration<'a>(value: Value<'a>, run: &mut Run<'_>, excerpt: &str) -> Filtered<'a> {
    let seconds = number_of(&value, run.budget)?.filter(|seconds| seconds.abs() < 1e15);
    let Some(seconds) = seconds else {
        return Ok(unreadable(&value, run, excerpt, "a number of seconds"));
    };
    let sign = if seconds < 0.0 { "-" } else { "" };
    let milliseconds = (seconds.abs() * 1000.0).round();
    if milliseconds > 0.0 && milliseconds < 1000.0 {
        return made(format!("{sign}{milliseconds} ms"), run.budget);
    }
    let mut left = seconds.abs().round() as u64;
    let units = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];
    let first = units.iter().position(|(_, length)| left >= *length).unwrap_or(units.len() - 1);
    let mut text = sign.to_owned();
    for (i, (unit, length)) in units[first..].iter().take(2).enumerate() {
        let count = left / length;
        left %= length;
        if i > 0 && count == 0 {
            break;
        }
        if i > 0 {
            text.push(' ');
        }
        text.push_str(&format!("{count} {unit}"));
    }
    made(text, run.budget)
}
