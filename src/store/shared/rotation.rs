//! The rotation of an endpoint's signing secret.

use crate::domain::endpoint::{RetiredSecret, SIGNING_SECRETS_MAX};
use crate::domain::{Endpoint, Sealed, Timestamp};

/// Replaces the secret; see [`crate::store::EndpointStore::endpoint_rotate`]. Where too many secrets would sign, the
/// time until which the oldest one does is the error, and the endpoint is not to be written.
pub(crate) fn rotate(
    endpoint: &mut Endpoint,
    secret: Sealed,
    retire_at: Option<Timestamp>,
    end_oldest: bool,
    now: Timestamp,
) -> Result<(), Timestamp> {
    let old = std::mem::replace(&mut endpoint.secret, secret);
    let retired = &mut endpoint.retired_secrets;
    match retire_at {
        None => retired.clear(),
        Some(valid_until) => {
            retired.retain(|retired| retired.valid_until > now);
            let room = SIGNING_SECRETS_MAX - 2;
            match retired.get(room..).and_then(<[_]>::last) {
                Some(oldest) if !end_oldest => return Err(oldest.valid_until),
                _ => retired.truncate(room),
            }
            retired.insert(0, RetiredSecret { secret: old, valid_until });
        }
    }
    endpoint.updated_at = now;
    Ok(())
}
