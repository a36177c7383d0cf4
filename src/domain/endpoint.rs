//! An endpoint: where to send, what, and how. The APIs call it *webhook*.

use crate::domain::values::change::{ApplyTo as _, Change};
use crate::domain::values::preset_mark::{self, PresetMark};
use crate::domain::values::rate::Rate;
use crate::domain::values::words::words;
use url::{Host, Url};

use super::{AppId, EndpointId, EventPattern, Sealed, Span, Timestamp};
use crate::domain::attempts::retry::Schedule;

/// The host of the built-in receiver; nobody can own it, and no resolver answers for it.
pub const ECHO_HOST: &str = "echo.postrider.invalid";
/// The URL of the built-in receiver, which answers in the process.
pub const ECHO_URL: &str = "http://echo.postrider.invalid/";

/// The longest URL, in characters.
pub const URL_MAX: usize = 2_048;
/// The longest name, in characters.
pub const NAME_MAX_CHARS: usize = 100;
/// The longest description, in characters.
pub const DESCRIPTION_MAX_CHARS: usize = 500;
/// The most headers of its own.
pub const HEADERS_MAX: usize = 20;
/// The longest header value, in bytes.
pub const HEADER_VALUE_MAX: usize = 8 * 1_024;
/// The longest sum of all header values of an endpoint, in bytes: every attempt carries and logs them.
pub const HEADER_VALUES_MAX: usize = 16 * 1_024;
/// The longest header name, in bytes.
pub const HEADER_NAME_MAX: usize = 128;
/// The longest timeout that can be set, in milliseconds.
pub const TIMEOUT_MAX_MS: u64 = 30_000;
/// The highest rate limit, in requests a second.
pub const RATE_LIMIT_MAX: u32 = 10_000;
/// What reads show for a secret header value; writing it back keeps the value.
pub const MASK: &str = "********";

words! {
    /// Whether an endpoint gets anything.
    pub enum EndpointStatus {
        /// Gets events.
        Active = "active",
        /// By a person: deliveries are queued and wait.
        Paused = "paused",
        /// By the failure counter, a 410 or a person: new events make no delivery.
        Disabled = "disabled",
    }
}

/// A header that every request to the endpoint carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointHeader {
    /// As it was given; names are compared without regard to case.
    pub name: String,
    pub value: HeaderValue,
}

/// The value of an endpoint's own header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue {
    Plain(String),
    /// Encrypted at rest and masked wherever it is shown.
    Secret(Sealed),
}

/// A value that the templates of an endpoint's request can use. It is encrypted at rest, and masked wherever it
/// is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSecret {
    pub name: String,
    pub sealed: Sealed,
}

/// A signing secret that still signs beside its successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredSecret {
    pub secret: Sealed,
    pub valid_until: Timestamp,
}

/// The settings of an endpoint, each with the type that changes it: `Option` where there always is a value,
/// [`Change`] where there may be none.
macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $stored:ty, changed by $change:ty;)*) => {
        /// Everything about an endpoint that a person chooses. The default has no URL and no events, and is
        /// only a start.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct EndpointSettings { $($(#[$doc])* pub $field: $stored,)* }

        /// What changes about an endpoint, from the request to the transaction.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct EndpointPatch {
            /// Settings that are not given get their defaults, instead of staying as they are.
            pub replace: bool,
            $($(#[$doc])* pub $field: $change,)*
            /// Set by a person: clears `status_reason`; `Active` also clears the failure counter;
            /// `Disabled` cancels what is pending.
            pub status: Option<EndpointStatus>,
        }

        impl EndpointSettings {
            /// The names of all settings, as the APIs and storage have them.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($field),)*];

            fn patch(&mut self, patch: EndpointPatch) {
                if patch.replace {
                    *self = EndpointSettings::default();
                }
                $(patch.$field.apply_to(&mut self.$field);)*
                if self.name.is_empty() {
                    self.name = name_of_url(&self.url);
                }
            }
        }
    };
}

settings! {
    url: String, changed by Option<String>;
    /// Empty in a patch: the host of the URL.
    name: String, changed by Option<String>;
    description: Option<String>, changed by Change<String>;
    /// Never empty.
    events: Vec<EventPattern>, changed by Option<Vec<EventPattern>>;
    /// An expression over the event; `None`: every event that the patterns match.
    filter: Option<String>, changed by Change<String>;
    headers: Vec<EndpointHeader>, changed by Option<Vec<EndpointHeader>>;
    /// The attribute `request`, as JSON text; `None`: a plain request with the event's payload.
    request: Option<String>, changed by Change<String>;
    /// What the templates of the request call `secrets.NAME`.
    secrets: Vec<EndpointSecret>, changed by Option<Vec<EndpointSecret>>;
    /// Whether bodies are sent as JWE.
    encrypted: bool, changed by Option<bool>;
    /// `None`: the configured one.
    retry_schedule: Option<Schedule>, changed by Change<Schedule>;
    /// `None`: the configured one.
    timeout: Option<Span>, changed by Change<Span>;
    /// `None`: no limit.
    rate_limit: Option<Rate>, changed by Change<Rate>;
    /// An e-mail address or a URL that gets the endpoint's alerts, too.
    contact: Option<String>, changed by Change<String>;
    /// The recipe that it was made with.
    preset: Option<PresetMark>, changed by Change<PresetMark>;
}

impl EndpointSettings {
    /// A digest of what a recipe sets of an endpoint: all but the values of secrets.
    pub fn preset_digest(&self) -> String {
        // Read and written again, so that white space and the order of keys do not count.
        let request: Option<serde_json::Value> =
            self.request.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let rate = self.rate_limit.map(Rate::to_json);
        let mut secrets: Vec<&str> = self.secrets.iter().map(|secret| secret.name.as_str()).collect();
        secrets.sort_unstable();
        preset_mark::digest(serde_json::json!([self.url, request, rate, secrets]).to_string().as_bytes())
    }

    /// Whether it is other than its recipe has made it.
    pub fn is_preset_changed(&self) -> bool {
        self.preset.as_ref().is_some_and(|preset| preset.digest != self.preset_digest())
    }
}

impl EndpointPatch {
    /// Whether secret header values that nobody gave again would go to another scheme, host or port.
    pub fn moves_secrets(&self, current: &EndpointSettings) -> bool {
        let moves = self.url.as_ref().is_some_and(|url| !same_origin(url, &current.url));
        let old: Vec<&HeaderValue> = current.headers.iter().map(|header| &header.value).collect();
        let after = match &self.headers {
            Some(headers) => headers,
            None if self.replace => return false,
            None => &current.headers,
        };
        let is_old = |header: &EndpointHeader| {
            matches!(header.value, HeaderValue::Secret(_)) && old.contains(&&header.value)
        };
        moves && after.iter().any(is_old)
    }

    /// The settings of a new endpoint.
    pub fn into_settings(self) -> EndpointSettings {
        let mut settings = EndpointSettings::default();
        settings.patch(self);
        settings
    }

    /// Changes an endpoint.
    pub fn apply(self, endpoint: &mut Endpoint, now: Timestamp) {
        if let Some(status) = self.status {
            if status != endpoint.status {
                endpoint.status_since = now;
            }
            endpoint.status = status;
            endpoint.status_reason = None;
            if status == EndpointStatus::Active {
                endpoint.consecutive_failures = 0;
            }
        }
        endpoint.settings.patch(self);
        endpoint.updated_at = now;
    }
}

/// An endpoint as storage has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub app_id: AppId,
    pub settings: EndpointSettings,
    pub status: EndpointStatus,
    /// A sentence: why it is not active. `None` when a person set the status.
    pub status_reason: Option<String>,
    /// When the status was set.
    pub status_since: Timestamp,
    /// The secret that signs.
    pub secret: Sealed,
    /// Older ones that still sign beside it, newest first.
    pub retired_secrets: Vec<RetiredSecret>,
    /// Failed attempts since the last 2xx.
    pub consecutive_failures: u32,
    /// When its filter could last not decide, and why; a sentence.
    pub filter_error: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Endpoint {
    /// A new one, active.
    pub fn new(
        id: EndpointId,
        app_id: AppId,
        settings: EndpointSettings,
        secret: Sealed,
        now: Timestamp,
    ) -> Endpoint {
        Endpoint {
            id,
            app_id,
            settings,
            status: EndpointStatus::Active,
            status_reason: None,
            filter_error: None,
            status_since: now,
            secret,
            retired_secrets: vec![],
            consecutive_failures: 0,
            created_at: now,
            updated_at: now,
        }
    }

    /// One for unit tests, with nothing special about it. Its secret opens with no key.
    #[cfg(test)]
    pub(crate) fn sample(app_id: AppId, at: Timestamp) -> Endpoint {
        let settings = EndpointSettings {
            url: "https://example.com/".to_owned(),
            name: "n".to_owned(),
            events: vec![EventPattern::All],
            headers: vec![EndpointHeader {
                name: "authorization".to_owned(),
                value: HeaderValue::Plain("a-known-value".to_owned()),
            }],
            ..EndpointSettings::default()
        };
        Endpoint::new(EndpointId::new(at), app_id, settings, Sealed(b"a-known-value".to_vec()), at)
    }
}

/// Whether two URLs have the same scheme, host and port; what cannot be read is like nothing else.
pub fn same_origin(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => one.origin() == other.origin(),
        _ => false,
    }
}

/// Checks the form of a URL; where its host may lead is the network policy's matter. The error is a
/// sentence for the caller.
pub fn parse_url(text: &str) -> Result<Url, String> {
    if text.chars().count() > URL_MAX {
        return Err(format!("is longer than {URL_MAX} characters"));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("contains white space or a control character; percent-encode it".to_owned());
    }
    let url = Url::parse(text)
        .map_err(|e| format!("is not a URL ({e}); write https://host/path or http://host/path"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {:?}; only http and https are possible", url.scheme()));
    }
    // `https:host` and `https:///host` are repaired by the URL standard; here they are more likely slips.
    let after_scheme = &text[url.scheme().len()..];
    if !after_scheme.starts_with("://") || after_scheme.starts_with(":///") {
        return Err("must have the form https://host/path".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
        return Err("contains credentials; use a secret header instead".to_owned());
    }
    if url.fragment().is_some() {
        return Err("contains a fragment (#…), which is never sent; remove it".to_owned());
    }
    if url.port() == Some(0) {
        return Err("has port 0, which cannot be connected to".to_owned());
    }
    match url.host() {
        Some(Host::Domain(name)) if !name.trim_end_matches('.').is_empty() => Ok(url),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Ok(url),
        _ => Err("has no host".to_owned()),
    }
}

fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest)
}

/// The name of an endpoint that was given none: the host of its URL.
pub fn name_of_url(url: &str) -> String {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or("webhook");
    host.chars().take(NAME_MAX_CHARS).collect()
}

/// Names that an endpoint's own header cannot have: ours, `Host`, what frames the message, and what is
/// hop-by-hop (RFC 9110, section 7.6.1).
const RESERVED_HEADERS: &[&str] = &[
    "host",
    "content-type",
    "content-length",
    "content-encoding",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-webhook-event",
    "x-webhook-attempt",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "accept-encoding",
];

/// The most secrets that sign at the same time: the current one and four that a rotation retires.
pub const SIGNING_SECRETS_MAX: usize = 5;

/// Checks a header name of an endpoint. `signing_headers` are the configured names of the plain HMAC
/// headers. The error is a sentence for the caller.
pub fn check_header_name(name: &str, signing_headers: &[String]) -> Result<(), String> {
    // RFC 9110, section 5.6.2: token.
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > HEADER_NAME_MAX || !name.bytes().all(token) {
        return Err(format!(
            "{name:?} is not a header name: use 1 to {HEADER_NAME_MAX} letters, digits and '-'"
        ));
    }
    // A CGI program gets both X-Name and X_Name as HTTP_X_NAME, so it could not tell them apart.
    let as_cgi = |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let seen = as_cgi(name);
    let ours = RESERVED_HEADERS.contains(&seen.as_str()) || signing_headers.iter().any(|h| as_cgi(h) == seen);
    if ours {
        return Err(format!(
            "the header {name} is set by Postrider or by the connection; choose another name"
        ));
    }
    Ok(())
}

/// Checks a header value of an endpoint. The error is a sentence for the caller.
pub fn check_header_value(value: &str) -> Result<(), String> {
    if value.len() > HEADER_VALUE_MAX {
        return Err(format!("is longer than {HEADER_VALUE_MAX} bytes"));
    }
    // RFC 9110, section 5.5: visible characters, and spaces and tabs between them. Bytes above 127
    // are left out because receivers disagree about what they mean.
    if !value.bytes().all(|b| (0x20..0x7f).contains(&b) || b == b'\t') {
        return Err("contains a control character or one outside ASCII".to_owned());
    }
    if value.trim_matches([' ', '\t']) != value {
        return Err("begins or ends with white space, which would not arrive".to_owned());
    }
    Ok(())
}

/// Checks the sum of the lengths of an endpoint's header values. The error is a sentence for the caller.
pub fn check_header_values(bytes: usize) -> Result<(), String> {
    if bytes > HEADER_VALUES_MAX {
        return Err(format!("has {bytes} bytes of values in all; at most {HEADER_VALUES_MAX} are possible"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_urls_are_taken() {
        for text in [
            "https://example.com",
            "http://example.com:8080/hooks?x=1&y=%20",
            "https://93.184.216.34/",
            "https://[2606:2800:220:1::1]/x",
            "https://bücher.example/",
        ] {
            assert!(parse_url(text).is_ok(), "{text}");
        }
        let longest = format!("https://example.com/{}", "x".repeat(URL_MAX - 20));
        assert!(parse_url(&longest).is_ok());
        assert!(parse_url(&format!("{longest}x")).is_err());
    }

    #[test]
    fn other_urls_are_refused() {
        for text in [
            "",
            "example.com",
            "/hooks",
            "ftp://example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https:example.com",
            "https:///example.com",
            "https://",
            "https://user@example.com/",
            "https://user:secret@example.com/",
            "https://@example.com/",
            "https://example.com/#part",
            "https://example.com/a b",
            "https://example.com/a\tb",
            "https://example.com/\r\nX: y",
            "https://exa\u{0}mple.com/",
            "https://example.com:0/",
            "https://example.com:99999/",
            "https://./",
        ] {
            assert!(parse_url(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn secrets_move_with_the_scheme_the_host_and_the_port_alone() {
        let sealed = |value: &[u8]| EndpointHeader {
            name: "Authorization".to_owned(),
            value: HeaderValue::Secret(Sealed(value.to_vec())),
        };
        let current = EndpointSettings {
            url: "https://example.com/a".to_owned(),
            headers: vec![sealed(b"old")],
            ..EndpointSettings::default()
        };
        let to = |url: &str| EndpointPatch { url: Some(url.to_owned()), ..EndpointPatch::default() };
        for url in ["https://example.com:443/b?c=d", "https://EXAMPLE.com/", "https://example.com/a"] {
            assert!(!to(url).moves_secrets(&current), "{url}");
        }
        for url in ["http://example.com/a", "https://example.com:8443/a", "https://example.org/a", "?"] {
            assert!(to(url).moves_secrets(&current), "{url}");
            let headers = |header| EndpointPatch { headers: Some(vec![header]), ..to(url) };
            assert!(headers(sealed(b"old")).moves_secrets(&current), "{url}");
            assert!(!headers(sealed(b"new")).moves_secrets(&current), "{url}");
            assert!(!EndpointPatch { replace: true, ..to(url) }.moves_secrets(&current), "{url}");
        }
        assert!(!EndpointPatch::default().moves_secrets(&current));
    }

    #[test]
    fn headers_of_ours_and_of_the_connection_are_refused() {
        let signing = ["X-Webhook-Signature".to_owned()];
        for name in ["Host", "content-LENGTH", "webhook-id", "x-webhook-signature", "Transfer-Encoding", "TE"]
        {
            assert!(check_header_name(name, &signing).is_err(), "{name}");
        }
        for name in ["X_Webhook_Signature", "webhook_id", "Content_Type", "x.webhook.signature"] {
            assert!(check_header_name(name, &signing).is_err(), "a CGI program reads {name} as ours");
        }
        for name in ["", "a b", "a:b", "é", "a\r\nb"] {
            assert!(check_header_name(name, &signing).is_err(), "{name:?}");
        }
        for name in ["Authorization", "X-Api-Key", "X_Api_Key", "Title"] {
            assert!(check_header_name(name, &signing).is_ok(), "{name}");
        }
    }

    #[test]
    fn header_values_stay_on_their_line() {
        assert!(check_header_value("Bearer abc def").is_ok());
        assert!(check_header_value("").is_ok());
        for value in ["a\r\nb: c", "a\nb", "a\0b", "ü", " a", "a ", &"x".repeat(HEADER_VALUE_MAX + 1)] {
            assert!(check_header_value(value).is_err(), "{value:?}");
        }
    }
}
