//! What went wrong, as clients of `/api/v0` see it: `{statusCode,message,error,details}`.
//!
//! Operations fail with the same [`Problem`] as those of `/v1`; this is its other form.
//! [`crate::http::surface`] chooses by the path, so every error below `/api/v0` has it, an unknown route included.

use poem::Response;
use serde_json::{Value, json};

use crate::http::problem::Problem;

/// Where this surface is.
pub const PREFIX: &str = "/api/v0";

/// The answer for a problem.
pub fn render(problem: &Problem) -> Response {
    let mut response = Response::builder()
        .status(problem.status)
        .content_type("application/json; charset=utf-8")
        .body(to_json(problem).to_string());
    for (name, value) in &problem.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn to_json(problem: &Problem) -> Value {
    // A sentence for each field, one after another.
    let details: Vec<&str> = problem.entries.iter().map(|entry| entry.detail.as_str()).collect();
    json!({
        "statusCode": problem.status.as_u16(),
        "message": problem.title(),
        "error": problem.status.canonical_reason().unwrap_or("Error"),
        "details": details.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::FieldError;

    #[test]
    fn a_problem_has_the_four_fields() {
        let problem = Problem::not_found("No webhook found with ID: wh_1").titled("Webhook not found");
        let expected = json!({
            "statusCode": 404,
            "message": "Webhook not found",
            "error": "Not Found",
            "details": "No webhook found with ID: wh_1",
        });
        assert_eq!(to_json(&problem), expected);
    }

    #[test]
    fn every_field_has_its_sentence() {
        let problem = Problem::invalid_fields(vec![
            FieldError::new("/url", "is required"),
            FieldError::new("/name", "must be a string"),
        ]);
        let json = to_json(&problem);
        assert_eq!(json["statusCode"], 422);
        assert_eq!(json["details"], "url is required. name must be a string.");
    }
}
