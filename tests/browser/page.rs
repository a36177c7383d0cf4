//! One browser with one page. It finds what a person would find (by words and labels), waits until it is
//! there, and says what the page showed instead when it never comes.
//!
//! Waiting is done in the browser, by asking a condition until it holds; nothing here sleeps for a guess.

use fantoccini::Client;
use fantoccini::elements::{Element, ElementRef};
use fantoccini::wd::WebDriverCompatibleCommand;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::driver;

/// How many times five seconds anything may take before it counts as never happening: machines are busy.
const ROUNDS: usize = 6;
/// How many browsers run at once: each is a handful of processes.
static BROWSERS: Semaphore = Semaphore::const_new(3);
/// The name of a reference to an element in WebDriver.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What runs before the page's own scripts: it notes what would otherwise pass unseen.
const WATCH: &str = "window.__complaints = [];
    addEventListener('securitypolicyviolation', (e) => __complaints.push(`CSP: ${e.violatedDirective} ${e.blockedURI}`));
    addEventListener('error', (e) => __complaints.push(`error: ${e.message}`));
    addEventListener('unhandledrejection', (e) => __complaints.push(`rejection: ${e.reason?.stack ?? e.reason}`));";

/// Asks `EXPRESSION` until it is neither null nor false, for five seconds. (The page's policy forbids to
/// make a function of text, so the expression is put into the script.)
const POLL: &str = r"const [args, done] = arguments;
    const seen = (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && e.getClientRects().length > 0;
    const tidy = (text) => (text ?? '').replace(/\s+/g, ' ').trim();
    // A dialog is all there is while it is open.
    const top = () => [...document.querySelectorAll('dialog[open]')].at(-1) ?? document;
    const all = (css) => [...(top().matches?.(css) ? [top()] : []), ...top().querySelectorAll(css)].filter(seen);
    const called = (e, name) => [e.getAttribute('aria-label'), e.innerText, (e.innerText ?? '').trim().split('\n')[0]].some((t) => tidy(t) === name);
    const named = (name) => all('button,a[href],[role^=menuitem],summary').find((e) => called(e, name));
    const labelled = (name) => all('input,select,textarea').find((e) => e.getAttribute('aria-label') === name || [...e.labels ?? []].some((l) => tidy(l.innerText) === name));
    const until = performance.now() + 5000;
    const ask = () => {
      let found = null, broken = null;
      try { found = EXPRESSION; } catch (e) { broken = String(e); }
      if (found !== null && found !== undefined && found !== false) done({ found });
      else if (performance.now() > until) done({ broken });
      else setTimeout(ask, 20);
    };
    ask();";

/// A browser's page of one server.
pub(crate) struct Page {
    client: Client,
    /// The server's address with its base path, without a slash at the end.
    base: String,
    _one_of_few: SemaphorePermit<'static>,
}

impl Page {
    /// A new browser for the server at `base`.
    pub(crate) async fn open(base: &str) -> Page {
        let permit = BROWSERS.acquire().await.expect("it is never closed");
        let page = Page { client: driver::browser().await, base: base.to_owned(), _one_of_few: permit };
        page.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH })).await;
        page.width(1280).await;
        page
    }

    /// Ends the browser; fails if the page has complained.
    pub(crate) async fn close(self) {
        let complaints = self.complaints().await;
        self.client.clone().close().await.expect("the browser closes");
        assert!(complaints.is_empty(), "the page complained: {complaints:#?}");
    }

    /// Ends the browser of a test that makes it complain.
    pub(crate) async fn close_despite(self, expected: impl Fn(&str) -> bool) {
        let complaints = self.complaints().await;
        self.client.clone().close().await.expect("the browser closes");
        let other: Vec<_> = complaints.iter().filter(|c| !expected(c)).collect();
        assert!(other.is_empty(), "the page complained: {other:#?}");
    }

    /// What the console and the page itself have complained of since this was last asked.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.command("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().expect("the log is a list").iter();
        let mut all: Vec<String> = entries
            .filter(|e| matches!(e["level"].as_str(), Some("SEVERE" | "WARNING")))
            .map(|e| e["message"].to_string())
            .collect();
        let own = self.js("return (window.__complaints ?? []).splice(0)", vec![]).await;
        all.extend(own.as_array().into_iter().flatten().map(Value::to_string));
        all
    }

    /// Loads a path of the dashboard (below `/admin/`), and waits until it has a heading.
    pub(crate) async fn goto(&self, path: &str) {
        self.load(path).await;
        self.until(&format!("the page {path:?}"), "all('h1').length > 0").await;
    }

    /// Opens a path without waiting for anything.
    pub(crate) async fn load(&self, path: &str) {
        self.open_url(&format!("{}/admin/{path}", self.base)).await;
    }

    /// Opens any address.
    pub(crate) async fn open_url(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|e| panic!("{url} opens: {e}"));
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.client.refresh().await.expect("the page loads again");
    }

    /// Path and query below the dashboard's address.
    pub(crate) async fn address(&self) -> String {
        let url = self.client.current_url().await.expect("there is an address");
        let below = format!("{}/admin/", self.base);
        let address = url.as_str().strip_prefix(&below);
        address.unwrap_or_else(|| panic!("{url} is below {below}")).to_owned()
    }

    /// The parameters of the address, decoded, in order.
    pub(crate) async fn query(&self) -> Vec<(String, String)> {
        let url = self.client.current_url().await.expect("there is an address");
        url.query_pairs().into_owned().collect()
    }

    /// Waits until an expression is neither null nor false, and gives its value. It may use
    /// `all(css)` (visible ones, in the open dialog if there is one), `named(words)` and `labelled(words)`.
    pub(crate) async fn until(&self, what: &str, expression: &str) -> Value {
        self.until_with(what, expression, json!([])).await
    }

    /// The same, with `args`.
    pub(crate) async fn until_with(&self, what: &str, expression: &str, args: Value) -> Value {
        let script = POLL.replace("EXPRESSION", expression);
        let mut why = String::new();
        for _ in 0..ROUNDS {
            match self.client.execute_async(&script, vec![args.clone()]).await {
                Ok(Value::Object(mut answer)) if answer.contains_key("found") => {
                    return answer.remove("found").unwrap_or_default();
                }
                Ok(answer) => why = answer.to_string(),
                // The page was left while it was asked; the next one is asked again.
                Err(e) => why = e.to_string(),
            }
        }
        panic!("{what} did not come ({expression}, {args}): {why}\n{}", self.sight().await);
    }

    /// What a person sees, for the message of a failure.
    async fn sight(&self) -> String {
        let url = self.client.current_url().await.map_or_else(|e| e.to_string(), |u| u.to_string());
        let text = self.client.execute("return document.body?.innerText", vec![]).await;
        format!("at {url}\n{}", text.map_or_else(|e| e.to_string(), |t| t.as_str().unwrap_or("").to_owned()))
    }

    /// Waits for the element that an expression gives, and does something with it; what was
    /// rendered again in between is looked for again.
    async fn act<T>(
        &self,
        what: &str,
        expression: &str,
        args: Value,
        act: impl AsyncFn(Element) -> Result<T, fantoccini::error::CmdError>,
    ) -> T {
        let mut why = String::new();
        for _ in 0..20 {
            let found = self.until_with(what, expression, args.clone()).await;
            let id = found[ELEMENT].as_str().unwrap_or_else(|| panic!("{what} is an element, not {found}"));
            let element = Element::from_element_id(self.client.clone(), ElementRef::from(id.to_owned()));
            match act(element).await {
                Ok(done) => return done,
                Err(e) => why = e.to_string(),
            }
        }
        panic!("{what} could not be used: {why}\n{}", self.sight().await);
    }

    /// Clicks a button, link or menu item by its words or label, once it can be used.
    pub(crate) async fn press(&self, name: &str) {
        let usable = "(() => { const e = named(args); return e && !e.disabled ? e : null; })()";
        self.act(name, usable, json!(name), async |e| e.click().await).await;
    }

    /// Clicks the first visible element of a selector.
    pub(crate) async fn click(&self, css: &str) {
        self.act(css, "all(args)[0]", json!(css), async |e| e.click().await).await;
    }

    /// Types into a field, in the place of what is there.
    pub(crate) async fn fill(&self, label: &str, text: &str) {
        // The driver's own clearing tells the page nothing of it, which may put the old text back before the new comes.
        let empty = "const [field] = arguments;
            field.value = '';
            for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, { bubbles: true }));";
        let type_into = async |e: Element| {
            self.client.execute(empty, vec![json!(e)]).await?;
            e.send_keys(text).await
        };
        self.act(label, "labelled(args)", json!(label), type_into).await;
    }

    /// Presses keys where the focus is.
    pub(crate) async fn keys(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(keys).await.expect("keys arrive");
    }

    /// Chooses an option by its words.
    pub(crate) async fn choose(&self, label: &str, option: &str) {
        let expression =
            "[...labelled(args[0])?.options ?? []].some((o) => o.text === args[1]) && labelled(args[0])";
        let select = async |e: Element| e.select_by_label(option).await;
        self.act(label, expression, json!([label, option]), select).await;
    }

    /// Chooses in a field that searches: types the words and takes the option of that name.
    pub(crate) async fn pick(&self, label: &str, option: &str) {
        let type_into = async |e: Element| {
            e.click().await?;
            e.send_keys(option).await
        };
        self.act(label, "labelled(args)", json!(label), type_into).await;
        let named = "all('[role=option]').find((e) => tidy(e.querySelector('.cut').innerText) === args)";
        self.act(option, named, json!(option), async |e| e.click().await).await;
    }

    /// Waits until these words can be read somewhere on the page.
    pub(crate) async fn sees(&self, words: &str) {
        self.until_with(words, "tidy(top().body?.innerText ?? top().innerText).includes(args)", json!(words))
            .await;
    }

    /// Waits until an element of a selector has these words, and gives all of its text.
    pub(crate) async fn sees_in(&self, css: &str, words: &str) -> String {
        let expression = "all(args[0]).map((e) => e.innerText).find((t) => tidy(t).includes(args[1]))";
        let text = self.until_with(&format!("{words} in {css}"), expression, json!([css, words])).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Whether a button, link or menu item of this name is there now.
    pub(crate) async fn offers(&self, name: &str) -> bool {
        // Asked as a condition that always holds, for its helpers.
        let found = self.until_with(name, "({ there: Boolean(named(args)) })", json!(name)).await;
        found["there"] == true
    }

    /// Waits until nothing loads: no skeleton, nothing busy.
    pub(crate) async fn settled(&self) {
        self.until("rest", "!document.querySelector('.skeleton,[aria-busy=true]') && all('h1').length > 0")
            .await;
    }

    /// A script's result.
    pub(crate) async fn js(&self, script: &str, args: Vec<Value>) -> Value {
        self.client.execute(script, args).await.unwrap_or_else(|e| panic!("{script:.200}: {e}"))
    }

    /// The result that a script hands to the last of its arguments.
    pub(crate) async fn js_later(&self, script: &str, args: Vec<Value>) -> Value {
        self.client.execute_async(script, args).await.unwrap_or_else(|e| panic!("{script:.200}: {e}"))
    }

    /// As wide as this many CSS pixels.
    pub(crate) async fn width(&self, width: u32) {
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// `light` or `dark`, as the system's setting would say; motion is reduced.
    pub(crate) async fn scheme(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// What the window shows, as a PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("a picture can be taken")
    }

    /// A command of the DevTools protocol.
    pub(crate) async fn cdp(&self, command: &str, params: Value) -> Value {
        self.command("goog/cdp/execute", json!({ "cmd": command, "params": params })).await
    }

    async fn command(&self, path: &'static str, body: Value) -> Value {
        let command = Command { path, body: body.to_string() };
        self.client.issue_cmd(command).await.unwrap_or_else(|e| panic!("{path} {body}: {e}"))
    }
}

/// A POST to the session that the standard does not know.
#[derive(Debug)]
struct Command {
    path: &'static str,
    body: String,
}

impl WebDriverCompatibleCommand for Command {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.expect("there is a session"), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.clone()))
    }
}
