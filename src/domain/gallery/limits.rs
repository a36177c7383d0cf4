//! Whether a rendered body is within the limits of its receiver.

use crate::domain::expr::Json;
use crate::domain::gallery::{Limit, Preset, Unit};

impl Unit {
    /// How much of it a text has. Of characters at least as many as any receiver counts: UTF-16 units.
    fn count(self, text: &str) -> usize {
        match self {
            Unit::Characters => text.encode_utf16().count(),
            Unit::Bytes => text.len(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Unit::Characters => "characters",
            Unit::Bytes => "bytes",
        }
    }
}

impl Limit {
    /// What is over this limit, as a sentence.
    fn over(&self, body: &str, json: &Json<'_>) -> Option<String> {
        let (pointer, max, unit) = (self.pointer.as_deref()?, self.max?, self.unit?);
        let count = match pointer {
            "" => unit.count(body),
            pointer => unit.count(json.pointer(pointer)?.as_str()?),
        };
        let place = if pointer.is_empty() { "The body" } else { pointer };
        let word = unit.word();
        (count > max as usize).then(|| {
            format!("{place} has {count} {word}, which is over the limit of the receiver: {}", self.text)
        })
    }
}

impl Preset {
    /// What of a rendered body is over the receiver's limits, as sentences. A form is read like an object of texts.
    pub fn over_limits(&self, body: &str, is_form: bool) -> Vec<String> {
        let json = if is_form {
            let fields = url::form_urlencoded::parse(body.as_bytes());
            Json::object(fields.map(|(name, value)| (name, Json::text(value))))
        } else {
            Json::parse(body).unwrap_or(Json::Null)
        };
        self.limits.iter().filter_map(|limit| limit.over(body, &json)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::gallery::{Side, find};

    #[test]
    fn what_is_over_a_limit_is_said_with_its_place() {
        let discord = find(Side::Destination, "discord").unwrap();
        let body = |title: &str| format!(r#"{{"embeds":[{{"title":"{title}"}}]}}"#);
        assert_eq!(discord.over_limits(&body(&"a".repeat(256)), false), [""; 0]);
        let over = discord.over_limits(&body(&"😀".repeat(129)), false);
        assert_eq!(over.len(), 1);
        assert!(over[0].starts_with("/embeds/0/title has 258 characters, which is over"), "{over:?}");
        let zulip = find(Side::Destination, "zulip").unwrap();
        assert_eq!(zulip.over_limits(&format!("topic={}", "+".repeat(60)), true), [""; 0]);
        assert_eq!(zulip.over_limits(&format!("topic={}", "+".repeat(61)), true).len(), 1);
        let matrix = find(Side::Destination, "matrix").unwrap();
        assert!(matrix.over_limits(&"a".repeat(65_537), false)[0].starts_with("The body has 65537 bytes"));
    }
}
