//! What the body of a request is, as the payload of an event.
//!
//! A body that is JSON is kept byte for byte, whatever its content type says: senders send JSON as `text/plain`,
//! as a form, with a byte order mark. Everything else becomes a JSON object. An order of the rules is fixed: an
//! empty body, a GET, codings, JSON, forms, multipart, text.

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::domain::inbound::form::{self, FieldsObject};
use crate::domain::inbound::multipart::{self, Broken, Part};
use crate::domain::inbound::request::InboundRequest;

/// How deep JSON may be nested.
pub const DEPTH_MAX: usize = 128;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadBody {
    /// JSON text.
    pub payload: Bytes,
    /// The fields of a form or the parts of multipart as JSON text, for templates.
    pub form: Option<String>,
    /// Whether a file was left out, so that the payload is not all that came.
    pub has_files: bool,
}

/// Why a body becomes no payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is said to be JSON and is not, or is nested too deep; a sentence about it.
    NotJson(String),
    /// It is multipart that does not parse.
    NotMultipart(String),
    /// It is neither UTF-8 nor a form with files, or it is encoded.
    Unsupported(String),
    /// More than a limit allows.
    TooLarge(String),
}

impl Unreadable {
    /// What it means, as a sentence without its beginning.
    pub fn reason(&self) -> &str {
        match self {
            Unreadable::NotJson(text)
            | Unreadable::NotMultipart(text)
            | Unreadable::Unsupported(text)
            | Unreadable::TooLarge(text) => text,
        }
    }
}

/// How a source wants bodies to be read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The field or part that holds JSON.
    pub json_field: &'a str,
    /// The largest payload, in bytes.
    pub size_limit: usize,
    /// Names of query parameters that a verifier reads: no part of the payload.
    pub hidden_parameters: &'a [String],
}

/// Reads the body, or the query of a GET.
pub fn read(request: &InboundRequest, reading: Reading<'_>) -> Result<ReadBody, Unreadable> {
    let read = read_any(request, reading)?;
    if read.payload.len() > reading.size_limit {
        let (size, limit) = (read.payload.len(), reading.size_limit);
        let message =
            format!("body: the payload has {size} bytes; at most {limit} are possible (limits.event_size)");
        return Err(Unreadable::TooLarge(message));
    }
    Ok(read)
}

fn read_any(request: &InboundRequest, reading: Reading<'_>) -> Result<ReadBody, Unreadable> {
    if request.method == "GET" {
        return of_query(request, reading);
    }
    if request.body.is_empty() {
        return Ok(plain(Bytes::from_static(b"{}")));
    }
    if let Some(coding) = request.header("content-encoding").filter(|c| !c.is_empty() && !is(c, "identity")) {
        return Err(Unreadable::Unsupported(format!(
            "body: has the Content-Encoding {coding:?}; send it as it is"
        )));
    }
    let content_type = request.header("content-type").unwrap_or_default();
    check_utf_16(content_type, &request.body)?;
    let body = without_mark(&request.body);
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence.ends_with("/json") || essence.ends_with("+json") {
        check_json(&body).map_err(Unreadable::NotJson)?;
        return Ok(plain(body));
    }
    if let Some(json) = looks_like_json(&body)? {
        return Ok(plain(json));
    }
    match essence.as_str() {
        "application/x-www-form-urlencoded" => of_form(&body, reading),
        "multipart/form-data" => of_multipart(&body, content_type, reading),
        _ => of_text(&body),
    }
}

fn is(text: &str, word: &str) -> bool {
    text.eq_ignore_ascii_case(word)
}

fn plain(payload: Bytes) -> ReadBody {
    ReadBody { payload, form: None, has_files: false }
}

fn without_mark(body: &Bytes) -> Bytes {
    if body.starts_with(BYTE_ORDER_MARK) { body.slice(BYTE_ORDER_MARK.len()..) } else { body.clone() }
}

/// UTF-16 may be valid UTF-8 with a NUL in each character, so it is looked for by its marks.
fn check_utf_16(content_type: &str, body: &[u8]) -> Result<(), Unreadable> {
    let says_so = content_type.to_ascii_lowercase().split(';').skip(1).any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        name.trim() == "charset" && value.trim().trim_matches('"').starts_with("utf-16")
    });
    let looks_so = match body {
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => true,
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    };
    if says_so || looks_so {
        return Err(Unreadable::Unsupported("body: is UTF-16; send UTF-8".to_owned()));
    }
    Ok(())
}

/// The body if it begins like an object or a list and is one.
fn looks_like_json(body: &Bytes) -> Result<Option<Bytes>, Unreadable> {
    if !begins_like_json(body) {
        return Ok(None);
    }
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(_) if depth(body) > DEPTH_MAX => Err(Unreadable::NotJson(too_deep())),
        Ok(_) => Ok(Some(body.clone())),
        Err(_) => Ok(None),
    }
}

fn begins_like_json(text: &[u8]) -> bool {
    let first = text.iter().find(|byte| !matches!(**byte, b' ' | b'\t' | b'\r' | b'\n'));
    matches!(first, Some(b'{' | b'['))
}

fn check_json(text: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<&RawValue>(text) {
        Err(e) => Err(format!("body: is not JSON: {e}")),
        Ok(_) if depth(text) > DEPTH_MAX => Err(too_deep()),
        Ok(_) => Ok(()),
    }
}

fn too_deep() -> String {
    format!("body: is not JSON that can be read: it is nested over {DEPTH_MAX} levels")
}

/// How deep valid JSON is nested.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn too_many_fields(what: &str) -> Unreadable {
    Unreadable::TooLarge(format!("{what}: has more than {} fields", form::FIELDS_MAX))
}

fn of_query(request: &InboundRequest, reading: Reading<'_>) -> Result<ReadBody, Unreadable> {
    if request.query.len() > form::FIELDS_MAX {
        return Err(too_many_fields("query"));
    }
    let shown = request.query.iter().filter(|(name, _)| !reading.hidden_parameters.contains(name));
    Ok(plain(query_text(shown).into()))
}

fn of_text(body: &[u8]) -> Result<ReadBody, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| not_utf_8("body"))?;
    Ok(plain(json!({ "text": text }).to_string().into()))
}

fn not_utf_8(what: &str) -> Unreadable {
    Unreadable::Unsupported(format!("body: {what} is not UTF-8"))
}

fn of_form(body: &[u8], reading: Reading<'_>) -> Result<ReadBody, Unreadable> {
    if form::has_too_many(body) {
        return Err(too_many_fields("body"));
    }
    let (mut object, mut json) = (FieldsObject::default(), None);
    for (name, value) in form::pairs(body) {
        let name = String::from_utf8(name).map_err(|_| not_utf_8("the name of a field"))?;
        let value = String::from_utf8(value).map_err(|_| not_utf_8("the value of a field"))?;
        if json.is_none() && name == reading.json_field {
            json = looks_like_json(&without_mark(&Bytes::from(value.clone())))?;
        }
        object.push(name, Value::from(value));
    }
    let form = object.finish();
    Ok(ReadBody { payload: json.unwrap_or_else(|| form.clone().into()), form: Some(form), has_files: false })
}

fn of_multipart(body: &Bytes, content_type: &str, reading: Reading<'_>) -> Result<ReadBody, Unreadable> {
    let boundary = multipart::boundary(content_type)
        .ok_or_else(|| Unreadable::NotMultipart("body: Content-Type names no boundary".to_owned()))?;
    let parts = multipart::parts(body, &boundary).map_err(|broken| match broken {
        Broken::Malformed(how) => Unreadable::NotMultipart(format!("body: {how}")),
        Broken::TooManyParts => {
            Unreadable::TooLarge(format!("body: has more than {} parts", multipart::PARTS_MAX))
        }
        Broken::HeadTooLong => {
            Unreadable::TooLarge(format!("body: the head of a part is over {} bytes", multipart::HEAD_MAX))
        }
    })?;
    let (mut object, mut json, mut has_files) = (FieldsObject::default(), None, false);
    for Part { name, filename, content_type, body: content } in parts {
        if json.is_none() && name == reading.json_field {
            json = looks_like_json(&without_mark(&body.slice_ref(content)))?;
            if json.is_some() && filename.is_some() {
                continue;
            }
        }
        match filename {
            Some(filename) => {
                has_files = true;
                let file =
                    json!({ "filename": filename, "content_type": content_type, "size": content.len() });
                object.push(name, file);
            }
            None => {
                let text =
                    std::str::from_utf8(content).map_err(|_| not_utf_8("a part without a file name"))?;
                object.push(name, Value::from(text));
            }
        }
    }
    let form = object.finish();
    Ok(ReadBody { payload: json.unwrap_or_else(|| form.clone().into()), form: Some(form), has_files })
}

/// A query as JSON text, for templates: of a name that is there several times, a list.
pub fn query_text<'a>(query: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let mut object = FieldsObject::default();
    for (name, value) in query {
        object.push(name.clone(), Value::from(value.as_str()));
    }
    object.finish()
}

#[cfg(test)]
mod tests;
