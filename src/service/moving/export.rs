//! Makes the document.

use crate::domain::endpoint::HeaderValue;
use crate::domain::values::rate::Rate;
use crate::domain::{AppId, Endpoint, Key, Span, Timestamp};
use crate::host::vault::{CannotOpen, Vault};
use crate::service::{Result, ServiceError};
use crate::store::{EndpointFilter, PageRequest, Start, Store};

use super::document::{AppPart, Document, FORM, HeaderPart, KeyPart, WebhookPart};
use super::export_sources;

/// Endpoints that are read at once.
const PAGE: u32 = 200;

/// All apps with their webhooks, sources and keys; secrets in clear, or left out.
pub async fn export(
    store: &dyn Store,
    vault: &Vault,
    with_secrets: bool,
    now: Timestamp,
) -> Result<Document> {
    let opened = vault;
    let vault = with_secrets.then_some(vault);
    let mut apps = Vec::new();
    for app in store.app_list().await? {
        let mut endpoints = endpoints(store, app.id).await?;
        // Oldest first, so that two exports differ at their ends.
        endpoints.reverse();
        let webhooks = endpoints.iter().map(|endpoint| webhook(endpoint, vault).map(json));
        let webhooks = webhooks.collect::<std::result::Result<_, _>>();
        let sources = export_sources::all(store, app.id).await?;
        let sources =
            sources.iter().map(|source| export_sources::part(source, opened, with_secrets).map(json));
        let sources = sources.collect::<Result<_>>()?;
        let mut keys = store.key_list(Some(app.id)).await?;
        keys.reverse();
        apps.push(AppPart {
            id: Some(app.id.to_string()),
            name: app.name,
            created_at: Some(app.created_at.to_string()),
            webhooks: webhooks.map_err(|error| ServiceError::Internal(Box::new(error)))?,
            sources,
            keys: keys.iter().map(|found| json(key(found))).collect(),
        });
    }
    Ok(Document {
        postrider_export: FORM,
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        exported_at: Some(now.to_string()),
        with_secrets: vault.is_some(),
        apps,
    })
}

fn json(part: impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(part).expect("the parts are plain JSON")
}

async fn endpoints(store: &dyn Store, app: AppId) -> Result<Vec<Endpoint>> {
    let mut all = Vec::new();
    let mut start = Start::Page(1);
    loop {
        let page = PageRequest { start, per_page: PAGE };
        let found = store.endpoint_list(app, EndpointFilter::default(), page).await?;
        all.extend(found.rows);
        match found.next {
            Some(next) => start = Start::After(next),
            None => return Ok(all),
        }
    }
}

/// A webhook as the document has it.
pub(super) fn webhook(
    endpoint: &Endpoint,
    vault: Option<&Vault>,
) -> std::result::Result<WebhookPart, CannotOpen> {
    let settings = &endpoint.settings;
    let mut headers = std::collections::BTreeMap::new();
    for header in &settings.headers {
        let value = match (&header.value, vault) {
            (HeaderValue::Plain(value), _) => HeaderPart::Plain(value.clone()),
            (HeaderValue::Secret(_), None) => HeaderPart::Secret { secret: None },
            (HeaderValue::Secret(sealed), Some(vault)) => {
                HeaderPart::Secret { secret: Some(vault.open_header(endpoint.id, &header.name, sealed)?) }
            }
        };
        headers.insert(header.name.clone(), value);
    }
    let mut secrets = std::collections::BTreeMap::new();
    for secret in &settings.secrets {
        let opened = vault.map(|vault| vault.open_template(endpoint.id, &secret.name, &secret.sealed));
        secrets.insert(secret.name.clone(), opened.transpose()?);
    }
    let secret = vault.map(|vault| vault.open_signing_secret(endpoint.id, &endpoint.secret)).transpose()?;
    Ok(WebhookPart {
        id: Some(endpoint.id.to_string()),
        name: Some(settings.name.clone()),
        url: settings.url.clone(),
        description: settings.description.clone(),
        events: settings.events.iter().map(ToString::to_string).collect(),
        filter: settings.filter.clone(),
        headers,
        request: settings.request.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        secrets,
        encrypted: settings.encrypted,
        retry_schedule: settings
            .retry_schedule
            .as_ref()
            .map(|schedule| schedule.waits().iter().map(Span::to_string).collect()),
        timeout: settings.timeout.as_ref().map(Span::to_string),
        rate_limit: settings.rate_limit.map(Rate::to_json),
        contact: settings.contact.clone(),
        preset_mark: settings.preset.clone(),
        status: endpoint.status.as_str().to_owned(),
        created_at: Some(endpoint.created_at.to_string()),
        signing_secret: secret.map(|secret| secret.as_str().to_owned()),
    })
}

fn key(found: &Key) -> KeyPart {
    let text = |at: Timestamp| at.to_string();
    KeyPart {
        id: found.id.clone(),
        name: found.name.clone(),
        scopes: found.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        secret_sha256: hex::encode(found.secret_hash.0),
        created_at: Some(text(found.created_at)),
        expires_at: found.expires_at.map(text),
        revoked_at: found.revoked_at.map(text),
    }
}
