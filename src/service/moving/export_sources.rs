//! Sources as the document has them: their attributes as in the API, and with secrets the token of the URL, so that
//! senders go on working after a move.

use serde_json::Value;

use super::document::SourcePart;
use crate::domain::AppId;
use crate::domain::inbound::source::{Source, attributes};
use crate::host::vault::Vault;
use crate::service::sources::readied::open_guard;
use crate::service::{Result, ServiceError};
use crate::store::{PageRequest, Start, Store};

/// Sources that are read at once.
const PAGE: u32 = 200;

/// The sources of an app, oldest first.
pub(super) async fn all(store: &dyn Store, app: AppId) -> Result<Vec<Source>> {
    let (mut all, mut start) = (Vec::new(), Start::Page(1));
    loop {
        let found = store.source_list(app, PageRequest { start, per_page: PAGE }).await?;
        all.extend(found.rows);
        match found.next {
            Some(next) => start = Start::After(next),
            None => break,
        }
    }
    all.reverse();
    Ok(all)
}

/// A source as the document has it; with secrets, in clear, or with masks.
pub(super) fn part(source: &Source, vault: &Vault, with_secrets: bool) -> Result<SourcePart> {
    let guard = open_guard(vault, source)?;
    let mut fields = attributes(&source.settings, &guard);
    let token = vault.open_source(source.id, "token", &source.token);
    let token = token.map_err(|e| ServiceError::Internal(Box::new(e)))?;
    if with_secrets && let Value::Object(clear) = guard.in_clear() {
        fields.extend(clear);
    }
    Ok(SourcePart {
        id: Some(source.id.to_string()),
        token: with_secrets.then_some(token),
        preset_mark: source.preset.clone(),
        created_at: Some(source.created_at.to_string()),
        attributes: fields,
    })
}
