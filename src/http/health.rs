//! `/healthz` (the process is alive) and `/readyz` (it can do its work). Neither needs a credential, and
//! neither says more than that.

use poem::http::StatusCode;
use poem::web::Data;
use poem::{Response, handler};
use serde_json::json;

use super::state::State;

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    Response::builder().status(status).content_type("application/json").body(body.to_string())
}

/// 200 while the process answers at all.
#[handler]
pub(crate) fn healthz() -> Response {
    answer(StatusCode::OK, &json!({ "status": "ok" }))
}

/// 200 when storage answers and the dispatcher sends; else 503 with the reason.
#[handler]
pub(crate) async fn readyz(state: Data<&State>) -> Response {
    match state.readiness.ready().await {
        Ok(()) => answer(StatusCode::OK, &json!({ "status": "ready" })),
        Err(reason) => {
            answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not ready", "reason": reason }))
        }
    }
}
