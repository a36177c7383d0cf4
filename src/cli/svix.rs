//! Reads a Svix server (API v1, as of 1.x) into a document for import.
//!
//! Applications become apps, and endpoints become webhooks with their secrets, so receivers need no change:
//! Svix's libraries verify Standard Webhooks headers too. Settings without a counterpart are left out, each
//! with a note.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use url::Url;
use uuid::Uuid;

use crate::delivery::sending::client;
use crate::delivery::sending::guard::Guard;
use crate::domain::network::NetworkPolicy;
use crate::domain::{Span, Timestamp};
use crate::service::moving::document::{AppPart, Document, FORM, HeaderPart, WebhookPart};

/// Items per page; Svix allows at most 250.
const PER_PAGE: u32 = 100;
/// Seconds to connect.
const CONNECT: u32 = 10;
/// For a whole request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Requests sent before a 429 is an error.
const TRIES: u32 = 5;

/// A page of a list.
#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
    iterator: Option<String>,
    done: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Application {
    id: String,
    name: String,
    uid: Option<String>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    id: String,
    uid: Option<String>,
    url: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    disabled: bool,
    filter_types: Option<Vec<String>>,
    /// The name of `filterTypes` in newer versions.
    event_types: Option<Vec<String>>,
    channels: Option<Vec<String>>,
    rate_limit: Option<i64>,
    created_at: Option<String>,
}

#[derive(Deserialize)]
struct Secret {
    key: String,
}

#[derive(Deserialize)]
struct Headers {
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    sensitive: Vec<String>,
}

struct Svix<'a> {
    client: Client,
    base: String,
    token: &'a str,
}

/// Reads everything; the notes name what was left out. The error is a sentence.
pub(super) async fn read(url: &str, token: &str) -> Result<(Document, Vec<String>), String> {
    let base = Url::parse(url).map_err(|e| format!("--url {url:?} is not a URL: {e}"))?;
    // The operator chose this address; the guard is for URLs of tenants.
    let anywhere = ["0.0.0.0/0", "::/0"].map(|net| net.parse().expect("these are networks"));
    let guard = Guard::new(NetworkPolicy::new(anywhere.to_vec()));
    let client = client::build(guard, &Span::from_secs(CONNECT)).map_err(|e| e.to_string())?;
    let svix = Svix { client, base: base.as_str().trim_end_matches('/').to_owned(), token };
    let (mut apps, mut notes, mut names) = (Vec::new(), Vec::new(), HashSet::new());
    for application in svix.list::<Application>("/api/v1/app/").await? {
        let place = format!("application {}", application.id);
        let mut webhooks = Vec::new();
        for endpoint in svix.list::<Endpoint>(&format!("/api/v1/app/{}/endpoint/", application.id)).await? {
            let part = svix.webhook(&application, endpoint, &place, &mut notes).await?;
            webhooks.push(serde_json::to_value(part).expect("a part is plain JSON"));
        }
        let mut name = application.name.clone();
        if !names.insert(name.clone()) {
            let other = application.uid.as_ref().unwrap_or(&application.id);
            name = format!("{name} ({other})");
            names.insert(name.clone());
            notes.push(format!(
                "{place}: another application is also named {:?}; imported as {name:?}",
                application.name
            ));
        }
        apps.push(AppPart {
            id: Some(id_of(&application.id, application.created_at.as_deref())),
            name,
            created_at: application.created_at,
            webhooks,
            sources: Vec::new(),
            keys: Vec::new(),
        });
    }
    let document =
        Document { postrider_export: FORM, version: None, exported_at: None, with_secrets: true, apps };
    Ok((document, notes))
}

impl Svix<'_> {
    async fn webhook(
        &self,
        application: &Application,
        endpoint: Endpoint,
        place: &str,
        notes: &mut Vec<String>,
    ) -> Result<WebhookPart, String> {
        let path = format!("/api/v1/app/{}/endpoint/{}", application.id, endpoint.id);
        let place = format!("{place}, endpoint {}", endpoint.id);
        let secret: Secret = self.get(&format!("{path}/secret/")).await?;
        let found: Headers = self.get(&format!("{path}/headers/")).await?;
        if let Some(channels) = endpoint.channels.filter(|channels| !channels.is_empty()) {
            let channels = channels.join(", ");
            notes.push(format!("{place}: channels are not supported; left out: {channels}"));
        }
        for name in &found.sensitive {
            notes.push(format!(
                "{place}: Svix does not reveal the value of the header {name}; set it yourself"
            ));
        }
        let headers = found.headers.into_iter().filter(|(name, _)| {
            !found.sensitive.iter().any(|sensitive| sensitive.eq_ignore_ascii_case(name))
        });
        let lists = [endpoint.filter_types, endpoint.event_types];
        let event_types = lists.into_iter().flatten().find(|types| !types.is_empty());
        Ok(WebhookPart {
            id: Some(id_of(&endpoint.id, endpoint.created_at.as_deref())),
            name: endpoint.uid,
            url: endpoint.url,
            description: Some(endpoint.description).filter(|text| !text.is_empty()),
            events: event_types.unwrap_or(vec!["*".to_owned()]),
            filter: None,
            headers: headers.map(|(name, value)| (name, HeaderPart::Plain(value))).collect(),
            request: None,
            secrets: BTreeMap::new(),
            encrypted: false,
            retry_schedule: None,
            timeout: None,
            rate_limit: endpoint.rate_limit.map(serde_json::Value::from),
            contact: None,
            preset_mark: None,
            status: if endpoint.disabled { "disabled" } else { "active" }.to_owned(),
            created_at: endpoint.created_at,
            signing_secret: Some(secret.key),
        })
    }

    /// A whole list, page by page.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, String> {
        let (mut all, mut after): (_, Option<String>) = (Vec::new(), None);
        loop {
            let mut query = format!("{path}?limit={PER_PAGE}");
            if let Some(iterator) = &after {
                let pairs = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("iterator", iterator)
                    .finish();
                query = format!("{query}&{pairs}");
            }
            let page: List<T> = self.get(&query).await?;
            all.extend(page.data);
            // A server that returns the same cursor again would loop forever.
            if page.done || page.iterator.is_none() || page.iterator == after {
                return Ok(all);
            }
            after = page.iterator;
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        for _ in 0..TRIES {
            let url = format!("{}{path}", self.base);
            let request = self.client.get(&url).bearer_auth(self.token).timeout(TIMEOUT);
            let response =
                request.send().await.map_err(|e| format!("cannot reach Svix at {url}: {}", cause(&e)))?;
            let status = response.status();
            let wait = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
            if status == StatusCode::TOO_MANY_REQUESTS {
                tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1).min(60))).await;
                continue;
            }
            let text = response
                .text()
                .await
                .map_err(|e| format!("the response of {url} was cut off: {}", cause(&e)))?;
            if !status.is_success() {
                let hint = match status.as_u16() {
                    401 | 403 => "; check the token (--token-file)",
                    404 => "; check --url: is this a Svix server?",
                    _ => "",
                };
                return Err(format!("Svix responded with {} to {path}{hint}", status.as_u16()));
            }
            return serde_json::from_str(&text)
                .map_err(|e| format!("the response to {path} is not in Svix's format: {e}"));
        }
        Err(format!("Svix keeps responding with 429 to {path}; try again later"))
    }
}

/// The root cause of an error.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(next) = innermost.source() {
        innermost = next;
    }
    innermost.to_string()
}

/// A stable id, so that a second import finds the objects of the first. It is a UUIDv7 like all ids: the
/// creation time, then bits of a hash of Svix's id.
fn id_of(svix_id: &str, created_at: Option<&str>) -> String {
    let created = created_at.and_then(Timestamp::parse).map_or(0, Timestamp::as_millis);
    let hash = Sha256::digest(svix_id.as_bytes());
    let bits: [u8; 10] = hash[..10].try_into().expect("a hash has more bytes");
    let created = u64::try_from(created).unwrap_or(0);
    uuid_of(created, &bits).hyphenated().to_string()
}

fn uuid_of(millis: u64, bits: &[u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(millis, bits).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EndpointId;

    #[test]
    fn an_id_is_the_same_each_time_and_has_the_form_of_all_ids() {
        let made = Some("2024-05-01T10:00:00.123Z");
        let id = id_of("ep_1", made);
        assert_eq!(id, id_of("ep_1", made));
        assert_ne!(id, id_of("ep_2", made));
        let id: EndpointId = id.parse().unwrap();
        assert_eq!(id.as_uuid().get_version_num(), 7);
        assert!(
            id_of("ep_1", made) < id_of("ep_1", Some("2024-05-01T10:00:00.124Z")),
            "older ones sort first"
        );
    }
}
