//! A JSON text as a tree that borrows from it: keys in their order, numbers as they were written.
//!
//! `serde_json::Value` cannot be used: it turns `1.0` with 30 digits into a float and sorts keys, and its feature
//! `arbitrary_precision` would change every number of the program. This tree is also cheaper to build.

use std::borrow::Cow;
use std::fmt;

/// How deep a payload may be nested to be read by templates and filters.
const DEPTH_MAX: usize = 128;
/// Objects with more keys get an index.
const INDEXED_FROM: usize = 12;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// As written: `1.0`, `1e2`.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// The entries of an object, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<'a> {
    entries: Vec<(Cow<'a, str>, Json<'a>)>,
    /// Positions in the order of keys, for objects with many.
    index: Vec<u32>,
}

impl<'a> Object<'a> {
    fn of(entries: Vec<(Cow<'a, str>, Json<'a>)>) -> Object<'a> {
        let mut index = Vec::new();
        if entries.len() > INDEXED_FROM {
            index.extend(0..entries.len() as u32);
            let key = |at: &u32| entries.get(*at as usize).map(|(key, _)| key);
            // Stable, so the last of equal keys is the last in the index too.
            index.sort_by(|a, b| key(a).cmp(&key(b)));
        }
        Object { entries, index }
    }

    /// The value of a key; of equal keys the last, as in most parsers.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        if self.index.is_empty() {
            return self.entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value);
        }
        let behind = self.index.partition_point(|at| self.entries[*at as usize].0.as_ref() <= key);
        let (name, value) = &self.entries[self.index[behind.checked_sub(1)?] as usize];
        (name == key).then_some(value)
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json<'a>)> {
        self.entries.iter().map(|(key, value)| (key.as_ref(), value))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends this as compact JSON.
    pub(super) fn write(&self, out: &mut String) {
        out.push('{');
        for (i, (key, value)) in self.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            write_text(key, out);
            out.push(':');
            value.write(out);
        }
        out.push('}');
    }
}

/// Appends a list as compact JSON.
pub(super) fn write_list<T>(
    values: impl Iterator<Item = T>,
    out: &mut String,
    write: impl Fn(&T, &mut String),
) {
    out.push('[');
    for (i, value) in values.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write(&value, out);
    }
    out.push(']');
}

/// Why a text is no JSON that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonError {
    /// Where, in bytes from the beginning.
    pub at: usize,
    pub kind: JsonErrorKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonErrorKind {
    Syntax,
    Depth,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            JsonErrorKind::Syntax => write!(f, "not valid JSON at byte {}", self.at),
            JsonErrorKind::Depth => write!(f, "nested more than {DEPTH_MAX} levels deep"),
        }
    }
}

impl std::error::Error for JsonError {}

impl<'a> Json<'a> {
    /// Reads a JSON text; strictly, as RFC 8259 has it.
    pub fn parse(text: &'a str) -> Result<Json<'a>, JsonError> {
        let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, depth: 0 };
        reader.space();
        let value = reader.value()?;
        reader.space();
        if reader.at < reader.bytes.len() { reader.wrong() } else { Ok(value) }
    }

    pub fn text(value: impl Into<Cow<'a, str>>) -> Json<'a> {
        Json::Text(value.into())
    }

    pub fn integer(value: i64) -> Json<'a> {
        Json::Number(Cow::Owned(value.to_string()))
    }

    /// A text, or null.
    pub fn optional(value: Option<impl Into<Cow<'a, str>>>) -> Json<'a> {
        value.map_or(Json::Null, Json::text)
    }

    pub fn object<K: Into<Cow<'a, str>>>(entries: impl IntoIterator<Item = (K, Json<'a>)>) -> Json<'a> {
        Json::Object(Object::of(entries.into_iter().map(|(key, value)| (key.into(), value)).collect()))
    }

    /// The value of a key, if this is an object that has it.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(object) => object.get(key),
            _ => None,
        }
    }

    /// The value that a JSON pointer (RFC 6901) leads to.
    pub fn pointer(&self, pointer: &str) -> Option<&Json<'a>> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, name| match value {
            Json::Object(object) if name.contains('~') => {
                object.get(&name.replace("~1", "/").replace("~0", "~"))
            }
            Json::Object(object) => object.get(name),
            Json::List(list) => list.get(name.parse::<usize>().ok()?),
            _ => None,
        })
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As compact JSON.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// Appends this as compact JSON.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => out.push_str(number),
            Json::Text(text) => write_text(text, out),
            Json::List(list) => write_list(list.iter(), out, |value, out| value.write(out)),
            Json::Object(object) => object.write(out),
        }
    }

    /// An upper bound of the bytes that [`Json::write`] appends, and the number of values in here.
    pub(super) fn measure(&self) -> (usize, usize) {
        match self {
            Json::Null | Json::Bool(_) => (5, 1),
            Json::Number(number) => (number.len(), 1),
            Json::Text(text) => (text_bound(text), 1),
            Json::List(list) => list.iter().fold((2, 1), |(bytes, count), value| {
                let (b, c) = value.measure();
                (bytes + b + 1, count + c)
            }),
            Json::Object(object) => object.iter().fold((2, 1), |(bytes, count), (key, value)| {
                let (b, c) = value.measure();
                (bytes + text_bound(key) + b + 2, count + c)
            }),
        }
    }
}

/// At least the bytes of a text as a JSON string.
pub fn text_bound(text: &str) -> usize {
    text.len() + 2 + text.bytes().filter(|b| *b < 0x20 || *b == b'"' || *b == b'\\').count() * 5
}

/// Appends a text as a JSON string.
pub fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0C => "\\f",
            0..=0x1F => "",
            _ => continue,
        };
        out.push_str(&text[written..at]);
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push_str("\\u00");
            out.push(HEX[usize::from(byte >> 4)] as char);
            out.push(HEX[usize::from(byte & 15)] as char);
        } else {
            out.push_str(escape);
        }
        written = at + 1;
    }
    out.push_str(&text[written..]);
    out.push('"');
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&self) -> Result<T, JsonError> {
        Err(JsonError { at: self.at, kind: JsonErrorKind::Syntax })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, JsonError> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.wrong();
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self) -> Result<Json<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b't') => self.literal("true", Json::Bool(true)),
            Some(b'f') => self.literal("false", Json::Bool(false)),
            Some(b'n') => self.literal("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.wrong(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Json<'a>, JsonError>) -> Result<Json<'a>, JsonError> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(JsonError { at: self.at, kind: JsonErrorKind::Depth });
        }
        self.space();
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// After a value: whether another follows.
    fn more(&mut self, close: u8) -> Result<bool, JsonError> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.wrong(),
        }
    }

    fn list(&mut self) -> Result<Json<'a>, JsonError> {
        let mut list = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::List(list));
        }
        loop {
            list.push(self.value()?);
            if !self.more(b']')? {
                return Ok(Json::List(list));
            }
        }
    }

    fn object(&mut self) -> Result<Json<'a>, JsonError> {
        let mut entries = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(Object::of(entries)));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.wrong();
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return self.wrong();
            }
            self.at += 1;
            self.space();
            entries.push((key, self.value()?));
            if !self.more(b'}')? {
                return Ok(Json::Object(Object::of(entries)));
            }
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { self.wrong() } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Json<'a>, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Json::Number(Cow::Borrowed(&self.text[start..self.at])))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let start = self.at;
        let mut made: Option<String> = None;
        let mut from = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(match made {
                        None => Cow::Borrowed(rest),
                        Some(mut text) => {
                            text.push_str(rest);
                            Cow::Owned(text)
                        }
                    });
                }
                Some(b'\\') => {
                    let text = made.get_or_insert_with(String::new);
                    text.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    let c = self.escape()?;
                    made.get_or_insert_with(String::new).push(c);
                    from = self.at;
                }
                Some(0..=0x1F) | None => return self.wrong(),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(byte) = self.peek() else { return self.wrong() };
        self.at += 1;
        Ok(match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{C}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let code = match first {
                    0xD800..=0xDBFF if self.bytes[self.at..].starts_with(b"\\u") => {
                        self.at += 2;
                        let second = self.hex()?;
                        if !(0xDC00..=0xDFFF).contains(&second) {
                            return self.wrong();
                        }
                        0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    other => other,
                };
                return char::from_u32(code).map_or_else(|| self.wrong(), Ok);
            }
            _ => return self.wrong(),
        })
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|b| (b as char).to_digit(16)) else { return self.wrong() };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
