//! What an expression gives, and how values compare and print.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use super::budget::{Budget, Overrun};
use super::json::{Json, Object, text_bound, write_list, write_text};
use super::syntax::Constant;

/// A value. Lists and objects are references into the payload; texts are, too, unless a filter made them.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// A path that leads nowhere.
    Missing,
    None,
    Bool(bool),
    Number(Number<'a>),
    Text(Cow<'a, str>),
    Object(&'a Object<'a>),
    List(Items<'a>),
}

/// A number: as it stood in the JSON, or computed.
#[derive(Debug, Clone, Copy)]
pub enum Number<'a> {
    Written(&'a str),
    Integer(i128),
    Float(f64),
}

/// The elements of a list.
#[derive(Debug, Clone)]
pub enum Items<'a> {
    Json(&'a [Json<'a>]),
    Selected(Rc<[Value<'a>]>),
}

impl<'a> Items<'a> {
    pub fn len(&self) -> usize {
        match self {
            Items::Json(list) => list.len(),
            Items::Selected(list) => list.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An element; missing if there is none.
    pub fn at(&self, index: usize) -> Value<'a> {
        match self {
            Items::Json(list) => list.get(index).map(Value::of),
            Items::Selected(list) => list.get(index).cloned(),
        }
        .unwrap_or(Value::Missing)
    }

    /// The element at an index that counts from the end if it is negative.
    pub(super) fn at_either_end(&self, index: i128) -> Value<'a> {
        let index = if index < 0 { index.saturating_add(self.len() as i128) } else { index };
        usize::try_from(index).map_or(Value::Missing, |index| self.at(index))
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + '_ {
        (0..self.len()).map(|index| self.at(index))
    }
}

impl Number<'_> {
    /// The whole number that this is, if it was written or computed as one.
    pub(super) fn integer(&self) -> Option<i128> {
        match self {
            Number::Written(text) => text.parse().ok(),
            Number::Integer(number) => Some(*number),
            Number::Float(_) => None,
        }
    }

    pub(super) fn float(&self) -> f64 {
        match self {
            Number::Written(text) => text.parse().unwrap_or(f64::NAN),
            Number::Integer(number) => *number as f64,
            Number::Float(number) => *number,
        }
    }

    /// An index, a length: a number without a fraction, however it is written.
    pub(super) fn whole(&self) -> Option<i128> {
        self.integer().or_else(|| {
            let float = self.float();
            (float.fract() == 0.0 && float.abs() < 1e18).then_some(float as i128)
        })
    }

    fn compare(&self, other: &Number<'_>) -> Option<Ordering> {
        match (self, other) {
            (Number::Written(a), Number::Written(b)) if a == b => Some(Ordering::Equal),
            _ => match (self.integer(), other.integer()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => self.float().partial_cmp(&other.float()),
            },
        }
    }

    fn write(&self, out: &mut String) {
        use std::fmt::Write;
        // Writing to a String does not fail.
        let _ = match self {
            Number::Written(text) => {
                out.push_str(text);
                Ok(())
            }
            Number::Integer(number) => write!(out, "{number}"),
            Number::Float(number) => write!(out, "{number:?}"),
        };
    }
}

impl<'a> Value<'a> {
    pub fn of(json: &'a Json<'a>) -> Value<'a> {
        match json {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::Number(Number::Written(number)),
            Json::Text(text) => Value::Text(Cow::Borrowed(text)),
            Json::List(list) => Value::List(Items::Json(list)),
            Json::Object(object) => Value::Object(object),
        }
    }

    pub(super) fn constant(constant: &'a Constant) -> Value<'a> {
        match constant {
            Constant::None => Value::None,
            Constant::Bool(value) => Value::Bool(*value),
            Constant::Integer(number) => Value::Number(Number::Integer(*number)),
            Constant::Float(number) => Value::Number(Number::Float(*number)),
            Constant::Text(text) => Value::Text(Cow::Borrowed(text)),
        }
    }

    /// A computed number; missing if it is none, or infinite.
    pub(super) fn float(number: f64) -> Value<'a> {
        if number.is_finite() { Value::Number(Number::Float(number)) } else { Value::Missing }
    }

    pub(super) fn integer(number: i128) -> Value<'a> {
        Value::Number(Number::Integer(number))
    }

    pub fn is_missing(&self) -> bool {
        matches!(self, Value::Missing)
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }

    /// As in Jinja2: missing, none, false, 0, and what is empty are not.
    pub(super) fn is_true(&self, budget: &mut Budget) -> Result<bool, Overrun> {
        Ok(match self {
            Value::Missing | Value::None => false,
            Value::Bool(value) => *value,
            // Without parsing it: a number is 0 if all of its digits before an exponent are.
            Value::Number(Number::Written(text)) => {
                budget.digits(text.len())?;
                text.bytes().take_while(|b| !matches!(b, b'e' | b'E')).any(|b| matches!(b, b'1'..=b'9'))
            }
            Value::Number(Number::Integer(number)) => *number != 0,
            Value::Number(Number::Float(number)) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Object(object) => !object.is_empty(),
            Value::List(list) => !list.is_empty(),
        })
    }

    /// An upper bound of the bytes that printing makes; charges for finding it.
    pub(super) fn printed_bound(&self, budget: &mut Budget) -> Result<usize, Overrun> {
        Ok(match self {
            Value::Missing | Value::None => 0,
            Value::Bool(value) => {
                if *value {
                    4
                } else {
                    5
                }
            }
            Value::Number(Number::Written(text)) => text.len(),
            Value::Number(_) => 40,
            Value::Text(text) => text.len(),
            Value::Object(_) | Value::List(_) => self.json_bound(budget)?,
        })
    }

    /// The same for [`Value::write_json`].
    pub(super) fn json_bound(&self, budget: &mut Budget) -> Result<usize, Overrun> {
        let (mut bytes, mut count) = (0, 0);
        let mut add = |(b, c): (usize, usize)| (bytes, count) = (bytes + b, count + c);
        match self {
            Value::Missing | Value::None => add((4, 1)),
            Value::Text(text) => add((text_bound(text), 1)),
            Value::Object(object) => object.iter().for_each(|(key, value)| {
                let (b, c) = value.measure();
                add((text_bound(key) + b + 2, c));
            }),
            Value::List(Items::Json(list)) => list.iter().for_each(|value| add(value.measure())),
            Value::List(list) => {
                // The elements may be the same large value many times: each is charged before the next.
                let mut total = 2;
                for value in list.iter() {
                    total += value.json_bound(budget)? + 1;
                    if total > 4 * 1024 * 1024 {
                        break;
                    }
                }
                budget.items(list.len())?;
                return Ok(total);
            }
            other => return other.printed_bound(budget),
        }
        budget.measured(count, bytes)?;
        Ok(bytes + count + 2)
    }

    /// Appends what `{{ }}` prints.
    pub fn print(&self, out: &mut String) {
        match self {
            Value::Missing | Value::None => {}
            Value::Text(text) => out.push_str(text),
            other => other.write_json(out),
        }
    }

    /// Appends this as compact JSON; what is missing is null.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Value::Missing | Value::None => out.push_str("null"),
            Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => number.write(out),
            Value::Text(text) => write_text(text, out),
            Value::Object(object) => object.write(out),
            Value::List(list) => write_list(list.iter(), out, Value::write_json),
        }
    }

    /// What this prints, charged as output.
    pub fn output_text(&self, budget: &mut Budget) -> Result<String, Overrun> {
        let bound = self.printed_bound(budget)?;
        budget.output(bound)?;
        let mut out = String::with_capacity(bound);
        self.print(&mut out);
        Ok(out)
    }

    /// Appends this as compact JSON, charged as output.
    pub fn output_json(&self, budget: &mut Budget, out: &mut String) -> Result<(), Overrun> {
        let bound = self.json_bound(budget)?;
        budget.output(bound)?;
        self.write_json(out);
        Ok(())
    }

    /// What this prints, as a text of its own or borrowed; charged.
    pub(super) fn into_text(self, budget: &mut Budget) -> Result<Cow<'a, str>, Overrun> {
        Ok(match self {
            Value::Text(text) => text,
            Value::Missing | Value::None => Cow::Borrowed(""),
            Value::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
            Value::Number(Number::Written(text)) => Cow::Borrowed(text),
            other => {
                let bound = other.printed_bound(budget)?;
                budget.make(bound)?;
                let mut out = String::with_capacity(bound);
                other.print(&mut out);
                Cow::Owned(out)
            }
        })
    }

    /// The beginning of what this prints, for people.
    pub(super) fn preview(&self) -> String {
        const MOST: usize = 100;
        let mut text = String::new();
        match self {
            Value::Missing => text.push_str("missing"),
            Value::None => text.push_str("none"),
            Value::Text(value) => {
                let cut: String = value.chars().take(MOST + 1).collect();
                write_text(&cut, &mut text);
            }
            Value::Object(object) => text = format!("object of {}", object.len()),
            Value::List(list) if list.len() > 10 => text = format!("list of {}", list.len()),
            Value::List(list) => {
                let all: Vec<String> = list
                    .iter()
                    .map(|value| match value {
                        Value::List(inner) => format!("list of {}", inner.len()),
                        other => other.preview(),
                    })
                    .collect();
                text = format!("[{}]", all.join(", "));
            }
            Value::Number(Number::Written(digits)) => text.extend(digits.chars().take(MOST + 1)),
            other => other.print(&mut text),
        }
        match text.char_indices().nth(MOST) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text,
        }
    }
}

/// Whether two values are equal. Nothing equals a missing one.
pub(super) fn equal(a: &Value<'_>, b: &Value<'_>, budget: &mut Budget) -> Result<bool, Overrun> {
    Ok(match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => {
            charge_digits(a, budget)?;
            charge_digits(b, budget)?;
            a.compare(b) == Some(Ordering::Equal)
        }
        (Value::Text(a), Value::Text(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            budget.scan(a.len())?;
            a == b
        }
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            budget.steps(1)?;
            budget.items(a.len())?;
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(&a, &b, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(a), Value::Object(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            budget.steps(1)?;
            // Each key is looked up.
            budget.items(a.len().saturating_mul(4))?;
            for (key, value) in a.iter() {
                budget.scan(key.len())?;
                let Some(other) = b.get(key) else { return Ok(false) };
                if !equal(&Value::of(value), &Value::of(other), budget)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}

/// Charges for reading a number.
pub(super) fn charge_digits(number: &Number<'_>, budget: &mut Budget) -> Result<(), Overrun> {
    match number {
        Number::Written(text) => budget.digits(text.len()),
        _ => Ok(()),
    }
}

/// The order of two values of one kind that has an order.
pub(super) fn order(a: &Value<'_>, b: &Value<'_>, budget: &mut Budget) -> Result<Option<Ordering>, Overrun> {
    Ok(match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            charge_digits(a, budget)?;
            charge_digits(b, budget)?;
            a.compare(b)
        }
        (Value::Text(a), Value::Text(b)) => {
            budget.scan(a.len().min(b.len()))?;
            Some(a.as_ref().cmp(b.as_ref()))
        }
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    })
}

/// Whether a value is an element of a list, a part of a text, or a key of an object.
pub(super) fn contains(all: &Value<'_>, one: &Value<'_>, budget: &mut Budget) -> Result<bool, Overrun> {
    match (all, one) {
        (Value::List(list), one) => {
            budget.items(list.len())?;
            for value in list.iter() {
                if equal(&value, one, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (Value::Text(all), Value::Text(one)) => {
            budget.scan(all.len() + one.len())?;
            Ok(all.contains(one.as_ref()))
        }
        (Value::Object(object), Value::Text(key)) => {
            budget.scan(key.len())?;
            Ok(object.get(key).is_some())
        }
        _ => Ok(false),
    }
}
