//! What people would see of a request to the demo's chat or phone.

use serde_json::Value;

/// Where the chat gets messages, as Discord has it.
pub(super) const CHAT_PATH: &str = "/api/webhooks/1234/demo";
/// Where the phone gets them: ntfy takes JSON at its root.
const PHONE_PATH: &str = "/";

/// A message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// `chat` or `phone`.
    pub(super) place: &'static str,
    pub(super) title: String,
    pub(super) text: String,
}

impl Message {
    /// Reads a request; `None` for another path.
    pub(super) fn of(path: &str, body: &[u8]) -> Option<Message> {
        let (place, title, text) = match path {
            CHAT_PATH => ("chat", "/embeds/0/title", "/embeds/0/description"),
            PHONE_PATH => ("phone", "/title", "/message"),
            _ => return None,
        };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let at = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Message { place, title: at(title), text: at(text) })
    }
}
