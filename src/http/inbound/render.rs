//! Errors as senders see them.

use poem::Response;
use serde_json::json;

use crate::http::problem::Problem;

/// `{"error":"…"}`
pub fn render(problem: &Problem) -> Response {
    let body = json!({ "error": problem.title().to_lowercase() }).to_string();
    let mut response = Response::builder().status(problem.status).content_type("application/json").body(body);
    for (name, value) in &problem.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}
