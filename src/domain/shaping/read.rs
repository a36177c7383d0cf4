//! Checks `url` and `request` of an endpoint and compiles them. All that is wrong is said at once.

use crate::domain::endpoint::{MASK, check_header_name, parse_url};
use crate::domain::expr::{Expression, Json, Names, Template};
use crate::domain::values::invalid::{Complaints, FieldError, Invalid, escape_pointer};

use super::address::{UrlTemplate, is_template};
use super::leaves::Reader;
use super::response::{Unit, WaitPointer};
use super::{BodyTemplate, Content, ENTRIES_MAX, Method, Shape, TEMPLATES_MAX};

/// The fields of `request`.
const FIELDS: [&str; 10] = [
    "method",
    "content",
    "content_type",
    "query",
    "body",
    "headers",
    "sign",
    "expect",
    "final",
    "retry_after",
];
/// Characters of `content_type`.
const CONTENT_TYPE_MAX: usize = 200;
/// Statuses of `final`.
const FINAL_MAX: usize = 50;

/// What the rest of the endpoint has to do with its request.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub url: &'a str,
    /// The names of its secrets.
    pub secrets: &'a [String],
    /// The configured names of the plain HMAC headers, which a request cannot set.
    pub signing_headers: &'a [String],
    /// Whether its payloads are encrypted.
    pub encrypted: bool,
}

/// Bytes of the attribute `request` as it is written.
pub const REQUEST_MAX: usize = 2 * TEMPLATES_MAX;

/// Whether a secret is used in a URL, where it stands as it is.
pub fn is_in_url(url: &str, secret: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    url.match_indices("secrets").any(|(at, found)| {
        let rest = url[at + found.len()..].trim_start();
        let Some(rest) = rest.strip_prefix('.') else { return rest.starts_with('[') };
        let rest = rest.trim_start();
        rest.split(|c| !is_word(c)).next() == Some(secret)
    })
}

impl Context<'_> {
    /// Checks a URL without `request`: it has no templates.
    pub fn check_plain(&self) -> Result<(), String> {
        if is_template(self.url) {
            return Err(
                "has a template, which works only with the attribute request; {} is enough".to_owned()
            );
        }
        parse_url(self.url).map(|_| ())
    }
}

struct Checks<'c> {
    context: Context<'c>,
    names: Names<'c>,
    complaints: Complaints,
    bytes: usize,
}

type Entries = Vec<(String, Template)>;

impl Shape {
    /// Reads `request` as it is written; `null` is not given here.
    pub fn read(request: &Json<'_>, context: Context<'_>) -> Result<Shape, Invalid> {
        let names = Names::request(context.secrets);
        let mut checks = Checks { context, names, complaints: Complaints::default(), bytes: 0 };
        let shape = checks.shape(request);
        let limit = TEMPLATES_MAX / 1024;
        if checks.bytes > TEMPLATES_MAX {
            checks.fail("", format!("has more than {limit} KiB of templates"));
        }
        match shape {
            Some(shape) if checks.complaints.is_empty() => Ok(shape),
            _ => Err(Invalid(checks.complaints.into_vec())),
        }
    }
}

impl Checks<'_> {
    fn fail(&mut self, field: &str, message: impl Into<String>) {
        self.complaints.push(FieldError::new(format!("/request{field}"), message));
    }

    fn shape(&mut self, request: &Json<'_>) -> Option<Shape> {
        let Json::Object(object) = request else {
            self.fail("", "must be an object, or null");
            return None;
        };
        for (key, _) in object.iter().filter(|(key, _)| !FIELDS.contains(key)) {
            let message = format!("Unknown field {key}. Known fields: {}.", FIELDS.join(", "));
            self.fail(&format!("/{}", escape_pointer(key)), message);
        }
        if self.context.encrypted {
            self.fail(
                "",
                "cannot be combined with encrypted: an encrypted payload cannot be read by templates",
            );
        }
        let given = |key: &str| object.get(key).filter(|value| **value != Json::Null);
        let method = self.word(given("method"), "/method", Method::WORDS).and_then(Method::parse);
        let content = self.word(given("content"), "/content", Content::WORDS).and_then(Content::parse);
        let (method, content) = (method.unwrap_or(Method::Post), content.unwrap_or(Content::Json));
        self.check_conflicts(method, content, given("body"));
        let url = self.url();
        let content_type = self.content_type(given("content_type"));
        let query = self.entries(given("query"), "/query", ENTRIES_MAX);
        let headers = self.entries(given("headers"), "/headers", ENTRIES_MAX);
        self.check_header_names(&headers);
        let body = self.body(content, given("body"));
        let sign = match given("sign") {
            None => true,
            Some(Json::Bool(sign)) => *sign,
            Some(_) => {
                self.fail("/sign", "must be true or false");
                true
            }
        };
        let expect = self.expect(given("expect"));
        let last = self.statuses(given("final"));
        let retry_after = self.retry_after(given("retry_after"));
        let url = url?;
        Some(Shape {
            method,
            content,
            content_type,
            url,
            query,
            headers,
            body,
            sign,
            expect,
            last,
            retry_after,
        })
    }

    fn word<'j>(&mut self, given: Option<&'j Json<'_>>, field: &str, words: &[&str]) -> Option<&'j str> {
        let given = given?;
        match given.as_str().filter(|word| words.contains(word)) {
            Some(word) => Some(word),
            None => {
                self.fail(field, format!("must be one of {}", words.join(", ")));
                None
            }
        }
    }

    fn check_conflicts(&mut self, method: Method, content: Content, body: Option<&Json<'_>>) {
        if matches!(method, Method::Get | Method::Delete) && content != Content::None {
            let message = format!("must be none with {method}, which has no body");
            self.fail("/content", message);
        }
        if matches!(content, Content::Payload | Content::None) && body.is_some() {
            self.fail("/body", format!("is not used with the content {content}; remove it"));
        }
    }

    fn url(&mut self) -> Option<UrlTemplate> {
        self.bytes += self.context.url.len();
        match UrlTemplate::parse(self.context.url, &self.names) {
            Ok(url) => Some(url),
            Err(message) => {
                self.complaints.push(FieldError::new("/url", message));
                None
            }
        }
    }

    fn content_type(&mut self, given: Option<&Json<'_>>) -> Option<String> {
        let given = given?;
        let fits = |text: &&str| {
            text.contains('/')
                && text.len() <= CONTENT_TYPE_MAX
                && text.bytes().all(|b| (0x20..0x7f).contains(&b))
                && text.trim() == *text
        };
        match given.as_str().filter(fits) {
            Some(text) => Some(text.to_owned()),
            None => {
                let message =
                    format!("must be a media type, such as text/plain, of at most {CONTENT_TYPE_MAX} bytes");
                self.fail("/content_type", message);
                None
            }
        }
    }

    fn template(&mut self, json: &Json<'_>, field: &str) -> Option<Template> {
        let Some(text) = json.as_str() else {
            self.fail(field, "must be a string");
            return None;
        };
        self.bytes += text.len();
        match Template::parse(text, &self.names) {
            Ok(template) => Some(template),
            Err(error) => {
                self.fail(field, format!("is not a template: {error}"));
                None
            }
        }
    }

    /// An object of templates.
    fn entries(&mut self, given: Option<&Json<'_>>, field: &str, most: usize) -> Entries {
        let object = match given {
            None => return Vec::new(),
            Some(Json::Object(object)) => object,
            Some(_) => {
                self.fail(field, "must be an object of strings");
                return Vec::new();
            }
        };
        if object.len() > most {
            self.fail(field, format!("has {} entries; at most {most} are possible", object.len()));
            return Vec::new();
        }
        let mut entries = Vec::with_capacity(object.len());
        for (name, value) in object.iter() {
            let field = format!("{field}/{}", escape_pointer(name));
            if matches!(value, Json::Text(text) if text == MASK) {
                self.fail(&field, "is a mask; write the value, or a template with a secret");
            }
            if let Some(template) = self.template(value, &field) {
                entries.push((name.to_owned(), template));
            }
        }
        entries
    }

    fn check_header_names(&mut self, headers: &Entries) {
        for (i, (name, _)) in headers.iter().enumerate() {
            let field = format!("/headers/{}", escape_pointer(name));
            if let Err(message) = check_header_name(name, self.context.signing_headers) {
                self.fail(&field, message);
            } else if headers[..i].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                let message =
                    format!("the header {name} is there twice; names are compared without regard to case");
                self.fail(&field, message);
            }
        }
    }

    fn body(&mut self, content: Content, given: Option<&Json<'_>>) -> BodyTemplate {
        match content {
            Content::None => BodyTemplate::None,
            Content::Payload => BodyTemplate::Payload,
            Content::Form => BodyTemplate::Form(self.entries(given, "/body", 100)),
            Content::Text => {
                let empty = Json::text("");
                match self.template(given.unwrap_or(&empty), "/body") {
                    Some(template) => BodyTemplate::Text(template),
                    None => BodyTemplate::None,
                }
            }
            Content::Json => {
                let empty = Json::object::<&str>([]);
                let body = given.unwrap_or(&empty);
                self.bytes += body.to_text().len();
                BodyTemplate::Json(Reader::new(&mut self.complaints).leaf(body, "/request/body", &self.names))
            }
        }
    }

    fn expect(&mut self, given: Option<&Json<'_>>) -> Option<Expression> {
        let given = given?;
        let Some(text) = given.as_str() else {
            self.fail("/expect", "must be an expression, such as \"response.status == 200\"");
            return None;
        };
        self.bytes += text.len();
        match Expression::parse(text, &Names::EXPECT) {
            Ok(expression) => Some(expression),
            Err(error) => {
                self.fail("/expect", format!("is not an expression: {error}"));
                None
            }
        }
    }

    fn statuses(&mut self, given: Option<&Json<'_>>) -> Vec<u16> {
        let status = |json: &Json<'_>| match json {
            Json::Number(number) => number.parse().ok().filter(|status| (100..=599).contains(status)),
            _ => None,
        };
        let statuses: Option<Vec<u16>> = match given {
            None => return Vec::new(),
            Some(Json::List(list)) if list.len() <= FINAL_MAX => list.iter().map(status).collect(),
            Some(_) => None,
        };
        statuses.unwrap_or_else(|| {
            self.fail("/final", format!("must be a list of up to {FINAL_MAX} statuses from 100 to 599"));
            Vec::new()
        })
    }

    fn retry_after(&mut self, given: Option<&Json<'_>>) -> Option<WaitPointer> {
        let wanted =
            "must be an object: {\"pointer\":\"/retry_after\",\"unit\":\"s\"}, with the unit s or ms";
        let Some(Json::Object(object)) = given else {
            if given.is_some() {
                self.fail("/retry_after", wanted);
            }
            return None;
        };
        for (key, _) in object.iter().filter(|(key, _)| !matches!(*key, "pointer" | "unit")) {
            let field = format!("/retry_after/{}", escape_pointer(key));
            self.fail(&field, format!("Unknown field {key}. Known fields: pointer, unit."));
        }
        let pointer = object.get("pointer").and_then(Json::as_str);
        let Some(pointer) = pointer.filter(|pointer| pointer.starts_with('/') && pointer.len() <= 200) else {
            self.fail("/retry_after/pointer", "must be a JSON pointer, such as /parameters/retry_after");
            return None;
        };
        let unit = match object.get("unit").map(Json::as_str) {
            Some(Some("s")) => Unit::Seconds,
            Some(Some("ms")) => Unit::Milliseconds,
            _ => {
                self.fail("/retry_after/unit", "must be s or ms");
                return None;
            }
        };
        Some(WaitPointer { pointer: pointer.to_owned(), unit })
    }
}
