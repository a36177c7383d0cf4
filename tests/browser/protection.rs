//! Protection by the browser on the server’s orders: against injected scripts, and against pages of other origins.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::page::Page;
use crate::stage::{PASSWORD, Stage, sign_in};
use crate::support::Reply;
use crate::support::app::{json_body, send};

/// Everything that is blocked is noted in the console; here that is meant.
fn is_meant(complaint: &str) -> bool {
    [
        "CSP: ",
        "Content Security Policy",
        "Content-Security-Policy",
        "Failed to load resource",
        "blocked",
        "Refused",
        "CORS",
    ]
    .iter()
    .any(|words| complaint.contains(words))
}

#[tokio::test]
async fn injected_markup_runs_no_script_and_sends_nothing() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Owner, "").await;
    let script = r"
        window.__blocked = new Set();
        document.addEventListener('securitypolicyviolation', (e) => window.__blocked.add(e.effectiveDirective));
        const foreign = arguments[0];
        const add = (tag, fill) => { const it = document.createElement(tag); fill(it); document.body.append(it); return it; };
        add('script', (it) => { it.textContent = 'window.__ran = 1'; });
        add('script', (it) => { it.src = foreign; });
        add('script', (it) => { it.src = 'data:text/javascript,window.__ran=1'; });
        add('b', (it) => { it.setAttribute('onclick', 'window.__ran = 1'); }).click();
        add('style', (it) => { it.textContent = 'h1 { display: none }'; });
        add('img', (it) => { it.src = foreign; });
        add('iframe', (it) => { it.src = foreign; });
        add('object', (it) => { it.data = foreign; });
        setTimeout('window.__ran = 1', 0);
        fetch(foreign, { mode: 'no-cors' }).catch(() => {});
        new Image().src = foreign;
        const form = add('form', (it) => { it.action = foreign; it.method = 'post'; });
        form.submit();";
    page.js(script, vec![json!(stage.receiver.url("/stolen"))]).await;
    let all = "['script-src-elem', 'script-src-attr', 'script-src', 'style-src-elem', 'img-src', 'connect-src', \
               'frame-src', 'object-src', 'form-action'].every((d) => window.__blocked.has(d))";
    page.until("each of them is blocked", all).await;
    assert_eq!(page.js("return window.__ran ?? null", vec![]).await, Value::Null);
    assert_eq!(page.js("return document.cookie", vec![]).await, json!(""), "the session is not for scripts");
    // A connection may have been opened on suspicion; nothing was asked over it.
    assert_eq!(stage.receiver.count(), 0, "nobody was asked");
    page.close_despite(is_meant).await;
}

/// Opens a page of somebody else at this address of the receiver, which says `elsewhere` and has this in it.
async fn go_elsewhere(stage: &Stage, page: &Page, url: &str, html: &str) {
    let html = format!("<h1>elsewhere</h1>{html}");
    stage.receiver.reply_with(move |_| Reply::ok().header("content-type", "text/html").body(html.clone()));
    page.open_url(url).await;
    page.sees_in("h1", "elsewhere").await;
}

/// Who has signed in, as the page at this address sees it.
async fn signed_in_as(page: &Page) -> Value {
    page.goto("account").await;
    let ask = "const done = arguments[0];
        fetch('api/session').then((a) => a.json()).then((who) => done(who.email))";
    page.js_later(ask, vec![]).await
}

#[tokio::test]
async fn another_origin_can_neither_change_nor_read_nor_frame_anything() {
    let stage = Stage::set().await;
    let eve = stage.user(Role::Viewer).await;
    let page = stage.signed_in(Role::Owner, "").await;
    let dashboard = format!("{}/admin/", stage.app.base);
    // Another port of the same host is another origin of the same site: the browser does send the cookie.
    let frame = format!(r#"<iframe src="{dashboard}"></iframe>"#);
    go_elsewhere(&stage, &page, &stage.receiver.url("/"), &frame).await;
    let script = r#"
        const done = arguments[arguments.length - 1];
        const [base, email, password] = arguments;
        const hook = JSON.stringify({ url: 'https://evil.example/', events: ['*'] });
        // What has no type is sent as it is, without asking first whether it may be.
        const untyped = (value) => new Blob([value]);
        const ask = (path, more) => fetch(base + path, { credentials: 'include', ...more })
            .then(async (a) => [a.status, a.type === 'opaque' ? '' : await a.text()]).catch(() => 'refused');
        Promise.all([
            ask('/v1/webhooks', {}),
            ask('/admin/api/session', {}),
            ask('/v1/webhooks', { method: 'POST', mode: 'no-cors', body: hook }),
            ask('/v1/webhooks', { method: 'POST', mode: 'no-cors', body: untyped(hook) }),
            ask('/v1/webhooks', { method: 'POST', body: hook, headers: { 'content-type': 'application/json' } }),
            ask('/admin/api/keys', { method: 'POST', mode: 'no-cors', body: untyped('{"name":"x","scopes":["admin"]}') }),
            ask('/admin/api/session', { method: 'POST', mode: 'no-cors', body: untyped(JSON.stringify({ email, password })) }),
        ]).then(done);"#;
    let asked = page.js_later(script, vec![json!(stage.app.base), json!(eve), json!(PASSWORD)]).await;
    // What is read is refused by the browser; what is sent without asking first is answered to nobody.
    let nothing = json!([0, ""]);
    assert_eq!(asked, json!(["refused", "refused", nothing, nothing, "refused", nothing, nothing]));
    assert_eq!(stage.app.get("/v1/webhooks").await.json()["meta"]["total"], 0);
    let keys = stage.app.get("/admin/api/keys").await.json();
    assert!(keys["data"].as_array().unwrap().iter().all(|key| key["name"] != "x"), "{keys}");
    let complaints = page.complaints().await;
    assert!(complaints.iter().any(|c| c.contains("frame-ancestors")), "it was framed: {complaints:#?}");
    assert_eq!(signed_in_as(&page).await, "owner@example.com", "nobody is signed in as somebody else");
    page.close_despite(is_meant).await;
}

#[tokio::test]
async fn a_link_on_another_site_opens_the_dashboard_without_sending_the_cookie() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Owner, "").await;
    let base = &stage.app.base;
    let links =
        format!(r#"<a href="{base}/v1/webhooks">API</a> <a href="{base}/admin/webhooks">Dashboard</a>"#);
    // The same machine by another name is another site.
    let elsewhere = stage.receiver.url("/").replace("127.0.0.1", "localhost");
    go_elsewhere(&stage, &page, &elsewhere, &links).await;
    page.press("API").await;
    page.sees("unauthorized").await;
    go_elsewhere(&stage, &page, &elsewhere, &links).await;
    page.press("Dashboard").await;
    // It asks for everything itself, and is asked by nobody else.
    page.sees_in("nav#side", "owner").await;
    page.close_despite(is_meant).await;
}

#[tokio::test]
async fn a_changed_role_asks_for_a_new_sign_in() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "webhooks").await;
    let users = stage.app.get("/admin/api/users").await.json();
    let id = users["data"][0]["id"].as_str().unwrap().to_owned();
    let change = json!({ "role": "viewer" });
    stage.app.with_json(reqwest::Method::PATCH, &format!("/admin/api/users/{id}"), change).await.expect(200);
    page.press("Events").await;
    page.sees_in("h1", "Sign in").await;
    page.close_despite(|complaint| complaint.contains("401")).await;
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Admin, "account").await;
    let elsewhere = Elsewhere::sign_in(&stage, PASSWORD).await;
    assert_eq!(elsewhere.status(&stage).await, 200);
    let new = "another correct horse";
    page.fill("Current password", PASSWORD).await;
    page.fill("New password", new).await;
    page.press("Change password").await;
    page.sees("Password changed.").await;
    assert_eq!(elsewhere.status(&stage).await, 401, "it was open elsewhere, too");
    page.press("Webhooks").await;
    page.sees_in("h1", "Webhooks").await;

    let elsewhere = Elsewhere::sign_in(&stage, new).await;
    let change = json!({ "current_password": new, "new_password": PASSWORD });
    elsewhere.change_password(&stage, change).await;
    page.press("Events").await;
    page.sees_in("h1", "Sign in").await;
    page.close_despite(|complaint| complaint.contains("401")).await;
}

/// The admin of a test, in a second browser.
struct Elsewhere {
    cookie: String,
    csrf: String,
}

impl Elsewhere {
    async fn sign_in(stage: &Stage, password: &str) -> Elsewhere {
        let body = json!({ "email": "admin@example.com", "password": password });
        let request = stage.app.client.post(format!("{}/admin/api/session", stage.app.base));
        let answer = send(json_body(request, body.to_string())).await;
        let cookie = answer.header("set-cookie").and_then(|set| set.split(';').next());
        let cookie = cookie.expect("a cookie is set").to_owned();
        let session = answer.expect(200);
        Elsewhere { cookie, csrf: session["csrf_token"].as_str().expect("it is text").to_owned() }
    }

    async fn status(&self, stage: &Stage) -> u16 {
        let request = stage.app.client.get(format!("{}/v1/webhooks", stage.app.base));
        send(request.header("cookie", &self.cookie)).await.status
    }

    async fn change_password(&self, stage: &Stage, change: Value) {
        let request = stage.app.client.put(format!("{}/admin/api/password", stage.app.base));
        let request = request.header("cookie", &self.cookie).header("x-csrf-token", &self.csrf);
        send(json_body(request, change.to_string())).await.expect(204);
    }
}

#[tokio::test]
async fn guessing_at_the_sign_in_page_is_throttled_for_some_seconds() {
    let stage = Stage::set().await;
    let email = stage.user(Role::Viewer).await;
    let page = stage.page().await;
    page.goto("").await;
    page.sees_in("h1", "Sign in").await;
    let guess = r#"
        const [email, done] = arguments;
        const body = (n) => JSON.stringify({ email, password: `wrong horse ${n}` });
        const headers = { 'content-type': 'application/json' };
        const statuses = [];
        (async () => {
            for (let n = 0; n < 10; n++) {
                statuses.push((await fetch('api/session', { method: 'POST', headers, body: body(n) })).status);
            }
            done(statuses);
        })();"#;
    assert_eq!(page.js_later(guess, vec![json!(email)]).await, json!(vec![401; 10]));
    page.fill("Email", &email).await;
    page.fill("Password", PASSWORD).await;
    page.press("Sign in").await;
    page.sees_in(".note[role=alert]", "Too many attempts. Try again in 6 seconds.").await;
    stage.app.clock.advance_ms(5_000);
    page.press("Sign in").await;
    page.sees_in(".note[role=alert]", "Try again in 1 second.").await;
    stage.app.clock.advance_ms(1_000);
    sign_in(&page, &email).await;
    page.close_despite(|c| c.contains("Failed to load resource") && (c.contains("401") || c.contains("429")))
        .await;
}
