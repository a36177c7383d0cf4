//! The integrations of the demo: a source that gets requests like those of GitHub, and two webhooks that make messages
//! of its events, one for a chat and one for a phone. They are set up by the recipes of the gallery.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::DemoError;
use super::message::CHAT_PATH;
use super::receiver::Receiver;
use crate::app::Server;
use crate::domain::SigningSecret;
use crate::domain::inbound::request::InboundRequest;
use crate::domain::signing::signature;
use crate::service::endpoints::{self, endpoint_input};
use crate::service::sources::receive::Begun;
use crate::service::{Caller, ServiceError};

/// The receivers. Only the demo knows these hosts.
pub(super) const CHAT_HOST: &str = "discord.example";
pub(super) const PHONE_HOST: &str = "ntfy.example";

/// The requests: name of the event, and body.
const REQUESTS: [(&str, &str); 2] = [
    (
        "release",
        r#"{"action":"published","release":{"name":"1.4.0","tag_name":"v1.4.0","body":"Faster checkout\n@everyone: please test","html_url":"https://github.com/ada/storefront/releases/v1.4.0"},"repository":{"full_name":"ada/storefront"}}"#,
    ),
    (
        "workflow_run",
        r#"{"action":"completed","workflow_run":{"name":"Tests","conclusion":"failure","html_url":"https://github.com/ada/storefront/actions/runs/7"},"repository":{"full_name":"ada/storefront"}}"#,
    ),
];
/// The request of the command that the demo shows.
const SHOWN: (&str, &str) = (
    "issues",
    r#"{"action":"opened","issue":{"number":8,"title":"Cart is empty"},"repository":{"full_name":"ada/storefront"}}"#,
);

/// How many requests reach the plain webhook of the demo, and how many messages are shown: both in the chat, and the
/// failure on the phone.
pub(super) const EXPECTED: usize = REQUESTS.len() + 3;

/// The source of the demo.
pub(super) struct Source {
    pub(super) url: String,
    secret: SigningSecret,
}

/// Creates the source and the two webhooks.
pub(super) async fn create(
    server: &Server,
    caller: &Caller,
    receiver: &Receiver,
) -> Result<Source, DemoError> {
    let secret = endpoints::manage::new_secret();
    let preset = json!({ "name": "github", "inputs": { "secret": secret.as_str() } });
    let fields = Map::from_iter([("preset".to_owned(), preset)]);
    let source = server.services().sources.create(caller, fields).await?;

    let port = receiver.address.port();
    let chat = json!({ "webhook_url": format!("http://{CHAT_HOST}:{port}{CHAT_PATH}") });
    webhook(server, caller, "discord", &chat, json!({ "name": "Chat (discord.example)" })).await?;
    let phone = json!({ "server": format!("http://{PHONE_HOST}:{port}"), "topic": "storefront" });
    let own = json!({ "name": "Phone (ntfy.example)", "filter": "summary.level in ['warning', 'error']" });
    webhook(server, caller, "ntfy", &phone, own).await?;
    Ok(Source { url: source.url, secret })
}

async fn webhook(
    server: &Server,
    caller: &Caller,
    recipe: &str,
    inputs: &Value,
    own: Value,
) -> Result<(), DemoError> {
    let endpoints = &server.services().endpoints;
    let mut fields = json!({
        "preset": { "name": recipe, "inputs": inputs },
        "events": ["github.*"],
        // Nobody limits here, and a person does not wait for the third message.
        "rate_limit": null,
    });
    for (name, value) in own.as_object().into_iter().flatten() {
        fields[name] = value.clone();
    }
    let checked = endpoint_input::read_object(&fields, endpoints.input_rules());
    endpoints.create(caller, checked.map_err(ServiceError::from)?).await?;
    Ok(())
}

impl Source {
    /// Sends what GitHub would send, signed.
    pub(super) async fn post(&self, server: &Server) -> Result<(), DemoError> {
        let token = self.url.rsplit('/').next().unwrap_or_default();
        let receiver = &server.services().receiver;
        for (name, body) in REQUESTS {
            let headers = [
                ("content-type", "application/json"),
                ("x-github-event", name),
                ("x-github-delivery", name),
                ("x-hub-signature-256", &self.sign(body)),
            ];
            let request = InboundRequest {
                method: "POST".to_owned(),
                headers: headers.into_iter().collect(),
                ..InboundRequest::default()
            };
            if let Some(Begun::Body(arriving)) = receiver.begin(token, request).await? {
                receiver.finish(arriving, Bytes::from_static(body.as_bytes())).await?;
            }
        }
        Ok(())
    }

    /// GitHub's signature is the plain form of ours, with the text of the secret as the key.
    fn sign(&self, body: &str) -> String {
        signature::plain(&self.secret, body.as_bytes())
    }

    /// A command that sends one more.
    pub(super) fn command(&self) -> String {
        let (name, body) = SHOWN;
        format!(
            "curl -s {} -H 'X-GitHub-Event: {name}' \\\n    -H 'X-Hub-Signature-256: {}' \\\n    -d '{body}'",
            self.url,
            self.sign(body)
        )
    }
}
