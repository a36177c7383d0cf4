use super::*;
use proptest::prelude::*;

fn form(read: &ReadBody) -> Value {
    serde_json::from_str(read.form.as_deref().unwrap()).unwrap()
}

const READING: Reading<'static> =
    Reading { json_field: "payload", size_limit: 1_000, hidden_parameters: &[] };

fn post(content_type: &str, body: impl Into<Bytes>) -> InboundRequest {
    let headers =
        [("content-type", content_type)].into_iter().filter(|(_, value)| !value.is_empty()).collect();
    InboundRequest { method: "POST".to_owned(), headers, body: body.into(), ..InboundRequest::default() }
}

fn payload(content_type: &str, body: impl Into<Bytes>) -> String {
    let read = read(&post(content_type, body), READING).unwrap();
    String::from_utf8(read.payload.to_vec()).unwrap()
}

fn refusal(content_type: &str, body: impl Into<Bytes>) -> Unreadable {
    read(&post(content_type, body), READING).unwrap_err()
}

#[test]
fn json_is_kept_byte_for_byte_whatever_the_content_type_says() {
    let body = " {\"b\" : 1.0, \"a\":1e2, \"b\":2}\r\n";
    for content_type in [
        "",
        "application/json",
        "application/json; charset=utf-8",
        "text/json",
        "application/cloudevents+json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "multipart/form-data",
    ] {
        assert_eq!(payload(content_type, body), body, "{content_type}");
        assert_eq!(payload(content_type, format!("\u{feff}{body}")), body, "{content_type}");
    }
    assert_eq!(payload("text/plain", "[1]"), "[1]");
}

#[test]
fn only_objects_and_lists_are_json_without_a_content_type_that_says_so() {
    for text in ["5", "\"text\"", "true", "null", "{broken", "[1,]"] {
        assert_eq!(payload("text/plain", text), json!({ "text": text }).to_string());
    }
    for text in ["5", "\"text\"", "null"] {
        assert_eq!(payload("application/json", text), text);
    }
}

#[test]
fn what_is_said_to_be_json_must_be_json() {
    for body in ["{broken", "x", " ", "{}{}", "\u{feff}", "\u{feff}\u{feff}{}"] {
        assert!(matches!(refusal("application/json", body), Unreadable::NotJson(_)), "{body:?}");
        assert!(matches!(refusal("application/problem+json", body), Unreadable::NotJson(_)), "{body:?}");
    }
    assert!(matches!(refusal("application/json", b"{\"a\":\"\xff\"}".as_slice()), Unreadable::NotJson(_)));
}

#[test]
fn json_is_nested_to_128_levels() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for content_type in ["application/json", "text/plain"] {
        assert_eq!(payload(content_type, nested(DEPTH_MAX)), nested(DEPTH_MAX));
        assert!(matches!(refusal(content_type, nested(DEPTH_MAX + 1)), Unreadable::NotJson(_)));
    }
    assert_eq!(depth(br#"{"a\"[[[":["[{\\"]}"#), 2);
}

#[test]
fn an_empty_body_is_an_empty_object() {
    for content_type in ["", "application/json", "multipart/form-data", "text/plain; charset=utf-16"] {
        assert_eq!(payload(content_type, ""), "{}");
    }
    let headers = [("content-encoding", "gzip")].into_iter().collect();
    let request = InboundRequest { headers, ..post("", "") };
    assert_eq!(read(&request, READING).unwrap().payload, "{}");
}

#[test]
fn encoded_bodies_and_utf_16_are_not_read() {
    for (coding, is_read) in [("gzip", false), ("Identity", true), ("", true)] {
        let headers = [("content-encoding", coding)].into_iter().collect();
        let request = InboundRequest { headers, ..post("", "{}") };
        assert_eq!(read(&request, READING).is_ok(), is_read, "{coding}");
    }
    let utf_16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content_type, body) in [
        ("application/json", utf_16.clone()),
        ("application/json", [b"\xff\xfe".to_vec(), utf_16].concat()),
        ("text/plain", b"\xfe\xff\0{\0}".to_vec()),
        ("text/plain", b"\0{\0}".to_vec()),
        ("text/plain; charset=\"UTF-16LE\"", b"abc".to_vec()),
        ("application/octet-stream", b"\xc3\x28".to_vec()),
        ("application/x-www-form-urlencoded", b"a=%FF".to_vec()),
        ("application/x-www-form-urlencoded", b"%FF=a".to_vec()),
    ] {
        assert!(
            matches!(refusal(content_type, body.clone()), Unreadable::Unsupported(_)),
            "{content_type} {body:?}"
        );
    }
}

#[test]
fn a_form_is_its_json_field_or_an_object() {
    let urlencoded = "application/x-www-form-urlencoded";
    let escaped = "payload=%7B%22a%22%3A%22%2B%22%7D&x=1";
    let read_form = read(&post(urlencoded, escaped), READING).unwrap();
    assert_eq!(
        (read_form.payload.as_ref(), form(&read_form)["x"].clone()),
        (br#"{"a":"+"}"#.as_slice(), json!("1"))
    );
    assert_eq!(payload(urlencoded, "payload=%EF%BB%BF[1]"), "[1]");
    assert_eq!(payload(urlencoded, "payload=5&twice=a&twice=b+c"), r#"{"payload":"5","twice":["a","b c"]}"#);
    assert_eq!(payload(urlencoded, "name=value"), r#"{"name":"value"}"#);
    let other = Reading { json_field: "data", ..READING };
    assert_eq!(read(&post(urlencoded, "payload=[]&data={}"), other).unwrap().payload, "{}");
}

fn multipart(parts: &[(&str, &[u8])]) -> InboundRequest {
    let mut body = b"--B".to_vec();
    for (head, content) in parts {
        body.extend_from_slice(format!("\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--B");
    }
    body.extend_from_slice(b"--\r\n");
    post("multipart/form-data; boundary=B", body)
}

#[test]
fn of_multipart_files_are_described_and_not_kept() {
    let thumb: &[u8] = b"\xff\xd8\xff\0";
    let file = "name=\"thumb\"; filename=\"t.jpg\"\r\nContent-Type: image/jpeg";
    let plex = multipart(&[("name=\"payload\"", br#"{"event":"media.play"}"#), (file, thumb)]);
    let read_plex = read(&plex, READING).unwrap();
    assert_eq!(
        (read_plex.payload.as_ref(), read_plex.has_files),
        (br#"{"event":"media.play"}"#.as_slice(), true)
    );
    assert_eq!(form(&read_plex)["thumb"], json!({"filename":"t.jpg","content_type":"image/jpeg","size":4}));

    let other = multipart(&[("name=a", b"1"), ("name=a", b"2"), (file, thumb)]);
    let expected = json!({"a":["1","2"],"thumb":{"filename":"t.jpg","content_type":"image/jpeg","size":4}});
    assert_eq!(form(&read(&other, READING).unwrap()), expected);
    assert_eq!(serde_json::from_slice::<Value>(&read(&other, READING).unwrap().payload).unwrap(), expected);

    let as_file = multipart(&[("name=payload; filename=blob\r\nContent-Type: application/json", b"{}")]);
    let read_file = read(&as_file, READING).unwrap();
    assert_eq!((read_file.payload.as_ref(), read_file.has_files), (b"{}".as_slice(), false));
}

#[test]
fn of_multipart_what_is_too_much_or_broken_is_refused() {
    let part: (&str, &[u8]) = ("name=a", b"1");
    assert!(read(&multipart(&[part; 20]), READING).is_ok());
    assert!(matches!(read(&multipart(&[part; 21]), READING), Err(Unreadable::TooLarge(_))));
    let text = multipart(&[("name=a", b"\xff")]);
    assert!(matches!(read(&text, READING), Err(Unreadable::Unsupported(_))));
    for content_type in ["multipart/form-data", "multipart/form-data; boundary=C"] {
        let request = post(content_type, multipart(&[part]).body);
        assert!(matches!(read(&request, READING), Err(Unreadable::NotMultipart(_))));
    }
    let whole = multipart(&[part]).body;
    let no_end = post("multipart/form-data; boundary=B", whole.slice(..whole.len() - 5));
    assert!(matches!(read(&no_end, READING), Err(Unreadable::NotMultipart(_))));
}

#[test]
fn text_and_xml_become_an_object() {
    assert_eq!(payload("text/plain", "a \"b\"\n"), r#"{"text":"a \"b\"\n"}"#);
    assert_eq!(payload("application/xml", "<a/>"), r#"{"text":"<a/>"}"#);
    assert_eq!(payload("", "\u{feff}é"), r#"{"text":"é"}"#);
}

#[test]
fn a_get_is_its_query_without_what_a_verifier_reads() {
    let request = InboundRequest {
        method: "GET".to_owned(),
        query: InboundRequest::read_query("token=x&a=1&a=2&b="),
        ..post("application/json", "")
    };
    let hidden = ["token".to_owned()];
    let reading = Reading { hidden_parameters: &hidden, ..READING };
    assert_eq!(read(&request, reading).unwrap().payload, r#"{"a":["1","2"],"b":""}"#);
    let request = InboundRequest { method: "POST".to_owned(), ..request };
    assert_eq!(
        read(&request, reading).unwrap().payload,
        "{}",
        "a query is part of the payload of a GET only"
    );
}

#[test]
fn a_payload_over_the_limit_is_refused() {
    let body = |n: usize| format!("\"{}\"", "x".repeat(n));
    assert!(read(&post("application/json", body(998)), READING).is_ok());
    assert!(matches!(refusal("application/json", body(999)), Unreadable::TooLarge(_)));
    assert!(matches!(refusal("text/plain", "x".repeat(1_000)), Unreadable::TooLarge(_)));
    let file = ("name=f; filename=f", [b'x'; 5_000].as_slice());
    assert!(read(&multipart(&[file]), READING).is_ok(), "files do not count");
}

proptest! {
    #[test]
    fn any_body_is_refused_or_becomes_json(
        content_type in prop::sample::select(vec![
            "", "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B", "text/xml",
        ]),
        body in "(?s)(--B|\r\n|name=|content-disposition: form-data;|[{}\\[\\]\"a:,&=%-]|.){0,40}",
    ) {
        if let Ok(read) = read(&post(content_type, body.clone()), READING) {
            prop_assert!(serde_json::from_slice::<Value>(&read.payload).is_ok(), "{:?}", read.payload);
        }
    }
}
