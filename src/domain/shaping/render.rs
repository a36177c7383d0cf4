//! A shaped request of one event.

use std::fmt;

use crate::domain::endpoint::{HEADER_VALUE_MAX, HEADER_VALUES_MAX};
use crate::domain::expr::{Overrun, Run, Scope, Template};

use super::address::{UrlFailure, encode};
use super::headers::encode_value;
use super::{BodyTemplate, Content, Method, Shape};

/// A request as it is sent, or its masked twin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub method: Method,
    pub url: String,
    /// Of the request, without those of the endpoint; these win over them.
    pub headers: Vec<(String, String)>,
    pub content_type: Option<String>,
    pub body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    None,
    /// The event's bytes, unchanged.
    Payload,
    Made(String),
}

/// Why there is no request: trying again cannot help until somebody edits the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderFailure {
    /// `url`, `body`, `header X-Title`.
    pub place: String,
    pub reason: String,
}

impl fmt::Display for RenderFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for RenderFailure {}

fn at(place: impl Into<String>) -> impl FnOnce(Overrun) -> RenderFailure {
    move |overrun| RenderFailure { place: place.into(), reason: overrun.to_string() }
}

/// A text; none if the template is a single value that is missing or none.
fn text<'a>(
    template: &'a Template,
    scope: &'a Scope<'a>,
    run: &mut Run<'_>,
) -> Result<Option<String>, Overrun> {
    if let Some(value) = template.sole_value(scope, run) {
        let value = value?;
        if value.is_missing() || value.is_none() {
            return Ok(None);
        }
        return value.output_text(run.budget()).map(Some);
    }
    template.render_as(scope, run).map(Some)
}

impl Shape {
    /// Whether a template of the request uses a top-level name, so that it has to be in the scope.
    pub fn uses(&self, root: &str) -> bool {
        let pairs = |pairs: &[(String, Template)]| pairs.iter().any(|(_, template)| template.uses(root));
        let body = match &self.body {
            BodyTemplate::Json(leaf) => leaf.uses(root),
            BodyTemplate::Form(entries) => pairs(entries),
            BodyTemplate::Text(template) => template.uses(root),
            BodyTemplate::Payload | BodyTemplate::None => false,
        };
        body || self.url.uses(root)
            || pairs(&self.query)
            || pairs(&self.headers)
            || self.expect.as_ref().is_some_and(|expect| expect.uses(root))
    }

    /// What expressions with these secrets come to: a receiver may send back `user:password` in Base64, which holds
    /// neither of the two in a form of its own.
    pub fn secret_texts(&self, secrets: &[(String, String)]) -> Vec<String> {
        let mut templates = vec![self.url.template()];
        templates.extend(self.query.iter().chain(&self.headers).map(|(_, template)| template));
        match &self.body {
            BodyTemplate::Json(leaf) => templates.extend(leaf.templates()),
            BodyTemplate::Form(entries) => templates.extend(entries.iter().map(|(_, template)| template)),
            BodyTemplate::Text(template) => templates.push(template),
            BodyTemplate::Payload | BodyTemplate::None => {}
        }
        let mut scope = Scope::new();
        scope.secrets(secrets);
        templates.iter().flat_map(|template| template.secret_texts(&scope)).collect()
    }

    /// The request of an event; with a masked run its twin for people.
    pub fn render<'a>(&'a self, scope: &'a Scope<'a>, run: &mut Run<'_>) -> Result<Rendered, RenderFailure> {
        let mut query = String::new();
        for (name, template) in &self.query {
            let value = text(template, scope, run).map_err(at(format!("query {name}")))?;
            if let Some(value) = value {
                if !query.is_empty() {
                    query.push('&');
                }
                encode(name, &mut query);
                query.push('=');
                encode(&value, &mut query);
            }
        }
        let url = self.url.render(&query, scope, run).map_err(|failure| match failure {
            UrlFailure::Overrun(overrun) => at("url")(overrun),
            UrlFailure::Text(reason) => RenderFailure { place: "url".to_owned(), reason },
        })?;
        let headers = self.render_headers(scope, run)?;
        let body = self.render_body(scope, run).map_err(at("body"))?;
        let content_type = match (&self.content_type, self.content) {
            (_, Content::None) => None,
            (Some(given), _) => Some(given.clone()),
            (None, content) => content.media_type().map(str::to_owned),
        };
        Ok(Rendered { method: self.method, url, headers, content_type, body })
    }

    fn render_headers<'a>(
        &'a self,
        scope: &'a Scope<'a>,
        run: &mut Run<'_>,
    ) -> Result<Vec<(String, String)>, RenderFailure> {
        let (mut headers, mut bytes) = (Vec::new(), 0);
        for (name, template) in &self.headers {
            let place = format!("header {name}");
            let Some(value) = text(template, scope, run).map_err(at(place.clone()))? else { continue };
            let value = encode_value(&value);
            bytes += value.len();
            if value.len() > HEADER_VALUE_MAX {
                let reason = format!("is longer than {} KiB", HEADER_VALUE_MAX / 1024);
                return Err(RenderFailure { place, reason });
            }
            headers.push((name.clone(), value));
        }
        if bytes > HEADER_VALUES_MAX {
            let reason = format!("are longer than {} KiB in total", HEADER_VALUES_MAX / 1024);
            return Err(RenderFailure { place: "headers".to_owned(), reason });
        }
        Ok(headers)
    }

    fn render_body<'a>(&'a self, scope: &'a Scope<'a>, run: &mut Run<'_>) -> Result<Body, Overrun> {
        let mut out = String::new();
        match &self.body {
            BodyTemplate::None => return Ok(Body::None),
            BodyTemplate::Payload => return Ok(Body::Payload),
            BodyTemplate::Text(template) => out = template.render_as(scope, run)?,
            BodyTemplate::Json(leaf) => {
                if !leaf.write(scope, run, &mut out)? {
                    out.push_str("null");
                }
            }
            BodyTemplate::Form(entries) => {
                let mut form = url::form_urlencoded::Serializer::new(out);
                for (name, template) in entries {
                    if let Some(value) = text(template, scope, run)? {
                        // Encoded, a byte has up to three characters; one was charged.
                        run.budget().output(name.len() * 3 + value.len() * 2)?;
                        form.append_pair(name, &value);
                    }
                }
                out = form.finish();
            }
        }
        Ok(Body::Made(out))
    }
}
