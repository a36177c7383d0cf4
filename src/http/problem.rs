//! Errors as clients of `/v1` see them: one envelope for all.
//!
//! `{"errors":[{"status","code","title","detail","source"?}],"meta":{"request_id"}}`. Handlers return a
//! [`Problem`]; every other error (an unknown route, a malformed body, a panic) is converted by
//! [`Problem::from_poem`]. The request id is added last, by the middleware that knows it.

use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, Registry};
use serde_json::{Value, json};

use crate::domain::values::invalid::{COMPLAINTS_MAX, quoted};
use crate::domain::{FieldError, Invalid};
use crate::service::ServiceError;

/// The sentence of every 401.
pub const UNAUTHORIZED_DETAIL: &str = "Invalid or missing authentication credentials.";

/// Where in the request the cause is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A JSON pointer into the body.
    Pointer(String),
    /// A query parameter.
    Parameter(String),
}

/// One error of the envelope.
#[derive(Debug, Clone)]
pub struct Entry {
    pub detail: String,
    pub source: Option<Source>,
}

/// An error response.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}")]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    /// Replaces the code's own title.
    pub own_title: Option<&'static str>,
    pub entries: Vec<Entry>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        let entries = vec![Entry { detail: detail.into(), source: None }];
        Problem { status, code, own_title: None, entries, headers: vec![] }
    }

    fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Problem {
        self.headers.push((name, value.into()));
        self
    }

    /// 400: the request cannot be read.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// 401, always the same.
    pub fn unauthorized() -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", UNAUTHORIZED_DETAIL)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 404 for something named.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 403 for another reason than a scope.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The same, kept by no cache.
    pub fn uncached(self) -> Problem {
        self.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// 413.
    pub fn too_large(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    /// 415.
    pub fn unsupported_media_type(found: &str) -> Problem {
        let detail = format!("Unsupported content type {}. Send application/json.", quoted(found));
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 415 for a body that is compressed or encoded in another way.
    pub fn unsupported_content_encoding(found: &str) -> Problem {
        let detail = format!("Unsupported content encoding {}. Send the body as it is.", quoted(found));
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 431.
    pub fn head_too_large(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", detail)
    }

    /// 501.
    pub fn not_implemented(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", detail)
    }

    /// 503.
    pub fn overloaded(why: &str) -> Problem {
        let detail = format!("{why} Try again in a second.");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
            .with_header(header::RETRY_AFTER, 1)
    }

    /// 429; `secs` is when to try again.
    pub fn rate_limited(secs: u64) -> Problem {
        let detail = format!("Rate limit exceeded. Try again in {secs} seconds.");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", detail)
            .with_header(header::RETRY_AFTER, secs)
    }

    /// 405; `allowed` are the methods that the path has.
    pub fn method_not_allowed(allowed: &str) -> Problem {
        let detail = format!("This endpoint supports {allowed}. See /docs.");
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        match HeaderValue::from_str(allowed) {
            Ok(value) => problem.with_header(header::ALLOW, value),
            Err(_) => problem,
        }
    }

    /// 500. The cause is in the log only.
    pub fn internal() -> Problem {
        let detail = "Internal error. The server's log has the cause under this request id.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// 422 for fields of the body.
    pub fn invalid_fields(errors: Vec<FieldError>) -> Problem {
        let entry =
            |e: FieldError| Entry { detail: sentence(&e), source: Some(Source::Pointer(cut(e.pointer))) };
        Problem::invalid(errors.into_iter().take(COMPLAINTS_MAX).map(entry).collect())
    }

    /// 422 for query parameters.
    pub fn invalid_parameters(errors: Vec<(String, String)>) -> Problem {
        let entry = |(name, message): (String, String)| Entry {
            detail: ended(format!("{name} {message}")),
            source: Some(Source::Parameter(cut(name))),
        };
        Problem::invalid(errors.into_iter().take(COMPLAINTS_MAX).map(entry).collect())
    }

    fn invalid(entries: Vec<Entry>) -> Problem {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Problem { status, code: "validation_failed", own_title: None, entries, headers: vec![] }
    }

    /// The same with a title of its own.
    pub fn titled(mut self, title: &'static str) -> Problem {
        self.own_title = Some(title);
        self
    }

    /// A few words: what kind of problem it is.
    pub fn title(&self) -> &'static str {
        self.own_title.unwrap_or_else(|| title(self.code))
    }

    /// An error of poem itself. `allowed` are the methods of the path.
    pub fn from_poem(error: poem::Error, allowed: &str) -> Problem {
        if error.is::<Problem>() {
            return error.downcast::<Problem>().unwrap_or_else(|_| Problem::internal());
        }
        // What cannot be decoded in a path is a name that nothing has.
        if error.is::<poem::error::ParsePathError>() {
            return Problem::not_found("No such endpoint. See /docs.");
        }
        match error.status() {
            StatusCode::NOT_FOUND => Problem::not_found("No such endpoint. See /docs."),
            StatusCode::METHOD_NOT_ALLOWED => Problem::method_not_allowed(allowed),
            StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large("The body is too large."),
            status if status.is_client_error() => Problem::bad_request(error.to_string()),
            status => {
                tracing::error!(%error, %status, "a request failed");
                Problem::internal()
            }
        }
    }

    /// The response, with the id of its request.
    pub fn render(&self, request_id: &str) -> Response {
        let body = self.to_json(request_id).to_string();
        let mut response = Response::builder()
            .status(self.status)
            .content_type("application/json; charset=utf-8")
            .body(body);
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    fn to_json(&self, request_id: &str) -> Value {
        let title = self.title();
        let errors: Vec<Value> = self
            .entries
            .iter()
            .map(|entry| {
                let mut error = json!({
                    "status": self.status.as_str(),
                    "code": self.code,
                    "title": title,
                    "detail": entry.detail,
                });
                match &entry.source {
                    Some(Source::Pointer(pointer)) => error["source"] = json!({ "pointer": pointer }),
                    Some(Source::Parameter(name)) => error["source"] = json!({ "parameter": name }),
                    None => {}
                }
                error
            })
            .collect();
        json!({ "errors": errors, "meta": { "request_id": request_id } })
    }
}

/// The most characters of a name or a sentence that repeats what a client has sent.
const SAID_MAX: usize = 1_000;

/// A text that a client has sent, or the beginning of it.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(SAID_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A field error as a sentence that names the field.
fn sentence(error: &FieldError) -> String {
    match error.pointer.trim_start_matches('/') {
        "" => ended(format!("The body {}", error.message)),
        field => ended(format!("{field} {}", error.message)),
    }
}

/// A sentence with its full stop.
fn ended(sentence: String) -> String {
    let mut sentence = cut(sentence);
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}

fn title(code: &str) -> &'static str {
    match code {
        "bad_request" => "Bad request",
        "unauthorized" => "Unauthorized",
        "forbidden" => "Forbidden",
        "not_found" => "Not found",
        "method_not_allowed" => "Method not allowed",
        "conflict" => "Conflict",
        "payload_too_large" => "Payload too large",
        "unsupported_media_type" => "Unsupported media type",
        "validation_failed" => "Validation failed",
        "rate_limit_exceeded" => "Rate limit exceeded",
        "headers_too_large" => "Headers too large",
        "not_implemented" => "Not implemented",
        "overloaded" => "Overloaded",
        "storage_full" => "Storage full",
        _ => "Internal error",
    }
}

/// The only map from service errors to responses.
impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Problem {
        match error {
            ServiceError::Unauthorized => Problem::unauthorized(),
            ServiceError::Forbidden(scope) => Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("You do not have permission to access this resource: the scope {scope} is missing."),
            ),
            ServiceError::NotFound(what) => Problem::not_found(format!("There is no {what} with this id.")),
            ServiceError::Conflict(detail) => Problem::new(StatusCode::CONFLICT, "conflict", detail),
            ServiceError::BadRequest(detail) => Problem::bad_request(detail),
            ServiceError::Invalid(Invalid(errors)) => Problem::invalid_fields(errors),
            ServiceError::RateLimited { retry_after_secs } => Problem::rate_limited(retry_after_secs),
            ServiceError::TooLarge(detail) => Problem::too_large(detail),
            ServiceError::Unavailable(why) => Problem::overloaded(why),
            ServiceError::StorageFull => Problem::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "storage_full",
                "The disk is full. Nothing can be written until there is free space; reads still work.",
            ),
            error @ ServiceError::Internal(_) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
                Problem::internal()
            }
        }
    }
}

impl poem::error::ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }

    fn as_response(&self) -> Response {
        self.render("")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.render("")
    }
}

/// Error responses are added to the document for all operations alike: see
/// [`crate::http::document::openapi`].
impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses { responses: vec![] }
    }

    fn register(_: &mut Registry) {}
}
