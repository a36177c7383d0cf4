//! The screenshots of the documentation: what `postrider demo` shows, in light and dark. Run by
//! `docs/screenshots.sh`, never by the tests.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::page::Page;

/// The demo, which ends with this.
struct Demo {
    process: Child,
    base: String,
    email: String,
    password: String,
}

impl Demo {
    /// Starts it and waits until its own events were delivered.
    fn start() -> Demo {
        let mut process = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(["demo", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo starts");
        let output = process.stdout.take().expect("it is piped");
        let (mut base, mut email, mut password) = Default::default();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Some((address, rest)) = line.trim().split_once("/admin/") else {
                if line.contains("Ctrl-C") {
                    break;
                }
                continue;
            };
            let words: Vec<&str> = rest.split([' ', ')']).filter(|word| !word.is_empty()).collect();
            base = address.to_owned();
            email = words.iter().find(|word| word.contains('@')).expect("an address").to_string();
            password = words.last().expect("a password").to_string();
        }
        Demo { process, base, email, password }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // In order, so that its throw-away directory goes too.
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots")
}

/// One page in light and dark.
async fn photograph(page: &Page, name: &str, path: &str, ready: &str) {
    page.goto(path).await;
    page.settled().await;
    page.sees(ready).await;
    page.js("document.querySelector('aside.panel [aria-label=\"Response body\"]')?.scrollIntoView({ block: 'end' })", vec![]).await;
    for scheme in ["light", "dark"] {
        page.scheme(scheme).await;
        // A chart is drawn again in the colors of the scheme; two frames later it is on the screen.
        page.js_later(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))",
            vec![],
        )
        .await;
        let file = directory().join(format!("{name}-{scheme}.png"));
        std::fs::write(file, page.screenshot().await).expect("docs/screenshots can be written");
    }
}

#[tokio::test]
#[ignore = "makes the pictures of the documentation; docs/screenshots.sh runs it"]
async fn the_main_pages_are_photographed() {
    std::fs::create_dir_all(directory()).expect("docs/screenshots can be made");
    let demo = tokio::task::spawn_blocking(Demo::start).await.expect("the demo starts");
    let page = Page::open(&demo.base).await;
    page.goto("").await;
    page.sees_in("h1", "Sign in").await;
    page.fill("Email", &demo.email).await;
    page.fill("Password", &demo.password).await;
    page.press("Sign in").await;
    page.sees_in("h1", "Overview").await;
    page.cdp("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
    photograph(&page, "overview", "", "CRM sync").await;
    photograph(&page, "deliveries", "webhook-deliveries?page=2", "Storefront").await;
    let failed = "webhook-deliveries?status=failed&status=exhausted&response_status=500";
    page.goto(failed).await;
    let row = page.until("a failed row", "all('tbody tr[data-key]')[0]?.dataset.key").await;
    let row = row.as_str().expect("it is text").to_owned();
    photograph(&page, "failure", &format!("{failed}&open={row}"), "contacts.js").await;
    photograph(&page, "webhooks", "webhooks", "Legacy ERP").await;
    let link = page.until("a link", "all('tbody a').find((a) => a.innerText === 'CRM sync')?.pathname").await;
    let path = link.as_str().expect("it is text").trim_start_matches("/admin/").to_owned();
    photograph(&page, "webhook", &path, "Top errors").await;
    photograph(&page, "integrations", "integrations", "Home Assistant").await;
    page.goto("integrations/sources").await;
    let link = page.until("a source", "all('tbody a')[0]?.pathname").await;
    let path = link.as_str().expect("it is text").trim_start_matches("/admin/").to_owned();
    photograph(&page, "source", &path, "Requests").await;
    page.width(390).await;
    photograph(&page, "narrow", "webhook-deliveries?page=2", "Storefront").await;
    page.close().await;
}
