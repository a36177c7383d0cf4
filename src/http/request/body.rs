//! JSON bodies: read up to a limit, taken apart field by field, every problem named.
//!
//! poem's own JSON payload stops at the first problem and answers 400; clients are promised a 422 with
//! one entry a field. So [`Json`] documents a type like poem's, but hands over the raw text, and
//! [`Fields`] reads it. Values stay [`RawValue`]s until someone asks for them: a payload is never parsed
//! further than to find its end, and keeps its bytes.

use std::io;
use std::marker::PhantomData;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use poem::http::header;
use poem::{Body, Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::FieldError;
use crate::domain::values::invalid::{Complaints, escape_pointer};
use crate::domain::values::nearest;

use crate::http::problem::Problem;
use crate::http::request::budget::Share;
use crate::http::request::{client, headers};
use crate::http::state::State;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Room for what stands around a payload, in bytes.
const ENVELOPE: usize = 64 * 1024;
/// The largest body of everything else, in bytes.
const PLAIN_LIMIT: usize = 1024 * 1024;
/// The largest body with a password, in bytes: anybody may send one.
const PASSWORD_LIMIT: usize = 4 * 1024;
/// The largest batch, in bytes.
const BATCH_LIMIT: usize = 16 * 1024 * 1024;
/// What is said when all bodies together take too much.
const TOO_MANY: &str = "Too many large requests are arriving.";
/// How much room is made for a body on the word of its sender, in bytes.
const AT_ONCE: u64 = 64 * 1024;

/// How large a body of some type may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Plain,
    /// Sign-in, set-up, a new password.
    Password,
    /// One event.
    Event,
    /// A batch of events.
    Batch,
}

/// What is known of a body's type.
pub trait BodyShape: Type {
    /// Its size limit.
    const LIMIT: Limit = Limit::Plain;
    /// Whether it must be there.
    const REQUIRED: bool = true;
    /// Whether an absent one is read as `{}`.
    const MAY_BE_EMPTY: bool = !Self::REQUIRED;
}

/// The text of a JSON body that is documented as a `T`.
pub struct Json<T> {
    pub bytes: Bytes,
    /// What it takes of the memory for bodies, as long as it is worked on.
    _share: Share,
    shape: PhantomData<fn() -> T>,
}

impl<'a, T: BodyShape> ApiExtractor<'a> for Json<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType { content_type: "application/json", schema: T::schema_ref() }];
        Some(MetaRequest { description: None, content, required: T::REQUIRED })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let state = request.data::<State>().ok_or_else(Problem::internal)?;
        let limit = match T::LIMIT {
            Limit::Plain => PLAIN_LIMIT,
            Limit::Password => PASSWORD_LIMIT,
            Limit::Event => state.services.events.size_limit().saturating_add(ENVELOPE),
            Limit::Batch => BATCH_LIMIT,
        };
        let mut share = state.bodies.share(client::address(request));
        let bytes = read(request, body, limit, &mut share).await?;
        if !T::MAY_BE_EMPTY && bytes.is_empty() {
            return Err(Problem::bad_request("The body is missing; send a JSON object.").into());
        }
        let bytes = if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes };
        Ok(Json { bytes, _share: share, shape: PhantomData })
    }
}

async fn read(
    request: &Request,
    body: &mut RequestBody,
    limit: usize,
    share: &mut Share,
) -> Result<Bytes, Problem> {
    check_content_encoding(request)?;
    // The head is in memory as long as the body is waited for.
    let head = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if !share.grow(head) {
        return Err(Problem::overloaded(TOO_MANY));
    }
    let too_large = || Problem::too_large(format!("The body is larger than {limit} bytes."));
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > limit as u64) {
        return Err(too_large());
    }
    let body = body.take().map_err(|_| Problem::internal())?;
    let room = announced.unwrap_or_default().min(AT_ONCE) as usize;
    let gathering = gather(body, Vec::with_capacity(room), limit, share);
    let bytes = match tokio::time::timeout(ARRIVAL, gathering).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(Unread::TooLarge)) => return Err(too_large()),
        Ok(Err(Unread::NoMemory)) => {
            return Err(Problem::overloaded(TOO_MANY));
        }
        Ok(Err(Unread::BrokenOff(error))) => return Err(broken_off(&error)),
        Err(_) => return Err(Problem::bad_request("The body took too long to arrive.")),
    };
    // A request without a body needs no content type.
    if !bytes.is_empty() {
        check_content_type(request)?;
    }
    Ok(bytes)
}

/// Why a body was not read.
enum Unread {
    /// It has more bytes than its limit.
    TooLarge,
    /// All bodies together take too much.
    NoMemory,
    BrokenOff(io::Error),
}

/// Reads a body to its end, into a buffer of its own: what it came in belongs to the connection, and is
/// larger. (poem's own way is to carry 4 KiB through every future around it.)
async fn gather(body: Body, mut gathered: Vec<u8>, limit: usize, share: &mut Share) -> Result<Bytes, Unread> {
    let mut body: BoxBody<Bytes, io::Error> = body.into();
    while let Some(frame) = body.frame().await {
        // What is no data are trailers, which nobody wants.
        let Ok(piece) = frame.map_err(Unread::BrokenOff)?.into_data() else { continue };
        if piece.len() > limit - gathered.len() {
            return Err(Unread::TooLarge);
        }
        if !share.grow(piece.len()) {
            return Err(Unread::NoMemory);
        }
        gathered.extend_from_slice(&piece);
    }
    Ok(gathered.into())
}

/// Why a body did not come as a whole.
pub fn broken_off(error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return Problem::overloaded("The server is stopping.");
    }
    let is_malformed =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
    let causes =
        std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source());
    if causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).any(is_malformed) {
        return Problem::bad_request("The chunks of the body are malformed.");
    }
    Problem::bad_request("The connection ended before the body did.")
}

/// A body in a coding would be taken for garbage, or for another body than its sender meant.
fn check_content_encoding(request: &Request) -> Result<(), Problem> {
    match headers::single(request.headers(), header::CONTENT_ENCODING.as_str())? {
        None => Ok(()),
        Some(coding) if coding.trim().is_empty() || coding.trim().eq_ignore_ascii_case("identity") => Ok(()),
        Some(coding) => Err(Problem::unsupported_content_encoding(coding)),
    }
}

fn check_content_type(request: &Request) -> Result<(), Problem> {
    let Some(found) = headers::single(request.headers(), header::CONTENT_TYPE.as_str())? else {
        return Ok(());
    };
    let essence = found.split(';').next().unwrap_or_default().trim();
    let is_other_json = |essence: String| essence.starts_with("application/") && essence.ends_with("+json");
    let is_json =
        essence.eq_ignore_ascii_case("application/json") || is_other_json(essence.to_ascii_lowercase());
    if is_json { Ok(()) } else { Err(Problem::unsupported_media_type(found)) }
}

/// A JSON object, read field by field. What is wrong is collected in `errors`.
pub struct Fields<'a> {
    fields: Vec<(String, &'a RawValue)>,
    /// Where the object stands in the body: empty, or `/events/3`.
    prefix: String,
    pub errors: Complaints,
}

/// An object whose fields are left as they came, in their order, repeated ones included.
pub struct Object<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl<'a> Object<'a> {
    fn read(bytes: &'a Bytes) -> Result<Object<'a>, Problem> {
        serde_json::from_slice(bytes).map_err(|e| {
            let what = if e.is_data() { "not a JSON object" } else { "not valid JSON" };
            Problem::bad_request(format!("The body is {what}: {e}."))
        })
    }
}

impl<'a> Fields<'a> {
    /// Reads a whole body. `known` are the fields it may have.
    pub fn of_body(bytes: &'a Bytes, known: &[&str]) -> Result<Fields<'a>, Problem> {
        Ok(Fields::new(Object::read(bytes)?.0, String::new(), known))
    }

    /// Reads a whole body and ignores fields that nobody asks for; of one that is there twice, the last
    /// counts.
    pub fn lenient(bytes: &'a Bytes) -> Result<Fields<'a>, Problem> {
        let mut fields = Object::read(bytes)?.0;
        fields.reverse();
        Ok(Fields { fields, prefix: String::new(), errors: Complaints::default() })
    }

    /// Reads an object inside a body, at `prefix`.
    pub fn of_value(raw: &'a RawValue, prefix: String, known: &[&str]) -> Result<Fields<'a>, FieldError> {
        match serde_json::from_str::<Object<'a>>(raw.get()) {
            Ok(object) => Ok(Fields::new(object.0, prefix, known)),
            Err(_) => Err(FieldError::new(prefix, "must be an object")),
        }
    }

    fn new(fields: Vec<(String, &'a RawValue)>, prefix: String, known: &[&str]) -> Fields<'a> {
        let mut errors = Complaints::default();
        for (n, (name, _)) in fields.iter().enumerate() {
            // Of known names and complaints there are few, so that the search below is short.
            if errors.is_full() {
                break;
            }
            let pointer = || format!("{prefix}/{}", escape_pointer(name));
            if !known.contains(&name.as_str()) {
                errors.push(FieldError::new(pointer(), nearest::unknown("field", name, known)));
            } else if fields[..n].iter().any(|(earlier, _)| earlier == name) {
                errors.push(FieldError::new(pointer(), "is there twice"));
            }
        }
        Fields { fields, prefix, errors }
    }

    /// The text of a field's value, if the field is there.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, raw)| *raw)
    }

    /// A field's value as a `T`; `shape` says what that is, for people.
    pub fn get<T: Deserialize<'a>>(&mut self, name: &str, shape: &str) -> Option<T> {
        let value = serde_json::from_str(self.raw(name)?.get()).ok();
        if value.is_none() {
            self.fail(name, format!("must be {shape}"));
        }
        value
    }

    /// Like [`Fields::get`], with `null` as a value: `Some(None)`.
    pub fn nullable<T: Deserialize<'a>>(&mut self, name: &str, shape: &str) -> Option<Option<T>> {
        let value = serde_json::from_str(self.raw(name)?.get()).ok();
        if value.is_none() {
            self.fail(name, format!("must be {shape}, or null"));
        }
        value
    }

    /// Notes a missing field.
    pub fn require(&mut self, name: &str) {
        if self.raw(name).is_none() {
            self.fail(name, "is required");
        }
    }

    /// Notes a problem with a field.
    pub fn fail(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(FieldError::new(format!("{}/{name}", self.prefix), message));
    }

    /// Ends the reading: an error if anything was noted.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(self.errors.into_vec())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::values::invalid::COMPLAINTS_MAX;
    use crate::http::request::budget::Budget;
    use futures_util::{StreamExt as _, stream};
    use poem::http::StatusCode;

    fn slow(first: &'static str) -> RequestBody {
        let chunks = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(first.as_bytes()))]);
        RequestBody::new(poem::Body::from_bytes_stream(chunks.chain(stream::pending())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let started = tokio::time::Instant::now();
        let problem = read(&Request::default(), &mut slow("{"), 100, &mut Budget::of(100).share(None))
            .await
            .unwrap_err();
        assert_eq!((problem.status, started.elapsed()), (StatusCode::BAD_REQUEST, ARRIVAL));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_too_large_is_refused_before_its_end() {
        let problem = read(&Request::default(), &mut slow("0123456789"), 9, &mut Budget::of(100).share(None))
            .await
            .unwrap_err();
        assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_read_whole_up_to_its_limit() {
        let pieces = |n: usize| {
            let pieces = (0..n).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"12345")));
            RequestBody::new(poem::Body::from_bytes_stream(stream::iter(pieces)))
        };
        assert_eq!(
            read(&Request::default(), &mut pieces(2), 10, &mut Budget::of(100).share(None)).await.unwrap(),
            "1234512345"
        );
        let problem = read(&Request::default(), &mut pieces(3), 14, &mut Budget::of(100).share(None))
            .await
            .unwrap_err();
        assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn bodies_together_have_a_limit_and_give_back_what_they_took() {
        let budget = Budget::of(10);
        let (mut one, mut other) = (budget.share(None), budget.share(None));
        let pieces = || {
            let pieces = [Ok::<_, std::io::Error>(Bytes::from_static(b"123456"))];
            RequestBody::new(poem::Body::from_bytes_stream(stream::iter(pieces)))
        };
        read(&Request::default(), &mut pieces(), 10, &mut one).await.unwrap();
        let problem = read(&Request::default(), &mut pieces(), 10, &mut other).await.unwrap_err();
        assert_eq!((problem.status, problem.code), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
        drop(one);
        read(&Request::default(), &mut pieces(), 10, &mut other).await.unwrap();
    }

    #[test]
    fn only_so_many_unknown_names_are_complained_of() {
        let body = (0..10_000).map(|i| format!("\"n{i}\":1")).collect::<Vec<_>>().join(",");
        let body = Bytes::from(format!("{{{body}}}"));
        assert_eq!(Fields::of_body(&body, &["url"]).unwrap().errors.len(), COMPLAINTS_MAX);
    }
}
