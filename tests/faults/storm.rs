//! A storm of alerts to a chat that limits, as Discord does: all messages come, each once and within the limits of
//! the receiver, and the webhook is not disabled. The clock is the test's; requests are real.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use postrider::domain::gallery::{self, Side};
use postrider::host::clock::Clock as _;
use serde_json::{Value, json};

use super::outage::{count_of, send_all};
use crate::support::receiver::Received;
use crate::support::{Receiver, Reply, TestApp};
use crate::{form, say};

/// Requests of a window, as seen at Discord.
const AT_ONCE: u32 = 5;
const WINDOW_MS: i64 = 2_000;
/// Discord blocks an address with so many refusals within ten minutes.
const REFUSALS_MAX: usize = 10_000;

/// What a channel has got.
#[derive(Default)]
struct Channel {
    began_ms: i64,
    taken: u32,
    /// How often each message is shown, by its number.
    shown: HashMap<u64, u32>,
    /// When requests were refused.
    refused_ms: Vec<i64>,
    /// Messages that Discord would not take.
    invalid: Vec<String>,
}

impl Channel {
    /// Answers as Discord does with `wait=true`.
    fn answer(&mut self, request: &Received, now_ms: i64) -> Reply {
        let passed_ms = now_ms - self.began_ms;
        if passed_ms >= WINDOW_MS {
            (self.began_ms, self.taken) = (now_ms, 0);
        }
        if self.taken >= AT_ONCE {
            self.refused_ms.push(now_ms);
            let wait_ms = WINDOW_MS - passed_ms.clamp(0, WINDOW_MS - 1);
            let body = json!({
                "message": "You are being rate limited.", "retry_after": wait_ms as f64 / 1_000.0, "global": false,
            });
            let seconds = (wait_ms + 999) / 1_000;
            return Reply::status(429).header("retry-after", &seconds.to_string()).body(body.to_string());
        }
        self.taken += 1;
        match number_of(request) {
            Ok(number) => {
                *self.shown.entry(number).or_default() += 1;
                Reply::ok().header("content-type", "application/json").body(json!({ "id": "1" }).to_string())
            }
            Err(problem) => {
                self.invalid.push(problem);
                Reply::status(400).body(json!({ "code": 50_035, "message": "Invalid Form Body" }).to_string())
            }
        }
    }
}

/// The number of a message that Discord would take.
fn number_of(request: &Received) -> Result<u64, String> {
    let message: Value = serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
    let embed = &message["embeds"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (title, description, footer) =
        (text(&embed["title"]), text(&embed["description"]), text(&embed["footer"]["text"]));
    let counts = [&title, &description, &footer].map(|text| text.encode_utf16().count());
    let is_within = counts[0] <= 256 && counts[1] <= 4_096 && counts.iter().sum::<usize>() <= 6_000;
    if !is_within || title.is_empty() || message["allowed_mentions"] != json!({ "parse": [] }) {
        return Err(format!("{counts:?} {message}"));
    }
    let number = description.lines().find_map(|line| line.strip_prefix("number: "));
    number.and_then(|number| number.parse().ok()).ok_or(description)
}

/// The most refusals within ten minutes.
fn worst(refused_ms: &[i64]) -> usize {
    let within = |from: &i64| refused_ms.iter().filter(|at| (from..&(from + 600_000)).contains(at)).count();
    refused_ms.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_to_a_chat_that_limits_loses_nothing_and_disables_nothing() {
    let events = form(150_u64, 1_000);
    let app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let channel =
        Arc::new(Mutex::new(Channel { began_ms: app.clock.now().as_millis(), ..Channel::default() }));
    let (clock, seen) = (app.clock.clone(), channel.clone());
    receiver.reply_with(move |request| {
        let now_ms = clock.now().as_millis();
        seen.lock().unwrap().answer(request, now_ms)
    });
    let inputs = json!({ "webhook_url": receiver.url("/api/webhooks/1/secret") });
    let recipe = gallery::find(Side::Destination, "discord").unwrap();
    let mut settings = Value::Object(recipe.expand(inputs.as_object().unwrap()).unwrap());
    // Without the pace of the recipe, the receiver has to defend itself.
    settings.as_object_mut().unwrap().remove("rate_limit");
    let hook = app.webhook("", settings).await;
    for number in 0..events {
        let text =
            if number % 50 == 7 { "\"@everyone\"\n\u{1f600}".repeat(6_000) } else { "down".to_owned() };
        app.post_event("alert.firing", json!({ "number": number, "text": text })).await;
    }
    let total = async |status: &str| count_of(&app, &hook, status).await;
    let began = app.clock.now();
    send_all(&app, &hook).await;
    let took_s = (app.clock.now().as_millis() - began.as_millis()) / 1_000;
    let channel = std::mem::take(&mut *channel.lock().unwrap());
    let (shown, refused) = (channel.shown.len(), channel.refused_ms.len());
    say(
        "storm",
        format!(
            "{shown} of {events} messages shown in {took_s} s of the receiver's clock, {refused} answers of 429"
        ),
    );
    assert_eq!(channel.invalid, [""; 0], "each message is within the limits");
    let once = channel.shown.values().all(|count| *count == 1);
    assert!(once && shown as u64 == events, "{shown} of {events}, each once: {once}");
    assert!(worst(&channel.refused_ms) < REFUSALS_MAX, "{refused}");
    assert_eq!((total("delivered").await, total("exhausted").await), (events, 0));
    let now = app.webhook_attributes(&hook.id).await;
    assert_eq!((&now["status"], &now["consecutive_failures"]), (&json!("active"), &json!(0)));
    assert_eq!(now["secrets"], json!({ "path": "********" }));
}
