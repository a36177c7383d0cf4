use crate::domain::signing::verification::*;

const PAYLOAD: &[u8] = br#"{"b": 1.0, "a": [12345678901234567890123]}"#;
const ID: &str = "evt_0198c2f46b2f7d1199aa3c4e5f607182";

fn secret(n: u8) -> SigningSecret {
    SigningSecret::from_key(&[n; 32])
}

fn at() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_500)
}

fn endpoint(n: u128) -> EndpointId {
    EndpointId::from_uuid(uuid::Uuid::from_u128(n))
}

/// A request that was signed with these secrets, and the log's row of it.
fn request(secrets: &[SigningSecret], body: &[u8]) -> ReceivedRequest {
    let headers = [
        ("webhook-id", ID.to_owned()),
        ("webhook-timestamp", at().as_secs().to_string()),
        ("webhook-signature", signature::standard(secrets, ID, at().as_secs(), body)),
        ("x-plain", signature::plain(&secrets[0], body)),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
    ReceivedRequest { headers, body: body.to_vec(), at: None }
}

fn sent(seen: &ReceivedRequest) -> LoggedRequest {
    LoggedRequest {
        endpoint_id: endpoint(1),
        headers: seen.headers.iter().cloned().collect(),
        body: Some(seen.body.clone()),
    }
}

struct Case {
    secrets: Vec<SigningSecret>,
    ended: Vec<SigningSecret>,
    payload: Option<Vec<u8>>,
    sent: Vec<LoggedRequest>,
    encrypted: bool,
    at: Timestamp,
}

impl Default for Case {
    fn default() -> Case {
        let (secrets, at) = (vec![secret(1)], at());
        Case { secrets, ended: vec![], payload: None, sent: vec![], encrypted: false, at }
    }
}

impl Case {
    fn diagnose(&self, seen: &ReceivedRequest) -> Diagnosis {
        let plain_headers = ["X-Plain".to_owned()];
        let known = Evidence {
            endpoint_id: endpoint(1),
            encrypted: self.encrypted,
            plain_headers: &plain_headers,
            secrets: &self.secrets,
            ended: &self.ended,
            payload: self.payload.as_deref(),
            sent: &self.sent,
            at: self.at,
            stop: &AtomicBool::new(false),
        };
        diagnose(seen, &known)
    }

    /// The reasons for the two schemes.
    fn reasons(&self, seen: &ReceivedRequest) -> Vec<Option<&'static str>> {
        self.diagnose(seen).checks.iter().map(|check| check.reason.map(Reason::as_str)).collect()
    }
}

fn with(mut seen: ReceivedRequest, name: &str, value: Option<&str>) -> ReceivedRequest {
    seen.headers.retain(|(known, _)| known != name);
    seen.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    seen
}

#[test]
fn an_unchanged_request_is_valid_in_both_schemes() {
    let diagnosis = Case::default().diagnose(&request(&[secret(1)], PAYLOAD));
    assert!(diagnosis.is_valid());
    let schemes: Vec<_> = diagnosis.checks.iter().map(|c| (c.scheme.as_str(), c.header.as_str())).collect();
    assert_eq!(schemes, [("standard_webhooks", "webhook-signature"), ("hmac_sha256", "X-Plain")]);
    let shouted = request(&[secret(1)], PAYLOAD);
    let headers = shouted.headers.iter().map(|(n, v)| (n.to_ascii_uppercase(), format!(" {v} "))).collect();
    assert!(Case::default().diagnose(&ReceivedRequest { headers, ..shouted }).is_valid());
}

#[test]
fn missing_and_malformed_headers_are_named() {
    let genuine = || request(&[secret(1)], PAYLOAD);
    let none = Case::default().diagnose(&ReceivedRequest::default());
    assert_eq!(none.decisive().reason, Some(Reason::HeaderMissing));
    assert!(none.decisive().detail.contains("webhook-signature, X-Plain"), "{}", none.decisive().detail);
    for (name, value, reason) in [
        ("webhook-id", None, "header_missing"),
        ("webhook-timestamp", None, "header_missing"),
        ("webhook-timestamp", Some("yesterday"), "header_malformed"),
        ("webhook-timestamp", Some("-5"), "header_malformed"),
        ("webhook-timestamp", Some(""), "header_malformed"),
        ("webhook-signature", Some("v1,short"), "header_malformed"),
        ("webhook-signature", Some(""), "header_malformed"),
        ("x-plain", Some("sha256=xyz"), "header_malformed"),
        ("x-plain", Some("0123"), "header_malformed"),
    ] {
        let diagnosis = Case::default().diagnose(&with(genuine(), name, value));
        let check = diagnosis.decisive();
        assert_eq!(check.reason.map(Reason::as_str), Some(reason), "{name} {value:?}");
        assert!(check.detail.to_ascii_lowercase().contains(name), "{}", check.detail);
    }
    // One scheme alone is enough, as receivers check one.
    assert_eq!(Case::default().reasons(&with(genuine(), "x-plain", None)), [None]);
    assert_eq!(Case::default().reasons(&with(genuine(), "webhook-signature", None)), [None]);
}

#[test]
fn the_tolerance_is_inclusive_in_both_directions() {
    let seen = request(&[secret(1)], PAYLOAD);
    for (off, outside) in [(-301, true), (-300, false), (300, false), (301, true)] {
        let case = Case { at: at().plus_ms(off * 1_000), ..Case::default() };
        let reason = outside.then_some("timestamp_outside_tolerance");
        assert_eq!(case.reasons(&seen), [reason, None], "{off}");
    }
}

#[test]
fn old_secrets_are_recognized_during_and_after_a_rotation() {
    let both = Case { secrets: vec![secret(2), secret(1)], ..Case::default() };
    // As it was sent before the rotation: the plain header has no overlap.
    let before = request(&[secret(1)], PAYLOAD);
    assert_eq!(both.reasons(&before), [None, Some("old_secret")]);
    assert_eq!(both.reasons(&request(&[secret(2), secret(1)], PAYLOAD)), [None, None]);
    let ended = Case { secrets: vec![secret(2)], ended: vec![secret(1)], ..Case::default() };
    assert_eq!(ended.reasons(&before), [Some("old_secret"); 2]);
    // The secret is gone, but the log knows the request.
    let gone = Case { secrets: vec![secret(2)], sent: vec![sent(&before)], ..Case::default() };
    assert_eq!(gone.reasons(&before), [Some("old_secret"); 2]);
    let forgotten = Case { secrets: vec![secret(2)], ..Case::default() };
    assert_eq!(forgotten.reasons(&before), [Some("wrong_secret"); 2]);
}

#[test]
fn a_reserialized_body_is_distinguished_from_a_changed_one() {
    let genuine = request(&[secret(1)], PAYLOAD);
    let case = Case { payload: Some(PAYLOAD.to_vec()), ..Case::default() };
    for (body, reason) in [
        (br#"{"a":[1.2345678901234568e22],"b":1}"#.as_slice(), "body_reserialised"),
        (&[PAYLOAD, b"\n"].concat(), "body_reserialised"),
        (br#"{"b":2}"#, "body_changed"),
        (b"", "body_changed"),
        (b"\xff", "body_changed"),
    ] {
        let seen = ReceivedRequest { body: body.to_vec(), ..genuine.clone() };
        assert_eq!(case.reasons(&seen), [Some(reason); 2], "{}", String::from_utf8_lossy(body));
        // Without the event there is nothing to compare with.
        assert_eq!(Case::default().reasons(&seen), [Some("wrong_secret"); 2]);
    }
    // The payload is gone and the secret too: the log alone tells.
    let gone = Case { secrets: vec![secret(2)], sent: vec![sent(&genuine)], ..Case::default() };
    let compact = ReceivedRequest { body: br#"{"b":1.0,"a":[12345678901234567890123]}"#.to_vec(), ..genuine };
    assert_eq!(gone.reasons(&compact), [Some("body_reserialised"); 2]);
}

#[test]
fn the_payload_instead_of_the_jwe_is_recognized() {
    let jwe = b"aaa..bbb.ccc.ddd";
    let genuine = request(&[secret(1)], jwe);
    let case = Case {
        encrypted: true,
        payload: Some(PAYLOAD.to_vec()),
        sent: vec![sent(&genuine)],
        ..Case::default()
    };
    assert_eq!(case.reasons(&genuine), [None, None]);
    let decrypted = ReceivedRequest { body: PAYLOAD.to_vec(), ..genuine.clone() };
    assert_eq!(case.reasons(&decrypted), [Some("body_decrypted"); 2]);
    let cut = ReceivedRequest { body: jwe[1..].to_vec(), ..genuine };
    assert_eq!(case.reasons(&cut), [Some("body_changed"); 2]);
}

#[test]
fn the_log_reveals_other_endpoints_and_changed_timestamps() {
    let theirs = request(&[secret(9)], PAYLOAD);
    let case =
        Case { sent: vec![LoggedRequest { endpoint_id: endpoint(2), ..sent(&theirs) }], ..Case::default() };
    assert_eq!(case.reasons(&theirs), [Some("other_webhook"); 2]);
    assert!(case.diagnose(&theirs).decisive().detail.contains(&endpoint(2).to_string()));
    let genuine = request(&[secret(1)], PAYLOAD);
    let case = Case { sent: vec![sent(&genuine)], ..Case::default() };
    let later = with(genuine, "webhook-timestamp", Some("1700000001"));
    assert_eq!(case.reasons(&later), [Some("header_changed"), None]);
}

#[test]
fn more_than_sixteen_signatures_are_refused_before_any_is_checked() {
    let genuine = request(&[secret(1)], PAYLOAD);
    let signature = genuine.header("webhook-signature").unwrap().to_owned();
    let with_others = |n: usize| format!("{}{signature}", format!("v1,{}= ", "A".repeat(43)).repeat(n));
    let reasons =
        |value: &str| Case::default().reasons(&with(genuine.clone(), "webhook-signature", Some(value)));
    assert_eq!(reasons(&with_others(15))[0], None);
    assert_eq!(reasons(&with_others(16))[0], Some("header_malformed"));
}

#[test]
fn no_result_contains_a_secret_or_a_signature() {
    let case = Case { payload: Some(PAYLOAD.to_vec()), ended: vec![secret(3)], ..Case::default() };
    let right = signature::standard([&secret(1)], ID, at().as_secs(), b"{}");
    for seen in [request(&[secret(7)], b"{}"), request(&[secret(3)], b"{}"), request(&[secret(1)], PAYLOAD)] {
        for check in case.diagnose(&ReceivedRequest { body: b"{}".to_vec(), ..seen }).checks {
            assert!(
                !check.detail.contains(&right[3..]) && !check.detail.contains("whsec"),
                "{}",
                check.detail
            );
        }
    }
}
