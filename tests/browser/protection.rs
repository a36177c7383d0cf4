//! What the browser keeps from happening because the server told it to: scripts that got in somehow, and
//! pages of others that are open beside ours.

use postrider::domain::Role;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::Reply;

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
async fn what_gets_into_the_page_runs_nothing_and_reaches_nobody() {
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

#[tokio::test]
async fn a_page_of_somebody_else_beside_ours_can_neither_change_nor_read_anything() {
    let stage = Stage::set().await;
    let page = stage.signed_in(Role::Owner, "").await;
    // Another port of the same host is another origin of the same site: the browser does send the cookie.
    stage.receiver.reply_with(|_| Reply::ok().header("content-type", "text/html").body("<h1>elsewhere</h1>"));
    page.open_url(&stage.receiver.url("/")).await;
    page.sees_in("h1", "elsewhere").await;
    let script = r#"
        const done = arguments[arguments.length - 1];
        const base = arguments[0];
        const body = JSON.stringify({ url: 'https://evil.example/', events: ['*'] });
        const ask = (path, more) => fetch(base + path, { credentials: 'include', ...more })
            .then(async (a) => [a.status, a.type === 'opaque' ? '' : await a.text()]).catch(() => 'refused');
        Promise.all([
            ask('/v1/webhooks', {}),
            ask('/admin/api/session', {}),
            ask('/v1/webhooks', { method: 'POST', mode: 'no-cors', body }),
            ask('/v1/webhooks', { method: 'POST', body, headers: { 'content-type': 'application/json' } }),
            ask('/admin/api/keys', { method: 'POST', mode: 'no-cors', body: '{"name":"x","scopes":["admin"]}' }),
        ]).then(done);"#;
    let asked = page.js_later(script, vec![json!(stage.app.base)]).await;
    // What is read is refused by the browser; what is sent without asking first is answered to nobody.
    let nothing = json!([0, ""]);
    assert_eq!(asked, json!(["refused", "refused", nothing, "refused", nothing]));
    assert_eq!(stage.app.get("/v1/webhooks").await.json()["meta"]["total"], 0);
    let keys = stage.app.get("/admin/api/keys").await.json();
    assert!(keys["data"].as_array().unwrap().iter().all(|key| key["name"] != "x"), "{keys}");
    page.close_despite(is_meant).await;
}

#[tokio::test]
async fn somebody_whose_role_changes_is_asked_to_sign_in_again() {
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
