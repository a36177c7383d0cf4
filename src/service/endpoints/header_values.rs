//! The values of a webhook's own headers: secret ones are encrypted, and a mask keeps what is stored.

use crate::domain::endpoint::{self, EndpointHeader, HeaderValue};
use crate::domain::values::invalid::escape_pointer;
use crate::domain::{EndpointId, FieldError, Invalid, Sealed};
use crate::host::vault::Vault;
use crate::service::endpoints::endpoint_input::{HeaderInput, keeps_value};

/// Encrypts the secret values that a client gave; `current` has those that a mask keeps.
pub(super) fn seal(
    vault: &Vault,
    id: EndpointId,
    given: Vec<(String, HeaderInput)>,
    current: &[EndpointHeader],
) -> Result<Vec<EndpointHeader>, Invalid> {
    let (mut headers, mut errors, mut bytes) = (Vec::with_capacity(given.len()), Vec::new(), 0);
    for (name, value) in given {
        let value = match value {
            HeaderInput::Secret(_) if keeps_value(&value) => match kept(&name, current) {
                Some(sealed) => {
                    // One that does not open is refused when it is sent.
                    bytes += vault.open_header(id, &name, &sealed).map_or(0, |value| value.len());
                    HeaderValue::Secret(sealed)
                }
                None => {
                    let message = "is masked, but there is no secret value to keep; write the value itself";
                    errors.push(FieldError::new(format!("/headers/{}", escape_pointer(&name)), message));
                    continue;
                }
            },
            HeaderInput::Secret(text) => {
                bytes += text.len();
                HeaderValue::Secret(vault.seal_header(id, &name, &text))
            }
            HeaderInput::Plain(text) => {
                bytes += text.len();
                HeaderValue::Plain(text)
            }
        };
        headers.push(EndpointHeader { name, value });
    }
    if let Err(message) = endpoint::check_header_values(bytes) {
        errors.push(FieldError::new("/headers", message));
    }
    if errors.is_empty() { Ok(headers) } else { Err(Invalid(errors)) }
}

/// The sealed value of a secret header that is there already.
fn kept(name: &str, current: &[EndpointHeader]) -> Option<Sealed> {
    let known = current.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
    match &known.value {
        HeaderValue::Secret(sealed) => Some(sealed.clone()),
        HeaderValue::Plain(_) => None,
    }
}
