use serde_json::{Value, json};

use super::*;
use crate::domain::endpoint::MASK;
use crate::domain::values::invalid::Complaints;

fn read(value: Value) -> Vec<Verifier> {
    let mut errors = Complaints::default();
    let verifiers = input::read(&value, &[], &mut errors);
    assert_eq!(errors.into_vec(), vec![], "{value}");
    verifiers
}

fn one(value: Value) -> Verifier {
    read(json!([value])).remove(0)
}

fn problems(value: Value, current: &[Verifier]) -> Vec<(String, String)> {
    let mut errors = Complaints::default();
    input::read(&json!([value]), current, &mut errors);
    errors.into_vec().into_iter().map(|error| (error.pointer, error.message)).collect()
}

fn request(headers: &[(&str, &str)], body: &str) -> InboundRequest {
    InboundRequest {
        method: "POST".to_owned(),
        headers: headers.iter().copied().collect(),
        body: body.to_owned().into(),
        ..InboundRequest::default()
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn reason(verifier: &Verifier, request: &InboundRequest, now: i64) -> String {
    verifier.verify(request, at(now)).unwrap_err()
}

/// A signed request of the contract: its verifier, headers, body and time.
struct Vector {
    verifier: Value,
    headers: Vec<(&'static str, String)>,
    body: &'static str,
    now: i64,
}

fn vectors() -> Vec<Vector> {
    let vector = |verifier, headers: &[(&'static str, &str)], body, now| Vector {
        verifier,
        headers: headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        body,
        now,
    };
    let standard_body =
        r#"{"type":"contact.created","timestamp":"2022-11-03T20:26:10.344522Z","data":{"id":"1f81eb52"}}"#;
    let standard_secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let standard_id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
    let library = standardwebhooks::Webhook::new(standard_secret).unwrap();
    let standard = library.sign(standard_id, 1_674_087_231, standard_body.as_bytes()).unwrap();
    vec![
        vector(
            json!({"kind":"hmac","header":"X-Hub-Signature-256","secret":"It's a Secret to Everybody","prefix":"sha256="}),
            &[(
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            )],
            "Hello, World!",
            0,
        ),
        vector(
            json!({"kind":"hmac","header":"X-Gitea-Signature","secret":"s3cret"}),
            &[("x-gitea-signature", "3ef76f8f67c2839504b3534592c6f42cabaa13dca21ed349ad19be2f2124b158")],
            r#"{"action":"opened"}"#,
            0,
        ),
        vector(
            json!({"kind":"hmac","header":"X-Grafana-Alerting-Signature","secret":"s3cret","timestamp":"X-Time",
                   "content":"{timestamp}:{body}"}),
            &[
                (
                    "x-grafana-alerting-signature",
                    "a1af856abf490a75085cc50538aa285b686a81e04e3e20b5ccf95d66e0b6aa36",
                ),
                ("x-time", "1700000000"),
            ],
            r#"{"status":"firing"}"#,
            1_700_000_000,
        ),
        vector(
            json!({"kind":"stripe","secret":"whsec_test"}),
            &[(
                "stripe-signature",
                "t=1700000000,v1=293d1e88edff919d4b06683b17f8cd289526ec7856a16802699c832d14d3370f",
            )],
            r#"{"id":"evt_1Mr","type":"invoice.paid"}"#,
            1_700_000_000,
        ),
        vector(
            json!({"kind":"slack","secret":"8f742231b10e8888abcd99yyyzzz85a5"}),
            &[
                ("x-slack-request-timestamp", "1531420618"),
                ("x-slack-signature", "v0=2b617e8d1eba789c3e90a54b772adadfc772137987c87d3c1e4129005632e406"),
            ],
            r#"{"type":"url_verification","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}"#,
            1_531_420_618,
        ),
        vector(
            json!({"kind":"standard","secret":standard_secret}),
            &[
                ("webhook-id", standard_id),
                ("webhook-timestamp", "1674087231"),
                ("webhook-signature", &standard),
            ],
            standard_body,
            1_674_087_231,
        ),
        vector(
            json!({"kind":"standard","secret":standard_secret}),
            &[("svix-id", standard_id), ("svix-timestamp", "1674087231"), ("svix-signature", &standard)],
            standard_body,
            1_674_087_231,
        ),
    ]
}

impl Vector {
    fn request(&self) -> InboundRequest {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request(&headers, self.body)
    }
}

#[test]
fn the_published_signatures_hold_and_no_part_may_be_changed() {
    for vector in vectors() {
        let verifier = one(vector.verifier.clone());
        assert_eq!(verifier.verify(&vector.request(), at(vector.now)), Ok(()), "{}", vector.verifier);
        let body = [vector.body, "\n"].concat();
        let tampered = InboundRequest { body: body.clone().into(), ..vector.request() };
        let expected = format!(
            "{}: does not match; the body has {} bytes and ends in a line break",
            verifier.kind(),
            body.len()
        );
        assert_eq!(reason(&verifier, &tampered, vector.now), expected);
        for (i, (name, value)) in vector.headers.iter().enumerate() {
            let mut changed = vector.headers.clone();
            let swapped = if value.ends_with(['0', 'A', '=']) { '1' } else { '0' };
            changed[i].1.pop();
            changed[i].1.push(swapped);
            let tampered = Vector { headers: changed, ..vectors().remove(0) };
            let tampered = InboundRequest { headers: tampered.request().headers, ..vector.request() };
            assert!(verifier.verify(&tampered, at(vector.now)).is_err(), "{name}: {value}");
            let others: Vec<_> = vector.headers.iter().filter(|(other, _)| other != name).cloned().collect();
            let less = Vector { headers: others, ..vectors().remove(0) };
            let less = InboundRequest { headers: less.request().headers, ..vector.request() };
            assert!(reason(&verifier, &less, vector.now).contains("missing"), "{name}");
        }
        let mut other = vector.verifier.clone();
        other["secret"] = json!("whsec_b3RoZXI=");
        assert!(one(other).verify(&vector.request(), at(vector.now)).is_err());
    }
}

#[test]
fn either_of_two_secrets_holds_while_they_are_rotated() {
    for vector in vectors() {
        let right = vector.verifier["secret"].clone();
        for secrets in [json!(["whsec_b3RoZXI=", right]), json!([right, "whsec_b3RoZXI="]), json!([right])] {
            let mut value = vector.verifier.clone();
            value["secret"] = secrets;
            assert_eq!(one(value).verify(&vector.request(), at(vector.now)), Ok(()));
        }
        let mut wrong = vector.verifier.clone();
        wrong["secret"] = json!(["whsec_b3RoZXI=", "whsec_b3RoZXIy"]);
        assert!(one(wrong).verify(&vector.request(), at(vector.now)).is_err());
    }
}

#[test]
fn a_signed_time_may_be_five_minutes_off() {
    for vector in vectors().into_iter().filter(|vector| vector.now > 0) {
        let verifier = one(vector.verifier.clone());
        for off in [-300, 300] {
            assert_eq!(verifier.verify(&vector.request(), at(vector.now + off)), Ok(()));
        }
        let late = reason(&verifier, &vector.request(), vector.now + 301);
        assert!(late.contains("the signature is right") && late.contains("301 s old"), "{late}");
        assert!(reason(&verifier, &vector.request(), vector.now - 301).contains("301 s in the future"));
    }
}

#[test]
fn times_of_an_hmac_may_be_milliseconds_and_have_a_tolerance_of_their_own() {
    let value = json!({"kind":"hmac","header":"S","secret":"k","timestamp":"T","content":"{body}{timestamp}","tolerance":"1m"});
    let verifier = one(value);
    let signed = |time: &str| {
        let signature = hex::encode(hmac::mac(Algorithm::Sha256, b"k", &[b"x", time.as_bytes()]));
        request(&[("s", &signature), ("t", time)], "x")
    };
    for time in ["1700000000", "1700000000123"] {
        assert_eq!(verifier.verify(&signed(time), at(1_700_000_059)), Ok(()), "{time}");
        assert!(verifier.verify(&signed(time), at(1_700_000_061)).is_err(), "{time}");
    }
    let soon = signed("soon");
    assert_eq!(reason(&verifier, &soon, 0), "hmac: T is no whole number of seconds");
}

#[test]
fn an_hmac_may_have_each_algorithm_encoding_key_and_content() {
    let content = "v1:{header:X-Id}:{url}:{body}";
    let over: &[&[u8]] = &[b"v1:", b"7", b":", b"https://in.example/in/abc", b":", b"{}"];
    let key = b"\x01\x02\xffkey";
    for algorithm in Algorithm::WORDS {
        for (encoding, secret, form) in
            [("hex", hex::encode(key), "hex"), ("base64", STANDARD.encode(key), "base64")]
        {
            let value = json!({"kind":"hmac","header":"X-Sig","secret":secret,"key":form,"algorithm":algorithm,
                               "encoding":encoding,"content":content});
            let mac = hmac::mac(Algorithm::parse(algorithm).unwrap(), key, over);
            let mac = if encoding == "hex" { hex::encode_upper(mac) } else { STANDARD.encode(mac) };
            let url = "https://in.example/in/abc".to_owned();
            let signed = InboundRequest { url, ..request(&[("x-sig", &mac), ("x-id", "7")], "{}") };
            let verifier = one(value);
            assert_eq!(verifier.verify(&signed, at(0)), Ok(()), "{algorithm} {encoding}");
            let other = InboundRequest { url: "https://in.example/in/abd".to_owned(), ..signed.clone() };
            assert!(verifier.verify(&other, at(0)).is_err());
            assert_eq!(verifier.headers(), ["X-Sig", "X-Id"]);
        }
    }
}

/// RFC 2202, sections 3.1 and 3.2; RFC 4231, section 4.2.
#[test]
fn the_published_vectors_of_the_other_hashes_match() {
    let mac = |algorithm, key: &[u8], text: &str| hex::encode(hmac::mac(algorithm, key, &[text.as_bytes()]));
    assert_eq!(mac(Algorithm::Sha1, &[0x0b; 20], "Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00");
    let jefe = mac(Algorithm::Sha1, b"Jefe", "what do ya want for nothing?");
    assert_eq!(jefe, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
    assert!(
        mac(Algorithm::Sha512, &[0x0b; 20], "Hi There")
            .starts_with("87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2")
    );
}

#[test]
fn reasons_name_what_is_wrong() {
    let github = one(json!({"kind":"hmac","header":"X-Hub-Signature-256","secret":"s","prefix":"sha256="}));
    let with = |value: &str| request(&[("x-hub-signature-256", value)], "");
    assert_eq!(reason(&github, &request(&[], ""), 0), "hmac: X-Hub-Signature-256 is missing");
    assert_eq!(reason(&github, &with("abc"), 0), "hmac: X-Hub-Signature-256 does not begin with sha256=");
    assert_eq!(reason(&github, &with("sha256=xyz"), 0), "hmac: X-Hub-Signature-256 is not hexadecimal");
    assert_eq!(reason(&github, &with("sha256=00"), 0), "hmac: does not match; the body has 0 bytes");
    let standard = one(json!({"kind":"standard","secret":"whsec_c2VjcmV0"}));
    assert_eq!(reason(&standard, &request(&[], ""), 0), "standard: webhook-signature is missing");
    let headers = [("webhook-signature", "v1a,x v2,y"), ("webhook-id", "1"), ("webhook-timestamp", "1")];
    let none = "standard: webhook-signature has no signature of the form v1,base64";
    assert_eq!(reason(&standard, &request(&headers, ""), 0), none);
}

#[test]
fn tokens_are_taken_from_header_query_and_password() {
    let bearer =
        one(json!({"kind":"token","in":"header","name":"authorization","prefix":"Bearer ","secret":"s3"}));
    for value in ["Bearer s3", "bearer s3", "BEARER  s3 "] {
        assert_eq!(bearer.verify(&request(&[("authorization", value)], ""), at(0)), Ok(()), "{value}");
    }
    for value in ["Bearer s4", "Bearer s", "Bearer s33", "Basic s3", "s3", "Bearer", "Bearer "] {
        assert!(bearer.verify(&request(&[("authorization", value)], ""), at(0)).is_err(), "{value}");
    }
    let plain = one(json!({"kind":"token","in":"header","name":"X-Gitlab-Token","secret":"s3"}));
    assert_eq!(plain.verify(&request(&[("x-gitlab-token", "s3")], ""), at(0)), Ok(()));
    assert_eq!(
        reason(&plain, &request(&[("x-gitlab-token", "")], ""), 0),
        "token: X-Gitlab-Token has another value"
    );
    let prefix = one(json!({"kind":"token","in":"header","name":"x","prefix":"Key ","secret":"s3"}));
    assert!(prefix.verify(&request(&[("x", "key s3")], ""), at(0)).is_err());

    let query = one(json!({"kind":"token","in":"query","name":"token","secret":"s 3"}));
    let get = |text| InboundRequest { query: InboundRequest::read_query(text), ..InboundRequest::default() };
    assert_eq!(query.verify(&get("a=1&token=s+3"), at(0)), Ok(()));
    assert_eq!(reason(&query, &get("Token=s+3"), 0), "token: the query parameter token is missing");
    assert_eq!((query.parameter(), query.headers().len()), (Some("token"), 0));

    let password = one(json!({"kind":"token","in":"basic_password","secret":"s3"}));
    let basic = |text: &str| request(&[("authorization", &format!("basic {}", STANDARD.encode(text)))], "");
    assert_eq!(password.verify(&basic("any:s3"), at(0)), Ok(()));
    assert!(password.verify(&basic("any:s3:"), at(0)).is_err());
    assert_eq!(reason(&password, &request(&[], ""), 0), "token: Authorization is missing");
}

#[test]
fn basic_compares_name_and_password() {
    let verifier = one(json!({"kind":"basic","username":"sonarr","secret":["new:1","old"]}));
    let basic = |text: &str| request(&[("authorization", &format!("Basic {}", STANDARD.encode(text)))], "");
    for text in ["sonarr:new:1", "sonarr:old"] {
        assert_eq!(verifier.verify(&basic(text), at(0)), Ok(()));
    }
    for text in ["sonarr:new", "radarr:old", ":old", "sonarr:", "sonarr"] {
        assert!(verifier.verify(&basic(text), at(0)).is_err(), "{text}");
    }
    assert_eq!(
        reason(&verifier, &request(&[("authorization", "Bearer x")], ""), 0),
        "basic: Authorization is not Basic"
    );
    assert!(reason(&verifier, &request(&[("authorization", "Basic §")], ""), 0).contains("in base64"));
}

#[test]
fn an_address_is_compared_as_ipv4_where_it_is_one() {
    let verifier = one(json!({"kind":"address","networks":["192.0.2.0/24","2001:db8::/32","198.51.100.7"]}));
    let from = |text: &str| InboundRequest { client: text.parse().ok(), ..InboundRequest::default() };
    for client in ["192.0.2.9", "::ffff:192.0.2.9", "2001:db8::1", "198.51.100.7"] {
        assert_eq!(verifier.verify(&from(client), at(0)), Ok(()), "{client}");
    }
    assert_eq!(
        reason(&verifier, &from("198.51.100.8"), 0),
        "address: 198.51.100.8 is in none of the networks"
    );
    assert_eq!(reason(&verifier, &from("?"), 0), "address: the address of the client is not known");
}

#[test]
fn what_was_read_reads_back_with_masks_and_in_clear() {
    let given = json!([
        {"kind":"hmac","header":"X-Sig","secret":["new","old"],"timestamp":"X-Time","content":"{timestamp}.{body}"},
        {"kind":"basic","username":"u","secret":"p"},
        {"kind":"token","in":"query","name":"t","secret":["s"]},
        {"kind":"address","networks":["10.0.0.0/8"]},
    ]);
    let verifiers = read(given);
    let masked = input::masked(&verifiers);
    let hmac = json!({"kind":"hmac","header":"X-Sig","secret":[MASK,MASK],"algorithm":"sha256","encoding":"hex",
        "content":"{timestamp}.{body}","key":"text","timestamp":"X-Time","tolerance":"5m"});
    assert_eq!(masked[0], hmac);
    assert_eq!(masked[1], json!({"kind":"basic","username":"u","secret":MASK}));
    assert_eq!(masked[2], json!({"kind":"token","in":"query","name":"t","secret":[MASK]}));
    assert_eq!(masked[3], json!({"kind":"address","networks":["10.0.0.0/8"]}));
    assert_eq!(read(input::in_clear(&verifiers)), verifiers);
    let mut errors = Complaints::default();
    assert_eq!(input::read(&masked, &verifiers, &mut errors), verifiers);
    assert!(errors.is_empty());
    assert!(!format!("{verifiers:?}").contains("old"));
}

#[test]
fn a_mask_keeps_the_secret_of_the_same_position_and_kind_only() {
    let current = read(json!([{"kind":"basic","username":"u","secret":"p"}]));
    let kept = json!({"kind":"basic","username":"other","secret":MASK});
    assert_eq!(problems(kept.clone(), &current), vec![]);
    for (value, current) in [
        (kept, vec![]),
        (json!({"kind":"stripe","secret":MASK}), current.clone()),
        (json!({"kind":"basic","username":"u","secret":[MASK,MASK]}), current.clone()),
    ] {
        let found = problems(value.clone(), &current);
        assert!(found.len() == 1 && found[0].0.starts_with("/verify/0/secret"), "{value} {found:?}");
    }
}

#[test]
fn a_kept_secret_must_fit_the_key_form_it_is_said_to_have_now() {
    let hmac = |secret: &str, key: &str| json!({"kind":"hmac","header":"x","secret":secret,"key":key});
    let text = read(json!([hmac("no key of 16", "text")]));
    for key in ["hex", "base64"] {
        let found = problems(hmac(MASK, key), &text);
        assert_eq!(found.first().map(|(pointer, _)| pointer.as_str()), Some("/verify/0/secret"), "{key}");
    }
    assert_eq!(problems(hmac(MASK, "hex"), &read(json!([hmac("00ff", "text")]))), vec![]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (value, pointer) in [
        (json!(5), "/verify/0"),
        (json!({}), "/verify/0/kind"),
        (json!({"kind":"jwt"}), "/verify/0/kind"),
        (json!({"kind":"stripe"}), "/verify/0/secret"),
        (json!({"kind":"stripe","secret":""}), "/verify/0/secret"),
        (json!({"kind":"stripe","secret":null}), "/verify/0/secret"),
        (json!({"kind":"stripe","secret":5}), "/verify/0/secret"),
        (json!({"kind":"stripe","secret":[]}), "/verify/0/secret"),
        (json!({"kind":"stripe","secret":["a","b","c"]}), "/verify/0/secret"),
        (json!({"kind":"stripe","secret":["a",""]}), "/verify/0/secret/1"),
        (json!({"kind":"stripe","secret":"x".repeat(4_097)}), "/verify/0/secret"),
        (json!({"kind":"stripe","secret":"a","username":"u"}), "/verify/0/username"),
        (json!({"kind":"standard","secret":"plain"}), "/verify/0/secret"),
        (json!({"kind":"standard","secret":"whsec_"}), "/verify/0/secret"),
        (json!({"kind":"basic","secret":"s"}), "/verify/0/username"),
        (json!({"kind":"basic","username":"a:b","secret":"s"}), "/verify/0/username"),
        (json!({"kind":"token","name":"x","secret":"s"}), "/verify/0/in"),
        (json!({"kind":"token","in":"cookie","name":"x","secret":"s"}), "/verify/0/in"),
        (json!({"kind":"token","in":"header","secret":"s"}), "/verify/0/name"),
        (json!({"kind":"token","in":"header","name":"a b","secret":"s"}), "/verify/0/name"),
        (json!({"kind":"hmac","secret":"s"}), "/verify/0/header"),
        (json!({"kind":"hmac","header":"x","secret":"s","algorithm":"md5"}), "/verify/0/algorithm"),
        (json!({"kind":"hmac","header":"x","secret":"s","encoding":"b64"}), "/verify/0/encoding"),
        (json!({"kind":"hmac","header":"x","secret":"zz","key":"hex"}), "/verify/0/secret"),
        (
            json!({"kind":"hmac","header":"x","secret":"s","content":"{timestamp}{body}"}),
            "/verify/0/timestamp",
        ),
        (json!({"kind":"hmac","header":"x","secret":"s","timestamp":"t"}), "/verify/0/content"),
        (json!({"kind":"hmac","header":"x","secret":"s","content":"{bdy}"}), "/verify/0/content"),
        (json!({"kind":"hmac","header":"x","secret":"s","content":"{url}"}), "/verify/0/content"),
        (json!({"kind":"hmac","header":"x","secret":"s","content":"{body"}), "/verify/0/content"),
        (json!({"kind":"hmac","header":"x","secret":"s","content":"{body}.{body}"}), "/verify/0/content"),
        (json!({"kind":"hmac","header":"x","secret":"s","tolerance":"2d"}), "/verify/0/tolerance"),
        (json!({"kind":"address"}), "/verify/0/networks"),
        (json!({"kind":"address","networks":[]}), "/verify/0/networks"),
        (json!({"kind":"address","networks":["10.0.0.0/8","x"]}), "/verify/0/networks/1"),
    ] {
        let found = problems(value.clone(), &[]);
        assert_eq!(found.first().map(|(pointer, _)| pointer.as_str()), Some(pointer), "{value} {found:?}");
    }
    let mut errors = Complaints::default();
    let many = json!(vec![json!({"kind":"stripe","secret":"s"}); VERIFIERS_MAX + 1]);
    assert!(input::read(&many, &[], &mut errors).is_empty() && errors.len() == 1);
}
