//! Shaped requests: what an endpoint's `request` attribute makes of an event.
//!
//! [`Shape::read`] checks the attribute when it is saved and compiles its templates; [`Shape::render`] makes a
//! request of them, or its masked twin for everyone who may see requests but not secrets. Bodies of the kind `json`
//! are JSON with templates in their strings, so whatever an event holds, they are valid JSON.
//!
//! [`summary`] is the same for what an event means to a person; [`secrets`] has the rules of secret values and finds
//! them in texts.

mod address;
mod headers;
mod leaves;
mod read;
mod render;
mod response;
pub mod secrets;
mod subject;
pub mod summary;

pub use address::origin_of;
pub use headers::encode_value;
pub use read::{Context, REQUEST_MAX, is_in_url};
pub use render::{Body, RenderFailure, Rendered};
pub use response::{Answer, Unit, WaitPointer};
pub use subject::{Delivery, ParsedSubject, Subject, Twins};

use crate::domain::expr::{Expression, Template};
use crate::domain::values::words::words;
use address::UrlTemplate;
use leaves::Leaf;

/// Bytes of all templates of an endpoint or a source.
pub const TEMPLATES_MAX: usize = 64 * 1024;
/// Names of `query` and of `headers`.
pub const ENTRIES_MAX: usize = 20;

words! {
    /// The method of a shaped request.
    pub enum Method {
        Post = "POST",
        Put = "PUT",
        Patch = "PATCH",
        Get = "GET",
        Delete = "DELETE",
    }
}

words! {
    /// The kind of a shaped request's body.
    pub enum Content {
        Json = "json",
        Form = "form",
        Text = "text",
        /// The event's bytes, unchanged.
        Payload = "payload",
        None = "none",
    }
}

impl Content {
    /// The media type without `content_type`.
    fn media_type(self) -> Option<&'static str> {
        match self {
            Content::Json | Content::Payload => Some("application/json"),
            Content::Form => Some("application/x-www-form-urlencoded"),
            Content::Text => Some("text/plain; charset=utf-8"),
            Content::None => None,
        }
    }
}

/// A body, compiled.
#[derive(Debug)]
enum BodyTemplate {
    Json(Leaf),
    Form(Vec<(String, Template)>),
    Text(Template),
    Payload,
    None,
}

/// An endpoint's URL and `request`, checked and compiled.
#[derive(Debug)]
pub struct Shape {
    method: Method,
    content: Content,
    content_type: Option<String>,
    url: UrlTemplate,
    query: Vec<(String, Template)>,
    headers: Vec<(String, Template)>,
    body: BodyTemplate,
    sign: bool,
    expect: Option<Expression>,
    /// `final`.
    last: Vec<u16>,
    retry_after: Option<WaitPointer>,
}

impl Shape {
    pub fn method(&self) -> Method {
        self.method
    }

    pub fn content(&self) -> Content {
        self.content
    }

    /// Whether signatures and the `X-Webhook-*` headers are sent.
    pub fn signs(&self) -> bool {
        self.sign
    }

    /// Whether nothing is tried again after this status.
    pub fn is_final(&self, status: u16) -> bool {
        self.last.contains(&status)
    }

    /// Where a 429 or 503 says in JSON how long to wait.
    pub fn retry_after(&self) -> Option<&WaitPointer> {
        self.retry_after.as_ref()
    }

    /// The URL as it is shown: with its templates.
    pub fn url(&self) -> &str {
        self.url.source()
    }
}

#[cfg(test)]
mod tests;
