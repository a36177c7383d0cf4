//! What operators do with values.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::budget::{Budget, Overrun};
use super::catalog::Comparator;
use super::json::Object;
use super::syntax::Operator;
use super::value::{Number, Value, contains, equal, order};

/// The value of a key of an object.
pub(super) fn field<'a>(value: &Value<'a>, name: &str) -> Value<'a> {
    match value {
        Value::Object(object) => {
            let object: &'a Object<'a> = object;
            object.get(name).map_or(Value::Missing, Value::of)
        }
        _ => Value::Missing,
    }
}

pub(super) fn character<'a>(text: Cow<'a, str>, index: i128) -> Value<'a> {
    let place = if index < 0 { index.saturating_add(text.chars().count() as i128) } else { index };
    let found = usize::try_from(place).ok().and_then(|place| text.chars().nth(place));
    found.map_or(Value::Missing, |c| Value::Text(Cow::Owned(c.to_string())))
}

/// Whether a comparison holds. With a missing value none does, but `!=` and `not in`.
pub(super) fn compare(
    left: &Value<'_>,
    comparator: Comparator,
    right: &Value<'_>,
    budget: &mut Budget,
) -> Result<bool, Overrun> {
    let ordered = |wanted: fn(Ordering) -> bool, budget: &mut Budget| {
        Ok(order(left, right, budget)?.is_some_and(wanted))
    };
    match comparator {
        Comparator::Equal => equal(left, right, budget),
        Comparator::NotEqual => Ok(!equal(left, right, budget)?),
        Comparator::Less => ordered(Ordering::is_lt, budget),
        Comparator::LessOrEqual => ordered(Ordering::is_le, budget),
        Comparator::Greater => ordered(Ordering::is_gt, budget),
        Comparator::GreaterOrEqual => ordered(Ordering::is_ge, budget),
        Comparator::In => contains(right, left, budget),
        Comparator::NotIn => Ok(!contains(right, left, budget)?),
    }
}

/// What does not fit, and division by zero, is missing.
pub(super) fn calculate<'a>(a: &Number<'_>, operator: Operator, b: &Number<'_>) -> Value<'a> {
    if operator == Operator::Divide {
        // As in Python, the result has a fraction even if it is .0.
        return Value::float(a.float() / b.float());
    }
    if let (Some(a), Some(b)) = (a.integer(), b.integer()) {
        let result = match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            _ => a.checked_mul(b),
        };
        return result.map_or(Value::Missing, Value::integer);
    }
    let (a, b) = (a.float(), b.float());
    Value::float(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        _ => a * b,
    })
}
