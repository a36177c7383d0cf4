//! Filters of lists. What they give refers to the payload; nothing is copied.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::budget::{Budget, Overrun};
use super::super::catalog::{Selection, selection};
use super::super::operations::{character, compare, field};
use super::super::value::{Items, Value, charge_digits, equal};
use super::Filtered;

pub(super) fn first<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    end(value, 0, budget)
}

pub(super) fn last<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    end(value, -1, budget)
}

fn end<'a>(value: Value<'a>, index: i128, budget: &mut Budget) -> Filtered<'a> {
    match value {
        Value::List(list) => Ok(list.at_either_end(index)),
        Value::Text(text) => {
            budget.scan(text.len())?;
            Ok(character(text, index))
        }
        _ => Ok(Value::Missing),
    }
}

/// Of a text in characters; of what is missing, none or a number it is 0.
pub(super) fn length<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let length = match value {
        Value::List(list) => list.len(),
        Value::Object(object) => object.len(),
        Value::Text(text) => {
            budget.scan(text.len())?;
            text.chars().count()
        }
        _ => 0,
    };
    Ok(Value::integer(length as i128))
}

pub(super) fn join<'a>(value: Value<'a>, separator: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let Value::List(list) = value else { return Ok(value) };
    let separator = separator.into_text(budget)?;
    budget.items(list.len())?;
    let mut out = String::new();
    for (i, value) in list.iter().enumerate() {
        let bound = value.printed_bound(budget)?;
        budget.make(bound + separator.len())?;
        if i > 0 {
            out.push_str(&separator);
        }
        value.print(&mut out);
    }
    Ok(Value::Text(Cow::Owned(out)))
}

/// The value that a path such as `labels.severity` leads to from an element.
fn reached<'a>(mut value: Value<'a>, path: &str) -> Value<'a> {
    for name in path.split('.') {
        value = match &value {
            Value::List(list) => name.parse().map_or(Value::Missing, |index| list.at(index)),
            other => field(other, name),
        };
    }
    value
}

/// Charges for [`reached`] on each element.
fn charge_path(path: &str, elements: usize, budget: &mut Budget) -> Result<(), Overrun> {
    budget.items(elements.saturating_mul(1 + path.matches('.').count()))?;
    // The path is taken apart for each.
    budget.scan(elements.saturating_mul(path.len()))
}

fn selected<'a>(values: Vec<Value<'a>>) -> Value<'a> {
    Value::List(Items::Selected(values.into()))
}

pub(super) fn map<'a>(value: Value<'a>, path: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let Value::List(list) = value else { return Ok(Value::Missing) };
    let path = path.into_text(budget)?;
    charge_path(&path, list.len(), budget)?;
    budget.references(list.len())?;
    Ok(selected(list.iter().map(|value| reached(value, &path)).collect()))
}

pub(super) fn select<'a>(value: Value<'a>, arguments: [Value<'a>; 3], budget: &mut Budget) -> Filtered<'a> {
    let Value::List(list) = value else { return Ok(Value::Missing) };
    let [path, operator, other] = arguments;
    let path = path.into_text(budget)?;
    let operator = match operator {
        Value::Missing => None,
        operator => selection(&operator.into_text(budget)?),
    };
    charge_path(&path, list.len(), budget)?;
    let mut found = Vec::new();
    for value in list.iter() {
        let asked = reached(value.clone(), &path);
        let wanted = match operator {
            None => asked.is_true(budget)?,
            Some(Selection::Defined) => !asked.is_missing(),
            Some(Selection::Compare(comparator)) => compare(&asked, comparator, &other, budget)?,
        };
        if wanted {
            budget.make(std::mem::size_of::<usize>() * 2)?;
            found.push(value);
        }
    }
    budget.items(list.len())?;
    Ok(selected(found))
}

/// What a value is sorted by. It is a total order, which sorting needs: integers that a float cannot tell apart are
/// compared as what they are.
enum Key<'a> {
    Bool(bool),
    Number(f64, i128),
    Text(Cow<'a, str>),
    Other,
}

impl<'a> Key<'a> {
    fn of(value: Value<'a>) -> Key<'a> {
        match value {
            Value::Bool(value) => Key::Bool(value),
            Value::Number(number) => {
                // -0.0 + 0.0 is 0.0.
                let float = number.float() + 0.0;
                Key::Number(float, number.integer().unwrap_or(float as i128))
            }
            Value::Text(text) => Key::Text(text),
            _ => Key::Other,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Bool(_) => 0,
            Key::Number(..) => 1,
            Key::Text(_) => 2,
            Key::Other => 3,
        }
    }

    fn compare(&self, other: &Key<'_>) -> Ordering {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            (Key::Number(a, whole_a), Key::Number(b, whole_b)) => a.total_cmp(b).then(whole_a.cmp(whole_b)),
            (Key::Text(a), Key::Text(b)) => a.as_ref().cmp(b.as_ref()),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

/// By value: numbers before texts, texts by code point, everything else last and in its order.
pub(super) fn sort<'a>(value: Value<'a>, path: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let Value::List(list) = value else { return Ok(Value::Missing) };
    let by = match path {
        Value::Missing => None,
        path => Some(path.into_text(budget)?),
    };
    let rounds = list.len().checked_ilog2().unwrap_or(0) as usize + 1;
    charge_path(by.as_deref().unwrap_or_default(), list.len(), budget)?;
    budget.items(list.len().saturating_mul(rounds))?;
    budget.references(list.len().saturating_mul(2))?;
    let mut keyed = Vec::with_capacity(list.len());
    for value in list.iter() {
        let key = match &by {
            Some(path) => reached(value.clone(), path),
            None => value.clone(),
        };
        match &key {
            Value::Text(text) => budget.scan(text.len().saturating_mul(rounds))?,
            Value::Number(number) => charge_digits(number, budget)?,
            _ => {}
        }
        keyed.push((Key::of(key), value));
    }
    keyed.sort_by(|(a, _), (b, _)| a.compare(b));
    Ok(selected(keyed.into_iter().map(|(_, value)| value).collect()))
}

/// Each value once, where it stands first.
pub(super) fn unique<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    let Value::List(list) = value else { return Ok(Value::Missing) };
    budget.references(list.len().saturating_mul(2))?;
    let mut found: Vec<Value<'a>> = Vec::new();
    let mut seen: HashMap<u64, Vec<usize>> = HashMap::new();
    'values: for value in list.iter() {
        let mut hasher = DefaultHasher::new();
        digest(&value, &mut hasher, budget)?;
        let same = seen.entry(hasher.finish()).or_default();
        for other in same.iter() {
            budget.items(1)?;
            let missing = value.is_missing() && found[*other].is_missing();
            if missing || equal(&found[*other], &value, budget)? {
                continue 'values;
            }
        }
        same.push(found.len());
        found.push(value);
    }
    Ok(selected(found))
}

/// Hashes a value so that equal ones have equal hashes: 1 and 1.0, and objects whatever the order of their keys.
fn digest(value: &Value<'_>, hasher: &mut DefaultHasher, budget: &mut Budget) -> Result<(), Overrun> {
    match value {
        Value::Missing => 0_u8.hash(hasher),
        Value::None => 1_u8.hash(hasher),
        Value::Bool(value) => (2_u8, value).hash(hasher),
        Value::Number(number) => {
            charge_digits(number, budget)?;
            (3_u8, (number.float() + 0.0).to_bits()).hash(hasher);
        }
        Value::Text(text) => {
            budget.scan(text.len())?;
            (4_u8, text.as_ref()).hash(hasher);
        }
        Value::List(list) => {
            budget.steps(1)?;
            budget.items(list.len())?;
            (5_u8, list.len()).hash(hasher);
            for value in list.iter() {
                digest(&value, hasher, budget)?;
            }
        }
        Value::Object(object) => {
            budget.steps(1)?;
            budget.items(object.len())?;
            let mut sum = 0_u64;
            for (key, value) in object.iter() {
                let mut inner = DefaultHasher::new();
                budget.scan(key.len())?;
                key.hash(&mut inner);
                digest(&Value::of(value), &mut inner, budget)?;
                sum = sum.wrapping_add(inner.finish());
            }
            (6_u8, object.len(), sum).hash(hasher);
        }
    }
    Ok(())
}

pub(super) fn reverse<'a>(value: Value<'a>, budget: &mut Budget) -> Filtered<'a> {
    match value {
        Value::List(list) => {
            budget.references(list.len())?;
            Ok(selected((0..list.len()).rev().map(|index| list.at(index)).collect()))
        }
        Value::Text(text) => {
            budget.make(text.len())?;
            Ok(Value::Text(Cow::Owned(text.chars().rev().collect())))
        }
        _ => Ok(Value::Missing),
    }
}
