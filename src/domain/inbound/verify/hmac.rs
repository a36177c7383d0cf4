//! An HMAC as a source describes it: which header, which hash, over what.

use ::hmac::{Hmac, KeyInit as _, Mac as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};

use crate::domain::Timestamp;
use crate::domain::inbound::request::InboundRequest;
use crate::domain::inbound::verify::{
    Algorithm, Content, Encoding, HmacCheck, KeyForm, Piece, SecretText, any_secret, is_header_name,
    is_recent,
};

impl HmacCheck {
    /// The headers that it reads.
    pub(super) fn headers(&self) -> Vec<&str> {
        let named = self.content.pieces.iter().filter_map(|piece| match piece {
            Piece::Header(name) => Some(name.as_str()),
            _ => None,
        });
        [self.header.as_str()].into_iter().chain(self.timestamp.as_deref()).chain(named).collect()
    }
}

/// Whether the header has the HMAC of the request.
pub(super) fn verify(
    check: &HmacCheck,
    secrets: &[SecretText],
    request: &InboundRequest,
    now: Timestamp,
) -> Result<(), String> {
    let value = request.header(&check.header).ok_or_else(|| format!("{} is missing", check.header))?;
    let prefix = check.prefix.as_deref().unwrap_or_default();
    let encoded =
        value.strip_prefix(prefix).ok_or_else(|| format!("{} does not begin with {prefix}", check.header))?;
    let signature = decode(check.encoding, encoded.trim()).ok_or_else(|| {
        let form = if check.encoding == Encoding::Hex { "hexadecimal" } else { "base64" };
        format!("{} is not {form}", check.header)
    })?;
    let timestamp = match &check.timestamp {
        Some(name) => Some((name, request.header(name).ok_or_else(|| format!("{name} is missing"))?)),
        None => None,
    };
    let parts = parts(&check.content, request, timestamp.map(|(_, text)| text).unwrap_or_default())?;
    let holds = any_secret(secrets, |secret| match key(check.key, secret) {
        Some(key) => mac(check.algorithm, &key, &parts).ct_eq(&signature),
        None => Choice::from(0),
    });
    if !holds {
        return Err(does_not_match(&request.body));
    }
    match timestamp {
        Some((name, text)) => is_recent(name, text, check.tolerance.as_millis_i64(), now),
        None => Ok(()),
    }
}

/// Why a signature is another one: the usual causes can be seen in the body.
pub(super) fn does_not_match(body: &[u8]) -> String {
    let ending = if body.ends_with(b"\n") { " and ends in a line break" } else { "" };
    let plural = if body.len() == 1 { "byte" } else { "bytes" };
    format!("does not match; the body has {} {plural}{ending}", body.len())
}

fn parts<'a>(
    content: &'a Content,
    request: &'a InboundRequest,
    timestamp: &'a str,
) -> Result<Vec<&'a [u8]>, String> {
    let part = |piece: &'a Piece| {
        Ok(match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Body => &request.body,
            Piece::Timestamp => timestamp.as_bytes(),
            Piece::Header(name) => {
                request.header(name).ok_or_else(|| format!("{name} is missing"))?.as_bytes()
            }
            Piece::Url => request.url.as_bytes(),
        })
    };
    content.pieces.iter().map(part).collect()
}

/// The bytes of a key; `None` when the text is not what its form says.
pub(super) fn key(form: KeyForm, secret: &str) -> Option<Vec<u8>> {
    match form {
        KeyForm::Text => Some(secret.as_bytes().to_vec()),
        KeyForm::Hex => hex::decode(secret).ok(),
        KeyForm::Base64 => STANDARD.decode(secret).ok(),
    }
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok(),
    }
}

/// The HMAC (RFC 2104) over the parts, one after another.
pub(super) fn mac(algorithm: Algorithm, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    macro_rules! over {
        ($hash:ty) => {{
            let mut mac = Hmac::<$hash>::new_from_slice(key).expect("HMAC takes a key of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match algorithm {
        Algorithm::Sha256 => over!(Sha256),
        Algorithm::Sha1 => over!(Sha1),
        Algorithm::Sha512 => over!(Sha512),
    }
}

impl Content {
    /// Reads `{timestamp}.{body}`. The error is a sentence.
    pub fn parse(text: &str) -> Result<Content, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (name, after) = after.split_once('}').ok_or("has a { without its }")?;
            pieces.push(match (name, name.strip_prefix("header:")) {
                ("body", _) => Piece::Body,
                ("timestamp", _) => Piece::Timestamp,
                ("url", _) => Piece::Url,
                (_, Some(header)) if is_header_name(header) => Piece::Header(header.to_owned()),
                _ => {
                    return Err(format!(
                        "{{{name}}} is none of {{body}}, {{timestamp}}, {{header:NAME}} and {{url}}"
                    ));
                }
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        match pieces.iter().filter(|piece| **piece == Piece::Body).count() {
            0 => return Err("must contain {body}: without it anybody could change the body".to_owned()),
            // Each takes as long as the body is; no sender signs it twice.
            2.. => return Err("may contain {body} once".to_owned()),
            1 => {}
        }
        Ok(Content { text: text.to_owned(), pieces })
    }

    /// Whether the time is a part of it.
    pub fn has_timestamp(&self) -> bool {
        self.pieces.contains(&Piece::Timestamp)
    }
}
