//! The dashboard's side of the server, over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use postrider::domain::Role;
use postrider::host::clock::Clock as _;
use postrider::service::{self, By};

use crate::support::TestApp;
use crate::support::app::{Answer, json_body, send};

mod access;
mod alert_kinds;
mod alerts;
mod assets;
mod context;
mod docs;
mod keys;
mod modules;
mod nodes;
mod operation;
mod overview;
mod session;
mod setup;
mod throttle;
mod users;

/// The password of everybody in these tests.
const PASSWORD: &str = "correct horse";

/// Somebody who has signed in, with a browser.
struct Browser<'a> {
    app: &'a TestApp,
    cookie: String,
    csrf: String,
}

impl Browser<'_> {
    /// Any request, with the cookie and, where something may change, with the token.
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let is_read = method == Method::GET;
        let request = self.app.client.request(method, format!("{}{path}", self.app.base));
        let request = request.header("cookie", format!("postrider_session={}", self.cookie));
        if is_read { request } else { request.header("x-csrf-token", &self.csrf) }
    }

    async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        send(json_body(self.request(method, path), body.to_string())).await
    }

    async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }
}

/// Makes a user.
async fn user(app: &TestApp, email: &str, role: Role) {
    let store = app.server().store();
    service::people::users::create(&*store, email, role, PASSWORD, &By::command_line(), app.clock.now())
        .await
        .unwrap();
}

/// The value of the cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie is set");
    let pair = set.split(';').next().unwrap();
    pair.strip_prefix("postrider_session=").expect("the cookie has this name").to_owned()
}

/// A POST without any credential.
async fn post(app: &TestApp, path: &str, body: Value) -> Answer {
    send(json_body(app.client.post(format!("{}{path}", app.base)), body.to_string())).await
}

/// Asks to sign in.
async fn try_sign_in(app: &TestApp, email: &str, password: &str) -> Answer {
    post(app, "/admin/api/session", json!({ "email": email, "password": password })).await
}

/// Signs in.
async fn sign_in<'a>(app: &'a TestApp, email: &str) -> Browser<'a> {
    let answer = try_sign_in(app, email, PASSWORD).await;
    let cookie = cookie(&answer);
    let csrf = answer.expect(200)["csrf_token"].as_str().unwrap().to_owned();
    Browser { app, cookie, csrf }
}

/// Makes a user and signs them in.
async fn signed_in<'a>(app: &'a TestApp, role: Role) -> Browser<'a> {
    let email = format!("{role}@example.com");
    user(app, &email, role).await;
    sign_in(app, &email).await
}

/// The newest entry of the activity log.
async fn last_activity(app: &TestApp) -> Value {
    let list = app.get("/v1/activity?per_page=1").await.expect(200);
    list["data"][0]["attributes"].clone()
}
