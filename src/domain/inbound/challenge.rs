//! Questions with which a sender checks that a URL belongs to who registers it: it wants a text back. Only the kind
//! that the source names is answered, or every source would be a reflector of anybody's text.

use serde_json::Value;
use subtle::ConstantTimeEq as _;

use crate::domain::inbound::request::InboundRequest;
use crate::domain::inbound::verify::SecretText;

/// The longest text that is sent back, in bytes.
pub const TEXT_MAX: usize = 1_024;
const TWITCH_HEADER: &str = "twitch-eventsub-message-type";

/// The kind that a source answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    Slack,
    Dropbox,
    Microsoft,
    Twitch,
    Meta { verify_token: SecretText },
}

/// What becomes of a request that is a challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The text to send back.
    Text(String),
    /// The text is none that is sent back.
    Unfit(&'static str),
    /// It does not know the token of the source.
    Refused(&'static str),
}

impl Challenge {
    /// The kinds that are only a word.
    pub const WORDS: [&'static str; 4] = ["slack", "dropbox", "microsoft", "twitch"];

    /// Reads one of [`Challenge::WORDS`].
    pub fn parse(word: &str) -> Option<Challenge> {
        match word {
            "slack" => Some(Challenge::Slack),
            "dropbox" => Some(Challenge::Dropbox),
            "microsoft" => Some(Challenge::Microsoft),
            "twitch" => Some(Challenge::Twitch),
            _ => None,
        }
    }

    /// The word for the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Challenge::Slack => "slack",
            Challenge::Dropbox => "dropbox",
            Challenge::Microsoft => "microsoft",
            Challenge::Twitch => "twitch",
            Challenge::Meta { .. } => "meta",
        }
    }

    /// The answer to a challenge that its sender does not sign, before any verifier is asked.
    pub fn unsigned(&self, request: &InboundRequest) -> Option<Answer> {
        match self {
            Challenge::Dropbox if request.method == "GET" => request.parameter("challenge").map(fit),
            Challenge::Microsoft => request.parameter("validationToken").map(fit),
            Challenge::Meta { verify_token }
                if request.method == "GET" && request.parameter("hub.mode") == Some("subscribe") =>
            {
                let given = request.parameter("hub.verify_token").unwrap_or_default();
                if !bool::from(given.as_bytes().ct_eq(verify_token.as_str().as_bytes())) {
                    return Some(Answer::Refused("challenge: hub.verify_token has another value"));
                }
                Some(fit(request.parameter("hub.challenge").unwrap_or_default()))
            }
            _ => None,
        }
    }

    /// The answer to a challenge that its sender signs, after the verifiers.
    pub fn signed(&self, request: &InboundRequest) -> Option<Answer> {
        let is_one = match self {
            Challenge::Slack => true,
            Challenge::Twitch => request.header(TWITCH_HEADER) == Some("webhook_callback_verification"),
            Challenge::Dropbox | Challenge::Microsoft | Challenge::Meta { .. } => false,
        };
        let body: Value = if is_one { serde_json::from_slice(&request.body).ok()? } else { return None };
        if *self == Challenge::Slack && body["type"] != "url_verification" {
            return None;
        }
        Some(fit(body["challenge"].as_str().unwrap_or_default()))
    }

    /// The query parameters that are secret.
    pub fn parameter(&self) -> Option<&'static str> {
        matches!(self, Challenge::Meta { .. }).then_some("hub.verify_token")
    }
}

fn fit(text: &str) -> Answer {
    if text.is_empty() {
        Answer::Unfit("challenge: is empty")
    } else if text.len() > TEXT_MAX {
        Answer::Unfit("challenge: is longer than 1024 characters")
    } else if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        Answer::Unfit("challenge: has characters other than printable ASCII")
    } else {
        Answer::Text(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(query: &str) -> InboundRequest {
        let query = InboundRequest::read_query(query);
        InboundRequest { method: "GET".to_owned(), query, ..InboundRequest::default() }
    }

    fn post(query: &str, body: &str) -> InboundRequest {
        InboundRequest { method: "POST".to_owned(), body: body.to_owned().into(), ..get(query) }
    }

    fn text(text: &str) -> Option<Answer> {
        Some(Answer::Text(text.to_owned()))
    }

    #[test]
    fn each_kind_is_answered_as_its_sender_asks() {
        assert_eq!(Challenge::Dropbox.unsigned(&get("challenge=abc")), text("abc"));
        assert_eq!(Challenge::Microsoft.unsigned(&post("validationToken=a+b%3A%20c", "")), text("a b: c"));
        assert_eq!(Challenge::Microsoft.unsigned(&get("validationToken=x")), text("x"));
        let slack = r#"{"type":"url_verification","challenge":"3eZb"}"#;
        assert_eq!(Challenge::Slack.signed(&post("", slack)), text("3eZb"));
        let headers =
            [("twitch-eventsub-message-type", "webhook_callback_verification")].into_iter().collect();
        let twitch = InboundRequest { headers, ..post("", r#"{"challenge":"pogchamp"}"#) };
        assert_eq!(Challenge::Twitch.signed(&twitch), text("pogchamp"));
    }

    #[test]
    fn meta_is_asked_for_its_token() {
        let meta = Challenge::Meta { verify_token: SecretText::new("tok") };
        let ask =
            |token: &str| get(&format!("hub.mode=subscribe&hub.challenge=1158&hub.verify_token={token}"));
        assert_eq!(meta.unsigned(&ask("tok")), text("1158"));
        for token in ["", "to", "tokk", "TOK"] {
            assert!(matches!(meta.unsigned(&ask(token)), Some(Answer::Refused(_))), "{token}");
        }
        assert_eq!(meta.unsigned(&get("hub.mode=unsubscribe&hub.verify_token=tok&hub.challenge=1")), None);
    }

    #[test]
    fn other_requests_and_other_kinds_are_no_challenge() {
        let slack = r#"{"type":"url_verification","challenge":"3eZb"}"#;
        let dropbox = get("challenge=abc");
        for challenge in [Challenge::Slack, Challenge::Twitch] {
            assert_eq!((challenge.unsigned(&dropbox), challenge.signed(&dropbox)), (None, None));
        }
        for challenge in [Challenge::Dropbox, Challenge::Microsoft, Challenge::Twitch] {
            assert_eq!(
                (challenge.unsigned(&post("", slack)), challenge.signed(&post("", slack))),
                (None, None)
            );
        }
        assert_eq!(Challenge::Dropbox.unsigned(&post("challenge=abc", "")), None);
        assert_eq!(Challenge::Slack.signed(&post("", r#"{"type":"event_callback","challenge":"x"}"#)), None);
        assert_eq!(Challenge::Slack.signed(&post("", "{")), None);
    }

    #[test]
    fn what_a_browser_could_take_for_something_else_is_not_sent_back() {
        let long = format!("challenge={}", "x".repeat(TEXT_MAX + 1));
        for query in ["challenge=", "challenge=%C3%A9", "challenge=a%0Ab", &long] {
            assert!(matches!(Challenge::Dropbox.unsigned(&get(query)), Some(Answer::Unfit(_))), "{query}");
        }
        assert_eq!(
            Challenge::Slack.signed(&post("", r#"{"type":"url_verification","challenge":5}"#)),
            Some(fit(""))
        );
    }
}
