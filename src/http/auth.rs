//! Who may call an operation, said by the type of its first argument.
//!
//! An operation that takes a [`ReadWebhooks`] is called with the scope `webhooks:read`, or not at all;
//! there is no way to write one that forgets to ask. The same type tells the OpenAPI document which
//! scope it is: it stands there as the name of a security scheme until `v1::openapi` puts the two real
//! forms of credentials in its place.

use poem::{Request, RequestBody};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::domain::Scope;
use crate::service::auth::Credentials;
use crate::service::live::StillAllowed;
use crate::service::{Caller, ServiceError};

use super::problem::Problem;
use super::{State, limits};

/// Says who is calling, and that they may, and counts the request against its limit.
async fn authorize(request: &Request, scope: Scope) -> Result<(Caller, State), Problem> {
    let state = request.data::<State>().ok_or_else(Problem::internal)?;
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let credentials = Credentials {
        authorization: header("authorization"),
        client_key: header("x-client-key"),
        client_secret: header("x-client-secret"),
        app_id: header("x-app-id"),
    };
    let auth = &state.services.auth;
    let identified = match auth.identify(credentials).await {
        Ok(identified) => identified,
        Err(error @ (ServiceError::Unauthorized | ServiceError::BadRequest(_))) => {
            limits::count_stranger(request, state)?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    let may = identified.scopes.allows(scope);
    // Posted events have a limit of their own, and are counted when it is known how many they are.
    if may && scope == Scope::EventsWrite {
        limits::may_post(request, state, &identified.actor)?;
    } else {
        limits::count_request(request, state, &identified.actor)?;
    }
    if !may {
        return Err(ServiceError::Forbidden(scope).into());
    }
    let caller = auth.caller(identified, credentials.app_id, limits::address(request)).await?;
    Ok((caller, state.clone()))
}

macro_rules! scoped {
    ($($(#[$doc:meta])* $name:ident = $scope:ident, $text:literal;)*) => {$(
        $(#[$doc])*
        pub struct $name {
            pub caller: Caller,
            pub state: State,
        }

        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
            type ParamType = ();
            type ParamRawType = ();

            fn security_schemes() -> Vec<&'static str> {
                vec![$text]
            }

            async fn from_request(
                request: &'a Request,
                _: &mut RequestBody,
                _: ExtractParamOptions<()>,
            ) -> poem::Result<Self> {
                let (caller, state) = authorize(request, Scope::$scope).await?;
                Ok($name { caller, state })
            }
        }
    )*};
}

scoped! {
    /// `webhooks:read`
    ReadWebhooks = WebhooksRead, "webhooks:read";
    /// `webhooks:write`
    WriteWebhooks = WebhooksWrite, "webhooks:write";
    /// `events:read`
    ReadEvents = EventsRead, "events:read";
    /// `events:write`
    WriteEvents = EventsWrite, "events:write";
    /// `admin`
    Admin = Admin, "admin";
}

impl ReadWebhooks {
    /// Asks again, for an answer that goes on for long, whether what the request presented is still good.
    pub fn still_allowed(&self, request: &Request) -> StillAllowed {
        let (headers, state) = (request.headers().clone(), self.state.clone());
        Box::new(move || {
            let mut again = Request::builder().finish();
            *again.headers_mut() = headers.clone();
            again.set_data(state.clone());
            Box::pin(async move { authorize(&again, Scope::WebhooksRead).await.is_ok() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_the_scope_that_is_asked_for() {
        for (named, asked) in [
            (ReadWebhooks::security_schemes(), Scope::WebhooksRead),
            (WriteWebhooks::security_schemes(), Scope::WebhooksWrite),
            (ReadEvents::security_schemes(), Scope::EventsRead),
            (WriteEvents::security_schemes(), Scope::EventsWrite),
            (Admin::security_schemes(), Scope::Admin),
        ] {
            assert_eq!(named, [asked.as_str()]);
        }
    }
}
