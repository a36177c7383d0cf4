//! What a recipe comes to with the inputs of a person.
//!
//! `{{ inputs.x }}` is replaced by literal text; in `url` it is percent-encoded. An entry with an input that was left
//! out is left out, too: a key of an object, an element of a list, and every text with a secret that has no value.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use url::Position;

use crate::domain::endpoint::parse_url;
use crate::domain::gallery::{Input, InputKind, Preset};
use crate::domain::values::invalid::{Complaints, escape_pointer};
use crate::domain::values::nearest;
use crate::domain::{FieldError, Invalid};

/// The longest input, in bytes.
pub const INPUT_MAX: usize = 4 * 1_024;
/// Where inputs are in a request.
const POINTER: &str = "/preset/inputs";
/// A key of a list's element: the input without which it is there.
const UNLESS: &str = "$unless";

impl Preset {
    /// The attributes that the recipe sets with these inputs.
    pub fn expand(&self, inputs: &Map<String, Value>) -> Result<Map<String, Value>, Invalid> {
        let values = self.read(inputs)?;
        let mut texts = Texts { values, without: HashSet::new() };
        if let Some(Value::Object(secrets)) = self.attributes.get("secrets") {
            let missing = secrets.iter().filter(|(_, value)| texts.expand(value, false).is_none());
            texts.without = missing.map(|(name, _)| format!("secrets.{name}")).collect();
        }
        let expand = |(name, value): (&String, &Value)| {
            Some((name.clone(), texts.expand(value, name == "url")?)).filter(|(_, value)| !is_empty(value))
        };
        Ok(self.attributes.iter().filter_map(expand).collect())
    }

    /// What stands for each name, or all that is wrong.
    fn read(&self, given: &Map<String, Value>) -> Result<HashMap<String, Text>, Invalid> {
        let (mut values, mut errors) = (HashMap::new(), Complaints::default());
        let known: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        for name in given.keys().filter(|name| !known.contains(&name.as_str())) {
            errors
                .push(FieldError::new(pointer(name), nearest::unknown("input of this preset", name, &known)));
        }
        for input in &self.inputs {
            match text_of(given.get(&input.name)) {
                Ok(None) if input.required => {
                    errors
                        .push(FieldError::new(pointer(&input.name), format!("is required: {}", input.help)));
                }
                Ok(None) => {}
                Ok(Some(text)) => match texts(input, &text) {
                    Ok(found) => values.extend(found),
                    Err(message) => errors.push(FieldError::new(pointer(&input.name), message)),
                },
                Err(message) => errors.push(FieldError::new(pointer(&input.name), message)),
            }
        }
        self.check_groups(given, &mut errors);
        if errors.is_empty() { Ok(values) } else { Err(Invalid(errors.into_vec())) }
    }

    /// One of the groups must be there, and none in part.
    fn check_groups(&self, given: &Map<String, Value>, errors: &mut Complaints) {
        let is_given = |name: &String| matches!(text_of(given.get(name)), Ok(Some(_)) | Err(_));
        for group in &self.one_of {
            let missing: Vec<&String> = group.iter().filter(|name| !is_given(name)).collect();
            if missing.len() < group.len() {
                for name in missing {
                    let message = format!("is required beside {}", others(group, name));
                    errors.push(FieldError::new(pointer(name), message));
                }
            }
        }
        let is_any = |group: &Vec<String>| group.iter().any(is_given);
        if let Some(first) = self.one_of.first().and_then(|group| group.first())
            && !self.one_of.iter().any(is_any)
        {
            let groups: Vec<String> = self.one_of.iter().map(|group| group.join(" and ")).collect();
            let message = format!("is required; give {}", groups.join(", or "));
            errors.push(FieldError::new(pointer(first), message));
        }
    }
}

fn others(group: &[String], name: &str) -> String {
    group.iter().filter(|other| *other != name).cloned().collect::<Vec<_>>().join(" and ")
}

fn pointer(name: &str) -> String {
    format!("{POINTER}/{}", escape_pointer(name))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

/// An input as text; null and the empty text are as if it were not there.
fn text_of(value: Option<&Value>) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err("must be a string".to_owned()),
    }
}

/// What replaces an input: as it is, and in a URL.
struct Text {
    plain: String,
    in_url: String,
}

/// What stands for the names of an input. The error is a sentence.
fn texts(input: &Input, text: &str) -> Result<Vec<(String, Text)>, String> {
    if text.len() > INPUT_MAX {
        return Err(format!("is longer than {INPUT_MAX} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character".to_owned());
    }
    if ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening)) {
        return Err("contains {{, {% or {#, which would be a template".to_owned());
    }
    let literal = |text: &str| Text { plain: text.to_owned(), in_url: text.to_owned() };
    let name = &input.name;
    match input.kind {
        InputKind::Text => {
            Ok(vec![(name.clone(), Text { plain: text.to_owned(), in_url: percent_encoded(text) })])
        }
        InputKind::Url => {
            parse_url(text)?;
            Ok(vec![(name.clone(), literal(text))])
        }
        InputKind::Origin => {
            let url = parse_url(text)?;
            if url.query().is_some() {
                return Err(
                    "has a query; write the address of the server only, such as https://host".to_owned()
                );
            }
            Ok(vec![(name.clone(), literal(text.trim_end_matches('/')))])
        }
        InputKind::WebhookUrl => {
            let url = parse_url(text)?;
            let rest =
                url[Position::BeforePath..].strip_prefix(&input.prefix).filter(|rest| !rest.is_empty());
            let rest = rest.ok_or_else(|| {
                format!("has another form than {}: paste the whole URL as it is shown", input.example)
            })?;
            let base = format!("{}{}", &url[..Position::BeforePath], input.prefix);
            Ok(vec![(format!("{name}.base"), literal(&base)), (format!("{name}.rest"), literal(rest))])
        }
    }
}

/// A text as one segment of a path (RFC 3986, section 2.3).
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// What replaces names, and the secrets that have no value.
struct Texts {
    values: HashMap<String, Text>,
    without: HashSet<String>,
}

impl Texts {
    /// `None` when an input or a secret is missing.
    fn expand(&self, value: &Value, in_url: bool) -> Option<Value> {
        match value {
            Value::String(text) => self.text(text, in_url).map(Value::String),
            Value::Array(elements) => {
                Some(Value::Array(elements.iter().filter_map(|element| self.element(element)).collect()))
            }
            Value::Object(fields) => {
                let expand =
                    |(name, value): (&String, &Value)| Some((name.clone(), self.expand(value, false)?));
                Some(Value::Object(fields.iter().filter_map(expand).collect()))
            }
            other => Some(other.clone()),
        }
    }

    /// An element of a list is there as a whole or not at all.
    fn element(&self, element: &Value) -> Option<Value> {
        let Value::Object(fields) = element else { return self.expand(element, false) };
        if let Some(Value::String(name)) = fields.get(UNLESS)
            && self.values.contains_key(name)
        {
            return None;
        }
        let fields = fields.iter().filter(|(name, _)| *name != UNLESS);
        let expand = |(name, value): (&String, &Value)| Some((name.clone(), self.expand(value, false)?));
        fields.map(expand).collect::<Option<Map<_, _>>>().map(Value::Object)
    }

    fn text(&self, text: &str, in_url: bool) -> Option<String> {
        if self.without.iter().any(|secret| names(text, secret)) {
            return None;
        }
        const OPENING: &str = "{{ inputs.";
        let (mut expanded, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, after)) = rest.split_once(OPENING) {
            let (name, after) = after.split_once(" }}")?;
            let value = self.values.get(name)?;
            expanded.push_str(before);
            expanded.push_str(if in_url { &value.in_url } else { &value.plain });
            rest = after;
        }
        expanded.push_str(rest);
        Some(expanded)
    }
}

/// Whether a template names something, not as the beginning of a longer name.
fn names(template: &str, name: &str) -> bool {
    template.match_indices(name).any(|(at, _)| {
        let next = template[at + name.len()..].chars().next();
        next.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
    })
}
