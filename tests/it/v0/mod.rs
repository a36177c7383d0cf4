//! `/api/v0`: Devdraft's surface (section 6 of the contract).

mod errors;
mod monitoring;
mod statistics;
mod webhooks;

use serde_json::Value;

use crate::support::TestApp;

/// A webhook made here; the object.
pub(crate) async fn create(app: &TestApp, body: Value) -> Value {
    app.post("/api/v0/webhooks", body).await.expect(201)
}

/// One webhook with its recent events.
pub(crate) async fn with_events(app: &TestApp, id: &Value) -> Value {
    let id = id.as_str().expect("an id is text");
    app.get(&format!("/api/v0/webhooks/{id}?include_events=true")).await.expect(200)
}
