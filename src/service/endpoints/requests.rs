//! `url`, `request` and `secrets` of an endpoint, checked together as they will be, and secrets sealed.

use crate::domain::endpoint::{EndpointPatch, EndpointSecret, EndpointSettings, same_origin};
use crate::domain::expr::Json;
use crate::domain::shaping::secrets::{Given, check_for_url};
use crate::domain::shaping::{Context, Shape, is_in_url, secrets};
use crate::domain::values::change::Change;
use crate::domain::values::invalid::escape_pointer;
use crate::domain::{EndpointId, FieldError, Invalid};
use crate::host::vault::Vault;
use crate::service::endpoints::endpoint_input::InputRules;

/// What a request is checked with.
pub(crate) struct Requests<'a> {
    pub vault: &'a Vault,
    pub rules: &'a InputRules,
    pub id: EndpointId,
    /// `None`: the endpoint is new.
    pub current: Option<&'a EndpointSettings>,
}

impl Requests<'_> {
    /// Checks what a patch leads to. `given` is the JSON text of `secrets`; they are sealed into the patch.
    pub(crate) fn settle(&self, patch: &mut EndpointPatch, given: Option<&str>) -> Result<(), Invalid> {
        let kept = self.current.filter(|_| !patch.replace);
        let is_untouched = patch.url.is_none()
            && patch.request == Change::Keep
            && patch.encrypted.is_none()
            && given.is_none();
        if kept.is_some() && is_untouched {
            return Ok(());
        }
        // Without a URL there is nothing to check: who makes an endpoint says that it is missing.
        let Some(url) = patch.url.as_deref().or(kept.map(|kept| kept.url.as_str())) else { return Ok(()) };
        let moves = self.current.is_some_and(|current| !same_origin(url, &current.url));
        let sealed = match (given, kept) {
            (Some(text), _) => self.seal(text, moves)?,
            (None, Some(kept)) if moves && !kept.secrets.is_empty() => {
                let message =
                    "belong to another scheme, host or port than the URL's: give them again, or null";
                return Err(Invalid::one("/secrets", message));
            }
            (None, Some(kept)) => kept.secrets.clone(),
            (None, None) => Vec::new(),
        };
        let encrypted = patch.encrypted.unwrap_or(kept.is_some_and(|kept| kept.encrypted));
        let request = match &patch.request {
            Change::Set(text) => Some(text.as_str()),
            Change::Clear => None,
            Change::Keep => kept.and_then(|kept| kept.request.as_deref()),
        };
        self.check_for_url(url, &sealed)?;
        let names: Vec<String> = sealed.iter().map(|secret| secret.name.clone()).collect();
        let signing_headers = &self.rules.signing_headers;
        let context = Context { url, secrets: &names, signing_headers, encrypted };
        match request {
            None => context.check_plain().map_err(|message| Invalid::one("/url", message))?,
            Some(text) => {
                let json = Json::parse(text).map_err(|e| Invalid::one("/request", format!("is {e}")))?;
                Shape::read(&json, context)?;
            }
        }
        patch.secrets = Some(sealed);
        Ok(())
    }

    fn seal(&self, text: &str, moves: bool) -> Result<Vec<EndpointSecret>, Invalid> {
        let current = self.current.map_or(&[][..], |current| &current.secrets);
        let names: Vec<String> = current.iter().map(|secret| secret.name.clone()).collect();
        let json = Json::parse(text).map_err(|e| Invalid::one("/secrets", format!("is {e}")))?;
        let given = secrets::read(&json, &names, moves)?;
        let sealed = given.into_iter().filter_map(|(name, given)| match given {
            Given::Value(value) => {
                let sealed = self.vault.seal_template(self.id, &name, &value);
                Some(EndpointSecret { name, sealed })
            }
            Given::Keep => current.iter().find(|secret| secret.name == name).cloned(),
        });
        Ok(sealed.collect())
    }

    /// Secrets stand in a URL as they are, so they may hold only what a URL can.
    fn check_for_url(&self, url: &str, sealed: &[EndpointSecret]) -> Result<(), Invalid> {
        let mut errors = Vec::new();
        for EndpointSecret { name, sealed } in sealed.iter().filter(|secret| is_in_url(url, &secret.name)) {
            // One that does not open is refused when it is sent.
            let Ok(value) = self.vault.open_template(self.id, name, sealed) else { continue };
            if let Err(message) = check_for_url(&value) {
                errors.push(FieldError::new(format!("/secrets/{}", escape_pointer(name)), message));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Invalid(errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::domain::network::NetworkPolicy;

    struct World {
        vault: Vault,
        rules: InputRules,
        id: EndpointId,
    }

    fn world() -> World {
        let rules =
            InputRules { policy: NetworkPolicy::default(), signing_headers: vec![], endpoints_per_app: 1 };
        World { vault: Vault::new(b"key"), rules, id: EndpointId::new(Timestamp::from_millis(0)) }
    }

    type Fields<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

    impl World {
        /// The settings after a patch of `url`, `request` and `secrets`, or where it is wrong.
        fn after(
            &self,
            current: Option<&EndpointSettings>,
            (url, request, given): Fields<'_>,
        ) -> Result<EndpointSettings, Vec<String>> {
            let requests = Requests { vault: &self.vault, rules: &self.rules, id: self.id, current };
            let request = request.map_or(Change::Keep, |text| Change::Set(text.to_owned()));
            let mut patch =
                EndpointPatch { url: url.map(str::to_owned), request, ..EndpointPatch::default() };
            match requests.settle(&mut patch, given) {
                Ok(()) => {
                    let settings = patch.into_settings();
                    let (url, secrets) = (settings.url.clone(), settings.secrets.clone());
                    let mut after = current.cloned().unwrap_or(settings);
                    if !url.is_empty() {
                        after.url = url;
                    }
                    after.secrets = secrets;
                    Ok(after)
                }
                Err(Invalid(errors)) => Err(errors.into_iter().map(|error| error.pointer).collect()),
            }
        }

        fn value(&self, settings: &EndpointSettings, name: &str) -> Option<String> {
            let secret = settings.secrets.iter().find(|secret| secret.name == name)?;
            self.vault.open_template(self.id, name, &secret.sealed).ok()
        }
    }

    const URL: &str = "https://a.example/{{ secrets.token }}";

    #[test]
    fn a_mask_keeps_a_secret_until_the_url_leads_elsewhere() {
        let world = world();
        let first = (Some(URL), Some("{}"), Some(r##"{"token":"t/1","other":"#é"}"##));
        let made = world.after(None, first).unwrap();
        assert_eq!(world.value(&made, "token").as_deref(), Some("t/1"));
        let masked = r#"{"token":"********"}"#;
        let kept = world.after(Some(&made), (None, None, Some(masked))).unwrap();
        assert_eq!((kept.secrets.len(), world.value(&kept, "token").as_deref()), (1, Some("t/1")));
        let path = Some("https://a.example/x/{{ secrets.token }}");
        assert_eq!(world.after(Some(&kept), (path, None, None)).unwrap().secrets, kept.secrets);
        let elsewhere = Some("https://b.example/{{ secrets.token }}");
        let pointer = |given| world.after(Some(&kept), (elsewhere, None, given)).unwrap_err();
        assert_eq!(pointer(None), ["/secrets"]);
        assert_eq!(pointer(Some(masked)), ["/secrets/token"]);
        let again = world.after(Some(&kept), (elsewhere, None, Some(r#"{"token":"t2"}"#))).unwrap();
        assert_eq!(world.value(&again, "token").as_deref(), Some("t2"));
    }

    #[test]
    fn url_request_and_secrets_must_fit_together() {
        let world = world();
        for (fields, pointer) in [
            ((Some(URL), None, Some(r#"{"token":"t"}"#)), "/url"),
            ((Some(URL), Some("{}"), None), "/url"),
            ((Some(URL), Some("{}"), Some(r#"{"token":"a b"}"#)), "/secrets/token"),
            ((Some(URL), Some("{}"), Some(r#"{"token":"a/../b"}"#)), "/secrets/token"),
            ((Some(URL), Some("{}"), Some(r#"{"Token":"t"}"#)), "/secrets/Token"),
            ((Some(URL), Some(r#"{"method":"GET"}"#), Some(r#"{"token":"t"}"#)), "/request/content"),
            ((Some("https://{{ payload.x }}/"), Some("{}"), None), "/url"),
            ((Some("https://a.example/"), Some("[]"), None), "/request"),
        ] {
            assert_eq!(world.after(None, fields).unwrap_err(), [pointer], "{fields:?}");
        }
    }
}
