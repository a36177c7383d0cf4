//! What several topics of `/admin/api` have in common.

use bytes::Bytes;
use poem::Request;
use poem_openapi::payload::Json as Answer;
use poem_openapi::types::{ParseFromJSON, ToJSON, Type};
use poem_openapi::{ApiResponse, Object};

use crate::http::problem::Problem;
use crate::http::request::body::Fields;
use crate::http::request::client::address;
use crate::service::people::sessions::Client;

/// A list, which is always whole.
#[derive(Object)]
pub(super) struct Whole<T: ParseFromJSON + ToJSON + Type> {
    pub(super) data: Vec<T>,
}

/// 201
#[derive(ApiResponse)]
pub(super) enum Made<T: ParseFromJSON + ToJSON + Type> {
    /// Made.
    #[oai(status = 201)]
    Made(Answer<T>),
}

/// 204
#[derive(ApiResponse)]
pub(super) enum Done {
    /// Done.
    #[oai(status = 204)]
    Done,
}

/// Required fields that are text.
pub(super) fn texts<const N: usize>(bytes: &Bytes, names: [&str; N]) -> Result<[String; N], Problem> {
    let mut fields = Fields::of_body(bytes, &names)?;
    let values = names.map(|name| {
        fields.require(name);
        fields.get::<String>(name, "text").unwrap_or_default()
    });
    fields.finish()?;
    Ok(values)
}

/// Where a request comes from.
pub(super) fn client(request: &Request) -> Client {
    let user_agent = request.headers().get("user-agent").and_then(|v| v.to_str().ok());
    Client { address: address(request), user_agent: user_agent.map(str::to_owned) }
}
