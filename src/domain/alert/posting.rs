//! An alert as each messenger wants it: URL, headers, body. The bodies are those of the messengers' own
//! documentation: ntfy "Publishing", Gotify `POST /message`, Discord "Execute Webhook", Slack "Incoming
//! webhooks".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// The longest message that Discord takes, in characters.
const DISCORD_MAX: usize = 2_000;
/// Bytes of text in one encoded word, so that the word stays below the 75 characters of RFC 2047.
const WORD_BYTES: usize = 42;

/// A request to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    pub url: Url,
    /// Names and values; all values are ASCII without line breaks, but for a token's own.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Form {
    /// Whether a token can, or must, be given: `None`: it cannot.
    pub fn token_is_required(self) -> Option<bool> {
        match self {
            Form::Json | Form::Ntfy | Form::Email => Some(false),
            Form::Gotify => Some(true),
            Form::Discord | Form::Slack => None,
        }
    }

    /// The request that tells an alert; `None`: it is told by e-mail.
    pub fn posting(self, url: &Url, token: Option<&str>, alert: &Alert) -> Option<Posting> {
        Some(match self {
            Form::Json => json_posting(url, token, alert),
            Form::Ntfy => ntfy(url, token, alert),
            Form::Gotify => gotify(url, token, alert),
            Form::Discord => discord(url, alert),
            Form::Slack => slack(url, alert),
            Form::Email => return None,
        })
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

fn of_json(url: &Url, body: &serde_json::Value) -> Posting {
    let headers = vec![(JSON.0, JSON.1.to_owned())];
    Posting { url: url.clone(), headers, body: body.to_string().into_bytes() }
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

fn json_posting(url: &Url, token: Option<&str>, alert: &Alert) -> Posting {
    let body = json!({
        "kind": alert.kind.as_str(),
        "subject": alert.subject,
        "title": alert.title,
        "text": alert.text,
        "link": alert.link,
        "at": alert.at.to_string(),
        "test": alert.is_test,
    });
    let mut posting = of_json(url, &body);
    posting.headers.extend(token.map(bearer));
    posting
}

fn ntfy(url: &Url, token: Option<&str>, alert: &Alert) -> Posting {
    // 3 is ntfy's default, 5 the highest.
    let (priority, tags) = match alert.kind.urgency() {
        Urgency::Normal => ("3", "warning"),
        Urgency::High => ("4", "warning"),
        Urgency::Highest => ("5", "rotating_light"),
    };
    let mut headers = vec![
        ("content-type", "text/plain; charset=utf-8".to_owned()),
        ("title", header_text(&alert.title)),
        ("priority", priority.to_owned()),
        ("tags", if alert.is_test { "test_tube".to_owned() } else { tags.to_owned() }),
    ];
    headers.extend(alert.link.as_ref().map(|link| ("click", link.clone())));
    headers.extend(token.map(bearer));
    Posting { url: url.clone(), headers, body: alert.text.clone().into_bytes() }
}

fn gotify(url: &Url, token: Option<&str>, alert: &Alert) -> Posting {
    // From 8 on its app makes a sound that goes through.
    let priority = match alert.kind.urgency() {
        Urgency::Normal => 5,
        Urgency::High => 8,
        Urgency::Highest => 10,
    };
    let mut body = json!({ "title": alert.title, "message": alert.text, "priority": priority });
    if let Some(link) = &alert.link {
        body["extras"] = json!({ "client::notification": { "click": { "url": link } } });
    }
    let mut url = url.clone();
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with("/message") {
        url.set_path(&format!("{path}/message"));
    }
    let mut posting = of_json(&url, &body);
    posting.headers.extend(token.map(|token| ("x-gotify-key", token.to_owned())));
    posting
}

fn discord(url: &Url, alert: &Alert) -> Posting {
    let link = alert.link.as_ref().map_or(String::new(), |link| format!("\n{link}"));
    let room = DISCORD_MAX.saturating_sub(link.chars().count());
    let said: String = format!("**{}**\n{}", alert.title, alert.text).chars().take(room).collect();
    // A webhook that somebody called @everyone calls nobody.
    of_json(url, &json!({ "content": said + &link, "allowed_mentions": { "parse": [] } }))
}

fn slack(url: &Url, alert: &Alert) -> Posting {
    let plain = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let link = alert.link.as_ref().map_or(String::new(), |link| format!("\n<{link}|Open the dashboard>"));
    of_json(url, &json!({ "text": format!("*{}*\n{}{link}", plain(&alert.title), plain(&alert.text)) }))
}

/// A text as the value of a header; encoded by RFC 2047, which ntfy reads, where it is not ASCII.
fn header_text(text: &str) -> String {
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return text.to_owned();
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        let word = words.last_mut().expect("there is one from the beginning");
        if word.len() + c.len_utf8() > WORD_BYTES {
            words.push(c.to_string());
        } else {
            word.push(c);
        }
    }
    let encoded = words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
    encoded.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert() -> Alert {
        Alert {
            kind: AlertKind::WebhookDisabled,
            subject: "s".to_owned(),
            title: "Webhook \"A & B\" was disabled".to_owned(),
            text: "It gets <nothing>.".to_owned(),
            link: Some("https://h.example/admin/webhooks/1".to_owned()),
            at: Timestamp::parse("2026-03-01T12:00:00Z").unwrap(),
            is_test: false,
        }
    }

    fn made(form: Form, url: &str, token: Option<&str>) -> (String, Vec<(&'static str, String)>, String) {
        let posting = form.posting(&Url::parse(url).unwrap(), token, &alert()).unwrap();
        (posting.url.to_string(), posting.headers, String::from_utf8(posting.body).unwrap())
    }

    #[test]
    fn gotify_gets_its_path_below_whatever_base_it_has() {
        for (url, wanted) in [
            ("https://g.example", "https://g.example/message"),
            ("https://g.example/", "https://g.example/message"),
            ("https://h.example/gotify/", "https://h.example/gotify/message"),
            ("https://g.example/message", "https://g.example/message"),
        ] {
            let (url, headers, body) = made(Form::Gotify, url, Some("tok"));
            assert_eq!(url, wanted);
            assert!(headers.contains(&("x-gotify-key", "tok".to_owned())));
            assert!(body.contains(r#""priority":8"#), "{body}");
        }
    }

    #[test]
    fn slack_s_own_signs_are_written_as_it_asks() {
        let (_, _, body) = made(Form::Slack, "https://s.example/x", None);
        let expected = r#"{"text":"*Webhook \"A &amp; B\" was disabled*\nIt gets &lt;nothing&gt;.\n<https://h.example/admin/webhooks/1|Open the dashboard>"}"#;
        assert_eq!(body, expected);
    }

    #[test]
    fn discord_gets_no_more_than_it_takes_and_the_link_stays() {
        let long = Alert { text: "ü".repeat(3_000), ..alert() };
        let posting = Form::Discord.posting(&Url::parse("https://d.example/").unwrap(), None, &long).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&posting.body).unwrap();
        let content = body["content"].as_str().unwrap();
        assert_eq!(content.chars().count(), DISCORD_MAX);
        assert!(content.ends_with("\nhttps://h.example/admin/webhooks/1"));
        assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    }

    #[test]
    fn a_header_stays_ascii_whatever_a_webhook_is_called() {
        assert_eq!(header_text("plain"), "plain");
        assert_eq!(header_text("Größe"), "=?UTF-8?B?R3LDtsOfZQ==?=");
        let long = header_text(&"日本".repeat(40));
        assert!(long.is_ascii() && long.split(' ').all(|word| word.len() <= 75), "{long}");
        let decoded: Vec<u8> =
            long.split(' ').flat_map(|w| STANDARD.decode(&w[10..w.len() - 2]).unwrap()).collect();
        assert_eq!(String::from_utf8(decoded).unwrap(), "日本".repeat(40));
    }
}
