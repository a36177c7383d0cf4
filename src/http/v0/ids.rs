//! Ids as `/api/v0` writes them: `wh_` and `app_` and 32 hexadecimal digits. Both are read with hyphens,
//! too.

use uuid::Uuid;

use crate::domain::{AppId, EndpointId};

/// An endpoint's id.
pub(super) fn webhook(id: EndpointId) -> String {
    format!("wh_{}", id.as_uuid().simple())
}

/// An app's id.
pub(super) fn app(id: AppId) -> String {
    format!("app_{}", id.as_uuid().simple())
}

/// Reads an endpoint's id.
pub(super) fn parse_webhook(text: &str) -> Option<EndpointId> {
    let uuid = text.strip_prefix("wh_")?;
    // `Uuid` reads other spellings besides these two: braces, a URN.
    let known = matches!(uuid.len(), 32 | 36) && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    Uuid::try_parse(uuid).ok().filter(|_| known).map(EndpointId::from_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn both_forms_of_an_id_are_read() {
        let id = EndpointId::new(Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(parse_webhook(&webhook(id)), Some(id));
        assert_eq!(parse_webhook(&format!("wh_{id}")), Some(id));
        for text in ["", "wh_", "wh_1", &id.to_string(), &format!("app_{id}"), &format!("wh_{{{id}}}")] {
            assert_eq!(parse_webhook(text), None, "{text}");
        }
    }
}
