//! A server with people and a receiver, for one test.

use postrider::config::Config;
use postrider::domain::{Role, Span};
use postrider::host::clock::{Clock as _, SystemClock};
use postrider::service::By;
use postrider::service::people::users;
use serde_json::{Value, json};

use crate::page::Page;
use crate::support::{Receiver, TestApp};

/// The password of everybody in these tests.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// See the module's text.
pub(crate) struct Stage {
    pub(crate) app: TestApp,
    pub(crate) receiver: Receiver,
}

impl Stage {
    /// A new server without anybody, and a receiver that answers 200.
    pub(crate) async fn set() -> Stage {
        Stage::with(|_| {}).await
    }

    /// The same, after changes to its configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Stage {
        let app = TestApp::with(|config| {
            // The test's clock stands, so that a limit would never let anybody in again.
            config.limits.requests_per_minute = 0;
            // Receivers hold answers back while a page loads, and that may take its time.
            config.delivery.timeout = Span::parse("5m").expect("this is a span");
            change(config);
        })
        .await;
        // The browser has a clock of its own; "the last 24 hours" should mean the same to both.
        app.clock.set(SystemClock.now());
        Stage { app, receiver: Receiver::start().await }
    }

    /// Creates a user whose email is `<role>@example.com`.
    pub(crate) async fn user(&self, role: Role) -> String {
        let email = format!("{role}@example.com");
        let (store, now) = (self.app.server().store(), self.app.clock.now());
        users::create(&*store, &email, role, PASSWORD, &By::command_line(), now)
            .await
            .expect("the user can be created");
        email
    }

    /// A browser in which nobody has signed in.
    pub(crate) async fn page(&self) -> Page {
        Page::open(&self.app.base).await
    }

    /// A page at `path`, after a new user of this role has signed in through the form.
    pub(crate) async fn signed_in(&self, role: Role, path: &str) -> Page {
        let email = self.user(role).await;
        let page = self.page().await;
        page.goto(path).await;
        sign_in(&page, &email).await;
        page
    }

    /// A webhook to the receiver without retries.
    pub(crate) async fn webhook(&self, name: &str, path: &str) -> String {
        let fields = json!({ "name": name, "retry_schedule": [] });
        self.app.webhook(&self.receiver.url(path), fields).await.id
    }

    /// Posts an event and waits until an attempt for it has finished.
    pub(crate) async fn ended_event(&self, event_type: &str, payload: Value) -> Value {
        let id = self.app.post_event(event_type, payload).await;
        self.app.row_when(|row| row["event_id"] == id.as_str() && row["status"] != "pending").await
    }
}

/// Fills in the form of the page that asks for it, and waits until it is gone.
pub(crate) async fn sign_in(page: &Page, email: &str) {
    page.sees_in("h1", "Sign in").await;
    page.fill("Email", email).await;
    page.fill("Password", PASSWORD).await;
    page.press("Sign in").await;
    page.until("the dashboard", "all('nav#side, header.bar').length > 0 && all('h1').length > 0").await;
}
