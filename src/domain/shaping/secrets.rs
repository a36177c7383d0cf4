//! Secret values of an endpoint: their rules, and finding them in texts that are stored or shown.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::domain::endpoint::MASK;
use crate::domain::expr::{Json, write_text};
use crate::domain::values::invalid::{Complaints, FieldError, Invalid, escape_pointer};

use super::address::encode;

/// Secrets of an endpoint.
pub const SECRETS_MAX: usize = 10;
/// Bytes of a value.
pub const VALUE_MAX: usize = 4 * 1024;
/// Characters of a name.
pub const NAME_MAX: usize = 32;

/// The shortest part of a secret that is masked at the end of a text that was cut, in bytes.
const PART_MIN: usize = 3;

/// A secret as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// The mask: what there is stays.
    Keep,
    Value(String),
}

/// Reads the attribute `secrets`. `kept` are the names that the mask may keep: those that there are, or none when
/// the URL leads to another origin.
pub fn read(given: &Json<'_>, current: &[String], moves: bool) -> Result<Vec<(String, Given)>, Invalid> {
    let object = match given {
        Json::Null => return Ok(Vec::new()),
        Json::Object(object) => object,
        _ => return Err(Invalid::one("/secrets", "must be an object of names and values, or null")),
    };
    let mut complaints = Complaints::default();
    if object.len() > SECRETS_MAX {
        let message = format!("has {} entries; at most {SECRETS_MAX} are possible", object.len());
        return Err(Invalid::one("/secrets", message));
    }
    let mut secrets: Vec<(String, Given)> = Vec::new();
    for (name, value) in object.iter() {
        let pointer = format!("/secrets/{}", escape_pointer(name));
        match one(name, value, current, moves) {
            Ok(_) if secrets.iter().any(|(known, _)| known == name) => {
                complaints.push(FieldError::new(pointer, format!("the secret {name} is there twice")));
            }
            Ok(value) => secrets.push((name.to_owned(), value)),
            Err(message) => complaints.push(FieldError::new(pointer, message)),
        }
    }
    if complaints.is_empty() { Ok(secrets) } else { Err(Invalid(complaints.into_vec())) }
}

fn one(name: &str, value: &Json<'_>, current: &[String], moves: bool) -> Result<Given, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(allowed) {
        return Err(format!("a name of a secret has 1 to {NAME_MAX} of a-z, 0-9 and _"));
    }
    let Some(value) = value.as_str() else { return Err("must be a string".to_owned()) };
    if value == MASK {
        return match current.iter().any(|known| known == name) {
            true if moves => {
                Err("the URL leads to another scheme, host or port: give the secret again".to_owned())
            }
            true => Ok(Given::Keep),
            false => Err(format!("there is no secret {name} to keep; give its value")),
        };
    }
    if value.is_empty() || value.len() > VALUE_MAX {
        return Err(format!("must have 1 to {VALUE_MAX} bytes"));
    }
    Ok(Given::Value(value.to_owned()))
}

/// Checks a secret that goes into a URL as it is. The error is a sentence for the caller.
pub fn check_for_url(value: &str) -> Result<(), &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&b);
    if value.contains('#') {
        return Err("is used in the URL and contains #, where a URL would end");
    }
    if !value.bytes().all(allowed) {
        return Err("is used in the URL and contains characters that a URL cannot have; percent-encode them");
    }
    if value.to_ascii_lowercase().replace("%2e", ".").contains("..") {
        return Err("is used in the URL and contains .., which leads upwards");
    }
    Ok(())
}

/// All forms in which secrets may come back: plain, percent-encoded, Base64, and as in JSON.
#[derive(Clone, Default)]
pub struct Masks {
    /// The longest first.
    forms: Vec<String>,
}

/// A percent-encoded text with `%2f` in place of `%2F`, as some receivers write it.
fn with_small_escapes(encoded: &str) -> String {
    let mut pieces = encoded.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let (escape, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        text + "%" + &escape.to_ascii_lowercase() + rest
    })
}

impl Masks {
    pub fn of<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Masks {
        let mut forms = Vec::new();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            let mut encoded = String::new();
            encode(secret, &mut encoded);
            let plus: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let mut json = String::new();
            write_text(secret, &mut json);
            forms.extend([with_small_escapes(&encoded), with_small_escapes(&plus)]);
            forms.extend([secret.to_owned(), encoded, plus, json[1..json.len() - 1].to_owned()]);
            forms.extend(
                [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|engine| engine.encode(secret)),
            );
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Masks { forms }
    }

    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// The text with every secret masked.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for form in &self.forms {
            // What was masked is not looked at again: a secret of asterisks stays as long as it is.
            if !MASK.contains(form.as_str()) && text.contains(form.as_str()) {
                text = Cow::Owned(text.replace(form.as_str(), MASK));
            }
        }
        text
    }
}

impl Masks {
    /// The same for a text that was cut: the beginning of a secret at its end is masked, too.
    pub fn apply_cut(&self, text: &str) -> String {
        let mut text = self.apply(text).into_owned();
        let begun = |form: &String| {
            let ends = |n: &usize| form.get(..*n).is_some_and(|part| text.ends_with(part));
            (PART_MIN..form.len()).rev().find(ends)
        };
        if let Some(part) = self.forms.iter().filter_map(begun).max() {
            text.truncate(text.len() - part);
            text.push_str(MASK);
        }
        text
    }
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masks({})", self.forms.len())
    }
}
