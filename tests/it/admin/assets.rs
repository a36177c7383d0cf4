//! The page and its files.

use crate::support::TestApp;
use crate::support::app::{Answer, send};

/// The links of a page, as they stand in it.
fn links(page: &Answer) -> Vec<String> {
    let attributes = page.text.split("src=\"").chain(page.text.split("href=\"")).skip(1);
    attributes.filter(|a| !a.starts_with('<')).map(|a| a.split('"').next().unwrap().to_owned()).collect()
}

/// The page but for what is loaded ahead, in which addresses differ.
fn without_modules(page: &Answer) -> Vec<&str> {
    page.text.lines().filter(|line| !line.contains("modulepreload")).collect()
}

async fn with(app: &TestApp, path: &str, name: &str, value: &str) -> Answer {
    send(app.client.get(format!("{}{path}", app.base)).header(name, value)).await
}

async fn get(app: &TestApp, path: &str) -> Answer {
    send(app.client.get(format!("{}{path}", app.base))).await
}

/// What every answer below `/admin` carries.
fn assert_protected(answer: &Answer, path: &str) {
    let policy = answer.header("content-security-policy").expect(path);
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
    assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{path}");
}

#[tokio::test]
async fn one_page_serves_every_address_of_the_dashboard() {
    let app = TestApp::start().await;
    let first = get(&app, "/admin").await;
    for path in ["/admin", "/admin/", "/admin/webhook-deliveries", "/admin/webhooks/new", "/admin/setup/0a1b"]
    {
        let page = get(&app, path).await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        assert_eq!(without_modules(&page), without_modules(&first), "{path}");
        assert_protected(&page, path);
        let again = with(&app, path, "if-none-match", page.header("etag").unwrap()).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""));
        assert_protected(&again, path);
    }
    assert!(first.text.contains(r#"<base href="/admin/">"#) && !first.text.contains("{{"), "{}", first.text);
    let posted = send(app.client.post(format!("{}/admin/webhooks", app.base))).await;
    assert_eq!(posted.problems(405), [("method_not_allowed".to_owned(), None)]);
    assert_protected(&posted, "a refused method");
    let unknown = get(&app, "/admin/api/none").await;
    assert_eq!(unknown.problems(404), [("not_found".to_owned(), None)]);
    assert_protected(&unknown, "an unknown operation");
    let state = get(&app, "/admin/api/state").await;
    assert_eq!(state.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_page_names_the_modules_of_its_address_so_that_they_are_loaded_at_once() {
    let app = TestApp::start().await;
    let loads = async |path: &str, module: &str| {
        let page = get(&app, path).await;
        links(&page).iter().any(|link| link.ends_with(module))
    };
    for path in ["/admin", "/admin/", "/admin/webhook-deliveries", "/admin/sign-in"] {
        assert!(loads(path, "/components/shell.js").await && loads(path, "/preact.js").await, "{path}");
        let is_log = path.ends_with("deliveries");
        assert_eq!(loads(path, "/pages/deliveries/columns.js").await, is_log, "{path}");
        assert!(!loads(path, "/uplot.js").await, "{path}: that comes when there is something to draw");
    }
    assert!(loads("/admin/", "/pages/overview.js").await);
}

#[tokio::test]
async fn files_are_kept_for_ever_under_a_name_that_changes_with_them() {
    let app = TestApp::start().await;
    let page = get(&app, "/admin/").await;
    let script = links(&page).into_iter().find(|link| link.ends_with("/main.js")).unwrap();
    let path = format!("/admin/{script}");
    let file = get(&app, &path).await;
    assert_eq!((file.status, file.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(file.header("vary"), Some("Accept-Encoding"));
    assert_protected(&file, &path);
    assert_eq!(with(&app, &path, "if-none-match", file.header("etag").unwrap()).await.status, 304);

    let hash = script.split('/').nth(1).unwrap();
    for wrong in [
        path.replace(hash, "0123456789abcdef"),
        path.replace("main.js", "none.js"),
        path.replace("main.js", "docs/page.js"),
        path.replace("main.js", "%2e%2e%2fCargo.toml"),
        path.replace("main.js", "..%2f..%2fCargo.toml"),
        path.replace("main.js", "index.html"),
    ] {
        let answer = get(&app, &wrong).await;
        assert_eq!(answer.problems(404)[0].0, "not_found", "{wrong}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn the_dashboard_works_under_a_base_path() {
    let app =
        TestApp::with(|c| c.public_url = postrider::config::PublicUrl::parse("https://example.com/hooks"))
            .await;
    for path in ["/hooks/admin", "/hooks/admin/", "/hooks/admin/webhooks", "/admin/"] {
        let page = get(&app, path).await;
        assert!(page.text.contains(r#"<base href="/hooks/admin/">"#), "{path}: {}", page.text);
        assert_protected(&page, path);
        for link in links(&page).iter().filter(|link| link.ends_with(".js") || link.ends_with(".css")) {
            assert_eq!(get(&app, &format!("/hooks/admin/{link}")).await.status, 200, "{link}");
        }
    }
}

#[tokio::test]
async fn files_are_sent_compressed_to_those_who_take_that() {
    let app = TestApp::start().await;
    let path = "/docs/swagger-ui.css";
    let plain = get(&app, path).await;
    let request = app.client.get(format!("{}{path}", app.base)).header("accept-encoding", "gzip");
    let packed = request.send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["vary"], "Accept-Encoding");
    let packed = packed.bytes().await.unwrap();
    assert!(packed.len() * 3 < plain.text.len(), "{} of {}", packed.len(), plain.text.len());
    let mut read = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut read).unwrap();
    assert_eq!(read, plain.text);
}
