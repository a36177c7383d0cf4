//! `/in/{token}`: the URLs of sources, which other programs post to. Outside `/v1` and its conventions: no credential,
//! no session and no CORS header; every error is `{"error":"…"}`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use http_body_util::combinators::BoxBody;
use poem::http::{StatusCode, header};
use poem::{Body, Request, Response, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::Headers;
use crate::domain::inbound::request::InboundRequest;
use crate::http::problem::Problem;
use crate::http::request::body::broken_off;
use crate::http::request::budget::Share;
use crate::http::request::{client, limits};
use crate::http::state::State;
use crate::http::surface::INBOUND;
use crate::service::sources::receive::{Arriving, Begun, InboundAnswer, Unread};

pub mod render;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Larger bodies are read a few at a time.
const LARGE: usize = 64 * 1_024;
/// How much room is made for a body on the word of its sender, in bytes.
const AT_ONCE: u64 = 64 * 1_024;
/// What is said when all bodies together take too much.
const TOO_MANY: &str = "Too many large requests are arriving.";

/// Large bodies of all sources that are read at once.
const LARGE_BODIES: usize = 64;

/// Takes in requests to sources.
pub struct Door {
    large_bodies: Arc<Semaphore>,
}

impl Default for Door {
    fn default() -> Door {
        Door { large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)) }
    }
}

impl poem::Endpoint for Door {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let state = request.data::<State>().cloned().ok_or_else(Problem::internal)?;
        let (token, head) = read_head(&request);
        let receiver = &state.services.receiver;
        let begun = match receiver.begin(&token, head).await.map_err(Problem::from)? {
            Some(begun) => begun,
            // As after a wrong credential: it costs the address.
            None => {
                limits::count_stranger(&request, &state)?;
                return Err(Problem::not_found("There is no such source.").into());
            }
        };
        let arriving = match begun {
            Begun::Answer(answer) => return Ok(respond(answer)),
            Begun::Body(arriving) => arriving,
        };
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let mut share = state.bodies.share(client::address(&request));
        // The head is in memory as long as the body is waited for.
        if !share.grow(arriving.request.head_size()) {
            return Err(Problem::overloaded(TOO_MANY).into());
        }
        let reading = Reading { limit: receiver.body_size(), announced: announced.unwrap_or_default() };
        let body = request.take_body();
        let read = self.read(body, reading, &arriving, &mut share).await;
        let answer = match read {
            Ok(body) => receiver.finish(arriving, body).await,
            Err(NotRead::Unread(why)) => receiver.unread(&arriving, why).await,
            Err(NotRead::Problem(problem)) => return Err(problem.into()),
        };
        Ok(respond(answer.map_err(Problem::from)?))
    }
}

/// How a body is read.
#[derive(Debug, Clone, Copy)]
struct Reading {
    limit: usize,
    announced: u64,
}

/// Why a body was not read.
enum NotRead {
    /// For the inbound log.
    Unread(Unread),
    Problem(Problem),
}

impl Door {
    async fn read(
        &self,
        body: Body,
        reading: Reading,
        arriving: &Arriving,
        share: &mut Share,
    ) -> std::result::Result<Bytes, NotRead> {
        if reading.announced > reading.limit as u64 {
            return Err(NotRead::Unread(Unread::TooLarge));
        }
        let gathering = self.gather(body, reading, arriving, share);
        match tokio::time::timeout(ARRIVAL, gathering).await {
            Ok(read) => read,
            Err(_) => Err(NotRead::Unread(Unread::TooSlow)),
        }
    }

    async fn gather(
        &self,
        body: Body,
        reading: Reading,
        arriving: &Arriving,
        share: &mut Share,
    ) -> std::result::Result<Bytes, NotRead> {
        let mut body: BoxBody<Bytes, io::Error> = body.into();
        let mut gathered = Vec::with_capacity(reading.announced.min(AT_ONCE) as usize);
        let mut turn = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| NotRead::Problem(broken_off(&error)))?;
            let Ok(piece) = frame.into_data() else { continue };
            if piece.len() > reading.limit - gathered.len() {
                return Err(NotRead::Unread(Unread::TooLarge));
            }
            if turn.is_none() && gathered.len() + piece.len() > LARGE {
                turn = Some(self.turn(arriving).await);
            }
            if !share.grow(piece.len()) {
                return Err(NotRead::Problem(Problem::overloaded(TOO_MANY)));
            }
            gathered.extend_from_slice(&piece);
        }
        Ok(gathered.into())
    }

    /// Waits until a large body may be read: few of one source, and few in all.
    async fn turn(&self, arriving: &Arriving) -> [Option<OwnedSemaphorePermit>; 2] {
        let of_source = arriving.ready.large_bodies.clone().acquire_owned().await.ok();
        let of_all = self.large_bodies.clone().acquire_owned().await.ok();
        [of_source, of_all]
    }
}

/// The token, and the head of the request as the rules look at it.
fn read_head(request: &Request) -> (String, InboundRequest) {
    let path = request.uri().path().strip_prefix(INBOUND).unwrap_or_default().trim_start_matches('/');
    let (token, rest) = path.split_once('/').unwrap_or((path, ""));
    let headers: Headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let head = InboundRequest {
        method: request.method().as_str().to_owned(),
        rest: decoded(rest),
        query: InboundRequest::read_query(request.uri().query().unwrap_or_default()),
        headers,
        body: Bytes::new(),
        client: client::address(request),
        url: String::new(),
    };
    (token.to_owned(), head)
}

/// A path, percent-decoded; `+` is no space there.
fn decoded(path: &str) -> String {
    let query = format!("={}", path.replace('+', "%2B").replace('&', "%26"));
    let mut pairs = InboundRequest::read_query(&query);
    pairs.pop().map(|(_, value)| value).unwrap_or_default()
}

fn respond(answer: InboundAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::builder().status(status);
    if let Some(content_type) = answer.content_type {
        response = response.content_type(content_type);
    }
    if let Some(seconds) = answer.retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    if let Some(allow) = answer.allow {
        response = response.header(header::ALLOW, allow);
    }
    response.body(answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::Uri;

    #[test]
    fn the_token_is_the_first_segment_and_the_rest_is_decoded() {
        for (uri, token, rest) in [
            ("/in/abc", "abc", ""),
            ("/in/abc/", "abc", ""),
            ("/in/abc/a%20b+c/d%26e?x=1", "abc", "a b+c/d&e"),
            ("/in", "", ""),
        ] {
            let request = Request::builder().uri(uri.parse::<Uri>().unwrap()).finish();
            let (found, head) = read_head(&request);
            assert_eq!((found.as_str(), head.rest.as_str()), (token, rest), "{uri}");
        }
    }
}
