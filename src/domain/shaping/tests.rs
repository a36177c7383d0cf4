//! The rules of shaped requests.

use proptest::prelude::*;

use super::address::encode;
use super::secrets::{Given, Masks, check_for_url};
use super::summary::{Level, SummaryTemplates};
use super::*;
use crate::domain::expr::{Budget, Cost, Json, Notes, Run, Scope};
use crate::domain::values::invalid::Invalid;

const URL: &str = "https://example.com/hook";

fn secret_names() -> Vec<String> {
    vec!["token".to_owned(), "rest".to_owned()]
}

fn read_at(url: &str, request: &str) -> Result<Shape, Invalid> {
    let names = secret_names();
    let signing_headers = ["X-Signature".to_owned()];
    let context = Context { url, secrets: &names, signing_headers: &signing_headers, encrypted: false };
    Shape::read(&Json::parse(request).unwrap(), context)
}

/// Where it is wrong, and what is said.
fn problems(url: &str, request: &str) -> Vec<(String, String)> {
    let invalid = read_at(url, request).map(|_| ()).expect_err(request);
    invalid.0.into_iter().map(|error| (error.pointer, error.message)).collect()
}

const PAYLOAD: &str = r#"{"action":"published","n":1.0,"no":null,"text":"a \"b\"\nc","list":[1,2,3],"slash":"a/b","dots":"..",
    "empty":"","alerts":[{"name":"x","v":1},{"name":"y"}],"object":{"k":[true]}}"#;

fn render_as(shape: &Shape, masked: bool) -> Result<Rendered, RenderFailure> {
    let payload = Json::parse(PAYLOAD).unwrap();
    let secrets = [("token".to_owned(), "s3c/ret".to_owned()), ("rest".to_owned(), "1/ab?x=y".to_owned())];
    let mut scope = Scope::new();
    scope.lend("payload", &payload);
    scope.set("event", Json::object([("type", Json::text("a.b"))]));
    scope.set("delivery", Json::object([("id", Json::text("dlv_1"))]));
    scope.secrets(&secrets);
    let mut budget = Budget::render();
    let run = Run::new(&mut budget);
    shape.render(&scope, &mut if masked { run.masked() } else { run })
}

fn rendered(url: &str, request: &str) -> Rendered {
    let shape = read_at(url, request).unwrap_or_else(|e| panic!("{request}: {e}"));
    render_as(&shape, false).unwrap_or_else(|e| panic!("{request}: {e}"))
}

fn failure(url: &str, request: &str) -> String {
    let shape = read_at(url, request).unwrap_or_else(|e| panic!("{request}: {e}"));
    render_as(&shape, false).expect_err(request).to_string()
}

fn body(json: &str) -> String {
    match rendered(URL, &format!("{{\"body\":{json}}}")).body {
        Body::Made(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_request_posts_an_empty_object() {
    let request = rendered(URL, "{}");
    assert_eq!((request.method, request.url.as_str()), (Method::Post, URL));
    assert_eq!(request.content_type.as_deref(), Some("application/json"));
    assert_eq!(request.body, Body::Made("{}".to_owned()));
    assert!(request.headers.is_empty());
    assert!(read_at(URL, "{}").unwrap().signs());
}

#[test]
fn json_leaves_keep_their_kind() {
    for (given, expected) in [
        (r#"{"a":"{{ payload.n }}","b":1e2,"c":"x {# y #}"}"#, r#"{"a":1.0,"b":1e2,"c":"x {# y #}"}"#),
        (r#"{"a":"{{ payload.text }}!"}"#, r#"{"a":"a \"b\"\nc!"}"#),
        (r#"{"a":"{{ payload.object }}","z":"{{ payload.list }}"}"#, r#"{"a":{"k":[true]},"z":[1,2,3]}"#),
        (
            r#"{"a":"{{ payload.gone }}","b":"{{ payload.no }}","c":"{{ payload.gone }} "}"#,
            r#"{"b":null,"c":" "}"#,
        ),
        (r#"["{{ payload.gone }}","x","{{ payload.gone.y }}",{"k":"{{ payload.gone }}"}]"#, r#"["x",{}]"#),
        (r#"{"{{ payload.n }}":"k"}"#, r#"{"{{ payload.n }}":"k"}"#),
        (r#""{{ payload.gone }}""#, "null"),
        (r#"{"b":"{{ payload.action == 'published' }}"}"#, r#"{"b":true}"#),
    ] {
        assert_eq!(body(given), expected, "{given}");
    }
}

#[test]
fn each_gives_an_element_for_each() {
    for (given, expected) in [
        (
            r#"{"l":{"$each":"payload.alerts","$as":"a","$do":{"n":"{{ a.name }}","v":"{{ a.v }}"}}}"#,
            r#"{"l":[{"n":"x","v":1},{"n":"y"}]}"#,
        ),
        (r#"{"$each":"payload.list","$max":2,"$do":"{{ item * 2 }}"}"#, "[2,4]"),
        (r#"{"$each":"payload.alerts","$do":"{{ item.v }}"}"#, "[1]"),
        (r#"{"$each":"payload.gone","$do":1}"#, "[]"),
        (r#"{"$each":"payload.alerts|sort('name')|reverse","$do":"{{ item.name }}"}"#, r#"["y","x"]"#),
        (
            r#"{"$each":"payload.list","$as":"x","$max":1,"$do":{"$each":"payload.alerts","$as":"y","$do":"{{ x }}{{ y.name }}"}}"#,
            r#"[["1x","1y"]]"#,
        ),
        (r#"{"$as":1}"#, r#"{"$as":1}"#),
    ] {
        assert_eq!(body(given), expected, "{given}");
    }
    let wrong = |body: &str| problems(URL, &format!("{{\"body\":{body}}}"))[0].0.clone();
    assert_eq!(wrong(r#"{"a":{"$each":"payload.x","$max":26,"$do":1}}"#), "/request/body/a/$max");
    assert_eq!(wrong(r#"{"$each":"paylod.x","$do":1}"#), "/request/body/$each");
    assert_eq!(wrong(r#"{"$each":"payload.x"}"#), "/request/body/$do");
    assert_eq!(wrong(r#"{"$each":"payload.x","$do":1,"x":1}"#), "/request/body/x");
    assert_eq!(wrong(r#"{"$each":"payload.x","$as":"a b","$do":1}"#), "/request/body/$as");
    assert_eq!(wrong(r#"{"$each":"payload.x","$do":["{{ itm }}"]}"#), "/request/body/$do/0");
}

#[test]
fn the_other_contents() {
    let form = rendered(
        URL,
        r#"{"content":"form","body":{"a b":"{{ payload.text }}&","gone":"{{ payload.gone }}","no":"{{ payload.no }}"}}"#,
    );
    assert_eq!(form.body, Body::Made("a+b=a+%22b%22%0Ac%26".to_owned()));
    assert_eq!(form.content_type.as_deref(), Some("application/x-www-form-urlencoded"));
    let text =
        rendered(URL, r#"{"content":"text","body":"{{ payload.action }}!","content_type":"text/markdown"}"#);
    assert_eq!(text.body, Body::Made("published!".to_owned()));
    assert_eq!(text.content_type.as_deref(), Some("text/markdown"));
    assert_eq!(rendered(URL, r#"{"content":"payload","method":"PUT"}"#).body, Body::Payload);
    let get = rendered(URL, r#"{"content":"none","method":"GET"}"#);
    assert_eq!((get.method, get.body, get.content_type), (Method::Get, Body::None, None));
}

#[test]
fn queries_and_headers_come_from_templates() {
    let request = rendered(
        "https://example.com/hook?a=b",
        r#"{"query":{"wait":"true","q":"{{ payload.text }}","gone":"{{ payload.gone }}"},
            "headers":{"X-Title":"Größe {{ payload.text }}","X-Gone":"{{ payload.gone }}","Authorization":"Bearer {{ secrets.token }}"}}"#,
    );
    assert_eq!(request.url, "https://example.com/hook?a=b&wait=true&q=a%20%22b%22%0Ac");
    assert_eq!(request.headers[0].0, "X-Title");
    assert!(request.headers[0].1.starts_with("=?UTF-8?B?"), "{:?}", request.headers);
    assert_eq!(request.headers[1], ("Authorization".to_owned(), "Bearer s3c/ret".to_owned()));
    assert_eq!(request.headers.len(), 2);
    let long = failure(
        URL,
        r#"{"headers":{"X-A":"{% for a in [1,2,3,4,5,6,7,8,9] %}{% for b in [1,2,3,4,5,6,7,8,9] %}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{{ payload.list }}{% endfor %}{% endfor %}"}}"#,
    );
    assert_eq!(long, "header X-A: is longer than 8 KiB");
}

#[test]
fn values_keep_their_place_in_a_url() {
    let url = |url: &str| rendered(url, "{}").url;
    assert_eq!(url("https://example.com/{{ payload.slash }}/x"), "https://example.com/a%2Fb/x");
    assert_eq!(url("https://example.com/x?q={{ payload.text }}"), "https://example.com/x?q=a%20%22b%22%0Ac");
    assert_eq!(url("https://example.com/x?q={{ payload.empty }}"), "https://example.com/x?q=");
    assert_eq!(url("https://example.com/x?q={{ payload.dots }}"), "https://example.com/x?q=..");
    assert_eq!(url("https://example.com/hooks/{{ secrets.rest }}"), "https://example.com/hooks/1/ab?x=y");
    assert_eq!(url("https://example.com/a-{{ payload.gone }}"), "https://example.com/a-");
    for (template, expected) in [
        ("https://example.com/{{ payload.dots }}/x", "url: a segment of the path is \"..\""),
        ("https://example.com/.{{ '.' }}/x", "url: a segment of the path is \"..\""),
        ("https://example.com/%2E{{ '.' }}", "url: a segment of the path is \"..\""),
        ("https://example.com/{{ '.' }}?x", "url: a segment of the path is \".\""),
        (
            "https://example.com/{{ payload.gone }}/x",
            "url: a segment of the path is empty, because a value is missing or empty",
        ),
        (
            "https://example.com/x/{{ payload.empty }}",
            "url: a segment of the path is empty, because a value is missing or empty",
        ),
        (
            "https://example.com/{{ payload_text }}{{ payload|tojson }}{% for x in [1,2,3,4,5,6,7,8,9] %}{{ payload|tojson }}{% endfor %}",
            "url: is longer than 2048 characters",
        ),
    ] {
        assert_eq!(failure(template, "{}"), expected, "{template}");
    }
    for refused in [
        "https://{{ payload.x }}/",
        "https://example.com{{ payload.x }}/",
        "{{ secrets.rest }}",
        "https://example.com:{{ payload.n }}/x",
        "{% if 1 %}https://example.com/{% endif %}",
        "https://example.com/{{ payload.x }}#f",
        "https://example.com/a b{{ payload.x }}",
        "https://example.com/{{ paylod }}",
        "ftp://example.com/{{ payload.x }}",
        "https://user:pw@example.com/{{ payload.x }}",
    ] {
        assert_eq!(problems(refused, "{}")[0].0, "/url", "{refused}");
    }
    let names = secret_names();
    let plain = |url| Context { url, secrets: &names, signing_headers: &[], encrypted: false }.check_plain();
    assert!(
        plain("https://example.com/{{ payload.x }}").unwrap_err().contains("only with the attribute request")
    );
    assert!(plain("https://example.com/x").is_ok());
}

#[test]
fn the_masked_twin_hides_secrets_everywhere() {
    let request = r#"{"headers":{"Authorization":"Bearer {{ secrets.token }}"},"query":{"k":"{{ secrets.token }}"},
        "body":{"t":"{{ secrets.token }}","b":"{{ ('a:' ~ secrets.token)|b64 }}","n":"{{ payload.n }}"}}"#;
    let shape = read_at("https://example.com/{{ secrets.rest }}/send", request).unwrap();
    let real = render_as(&shape, false).unwrap();
    assert!(real.url.starts_with("https://example.com/1/ab?x=y/send&k=s3c%2Fret"), "{}", real.url);
    let masked = render_as(&shape, true).unwrap();
    let shown = format!("{masked:?}");
    for secret in ["s3c", "1/ab", "YTpz"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(masked.headers[0].1, "Bearer ********");
    assert_eq!(masked.body, Body::Made(r#"{"t":"********","b":"********","n":1.0}"#.to_owned()));
    assert_eq!(shape.url(), "https://example.com/{{ secrets.rest }}/send");
}

#[test]
fn conflicts_and_mistakes_are_named() {
    for (request, pointer) in [
        (r#"{"method":"GET"}"#, "/request/content"),
        (r#"{"method":"DELETE","content":"text","body":"x"}"#, "/request/content"),
        (r#"{"method":"HEAD"}"#, "/request/method"),
        (r#"{"method":"get"}"#, "/request/method"),
        (r#"{"content":"xml"}"#, "/request/content"),
        (r#"{"content":"none","body":{}}"#, "/request/body"),
        (r#"{"content":"payload","body":"x"}"#, "/request/body"),
        (r#"{"content":"form","body":"x"}"#, "/request/body"),
        (r#"{"content":"form","body":{"a":1}}"#, "/request/body/a"),
        (r#"{"content":"text","body":{}}"#, "/request/body"),
        (r#"{"bdoy":{}}"#, "/request/bdoy"),
        (r#"{"headers":{"Host":"x"}}"#, "/request/headers/Host"),
        (r#"{"headers":{"x-signature":"x"}}"#, "/request/headers/x-signature"),
        (r#"{"headers":{"X-A":"1","x-a":"2"}}"#, "/request/headers/x-a"),
        (r#"{"headers":{"X-A":1}}"#, "/request/headers/X-A"),
        (r#"{"headers":{"X-A":"********"}}"#, "/request/headers/X-A"),
        (r#"{"query":{"key":"********"}}"#, "/request/query/key"),
        (r#"{"query":[]}"#, "/request/query"),
        (r#"{"sign":"yes"}"#, "/request/sign"),
        (r#"{"expect":"response.status = 200"}"#, "/request/expect"),
        (r#"{"expect":"secrets.token"}"#, "/request/expect"),
        (r#"{"final":[99]}"#, "/request/final"),
        (r#"{"final":404}"#, "/request/final"),
        (r#"{"retry_after":{"pointer":"x","unit":"s"}}"#, "/request/retry_after/pointer"),
        (r#"{"retry_after":{"pointer":"/x","unit":"h"}}"#, "/request/retry_after/unit"),
        (r#"{"content_type":"a\nb"}"#, "/request/content_type"),
        (
            r#"{"body":{"embeds":[{"title":"{{ summary.title|truncat(3) }}"}]}}"#,
            "/request/body/embeds/0/title",
        ),
        (r#"{"body":"{{ secrets.nope }}"}"#, "/request/body"),
        (r#"{"body":"{{ secrets.token|upper }}"}"#, "/request/body"),
        ("[]", "/request"),
    ] {
        assert_eq!(problems(URL, request)[0].0, pointer, "{request}");
    }
    let title = &problems(URL, r#"{"body":{"a/b":"{{ summary.title|truncat(3) }}"}}"#)[0];
    assert_eq!(title.0, "/request/body/a~1b");
    assert_eq!(
        title.1,
        "is not a template: line 1, column 18: unknown filter `truncat`; did you mean `truncate`?"
    );
    assert_eq!(problems(URL, r#"{"method":"x","final":1,"bdoy":1}"#).len(), 3);
    let names = secret_names();
    let context = Context { url: URL, secrets: &names, signing_headers: &[], encrypted: true };
    let invalid = Shape::read(&Json::parse("{}").unwrap(), context).map(|_| ()).unwrap_err();
    assert_eq!(invalid.0[0].pointer, "/request");
    let large = format!(
        "{{\"content\":\"json\",\"body\":[{}]}}",
        vec![format!("{:?}", "x".repeat(15_000)); 5].join(",")
    );
    assert!(problems(URL, &large)[0].1.contains("64 KiB"));
    let query: Vec<String> = (0..21).map(|i| format!("\"q{i}\":\"x\"")).collect();
    assert_eq!(problems(URL, &format!("{{\"query\":{{{}}}}}", query.join(",")))[0].0, "/request/query");
}

#[test]
fn a_render_over_its_budget_fails_and_says_where() {
    let body = r#"{"body":"{% for a in payload.list %}{% for b in payload.list %}{% for c in payload.list %}{{ payload|outline(100000)|replace('a', payload|tojson)|replace('b', payload|tojson) }}{% endfor %}{% endfor %}{% endfor %}"}"#;
    let failed = failure(URL, body);
    assert!(failed.starts_with("body: makes more than"), "{failed}");
}

#[test]
fn answers_are_judged_by_expect_final_and_retry_after() {
    let shape = read_at(
        URL,
        r#"{"expect":"response.json.ok != false and response.headers['x-a'] != 'no' and response.status < 300",
            "final":[400,404],"retry_after":{"pointer":"/parameters/retry_after","unit":"s"}}"#,
    )
    .unwrap();
    let headers = [("x-a".to_owned(), "no".to_owned())];
    let expected = |body: &str, cut: bool, headers: &[(String, String)]| {
        let answer = Answer { status: 200, body, cut, headers };
        shape.is_expected(&answer, &Scope::new(), &mut Budget::filter()).unwrap()
    };
    assert!(expected(r#"{"ok":true}"#, false, &[]));
    assert!(!expected(r#"{"ok":false}"#, false, &[]));
    assert!(expected(r#"{"ok":false}"#, true, &[]));
    assert!(expected("plain", false, &[]));
    assert!(!expected("plain", false, &headers));
    assert!(shape.is_final(404) && !shape.is_final(500));
    let wait = shape.retry_after().unwrap();
    assert_eq!(wait.wait_ms(r#"{"parameters":{"retry_after":34}}"#), Some(34_000));
    assert_eq!(wait.wait_ms(r#"{"parameters":{"retry_after":0.25}}"#), Some(250));
    assert_eq!(wait.wait_ms(r#"{"parameters":{"retry_after":"2"}}"#), Some(2_000));
    assert_eq!(wait.wait_ms(r#"{"parameters":{"retry_after":1e300}}"#), Some(86_400_000));
    for none in ["", "{}", r#"{"parameters":{"retry_after":-1}}"#, r#"{"parameters":{"retry_after":"soon"}}"#]
    {
        assert_eq!(wait.wait_ms(none), None, "{none}");
    }
    let ms = WaitPointer { pointer: "/retry_after_ms".to_owned(), unit: Unit::Milliseconds };
    assert_eq!(ms.wait_ms(r#"{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":2000}"#), Some(2_000));
}

#[test]
fn secrets_have_names_values_and_a_mask_that_keeps() {
    let current = secret_names();
    let read = |json: &str, moves: bool| secrets::read(&Json::parse(json).unwrap(), &current, moves);
    assert_eq!(
        read(r#"{"token":"********","new":"x"}"#, false).unwrap(),
        [("token".to_owned(), Given::Keep), ("new".to_owned(), Given::Value("x".to_owned()))]
    );
    assert_eq!(read("null", true).unwrap(), []);
    for (wrong, moves, pointer) in [
        (r#"{"token":"********"}"#, true, "/secrets/token"),
        (r#"{"other":"********"}"#, false, "/secrets/other"),
        (r#"{"Bad":"x"}"#, false, "/secrets/Bad"),
        (r#"{"":"x"}"#, false, "/secrets/"),
        (r#"{"a":""}"#, false, "/secrets/a"),
        (r#"{"a":1}"#, false, "/secrets/a"),
        (r#"{"a":"x","a":"y"}"#, false, "/secrets/a"),
        ("[]", false, "/secrets"),
    ] {
        assert_eq!(read(wrong, moves).unwrap_err().0[0].pointer, pointer, "{wrong}");
    }
    let many: Vec<String> = (0..11).map(|i| format!("\"s{i}\":\"x\"")).collect();
    assert_eq!(read(&format!("{{{}}}", many.join(",")), false).unwrap_err().0[0].pointer, "/secrets");
    assert!(read(&format!("{{\"a\":{:?}}}", "x".repeat(4097)), false).is_err());
    assert!(read(&format!("{{\"a\":{:?}}}", "x".repeat(4096)), false).is_ok());
    for wrong in ["a#b", "../x", "a/%2e./x", "a b", "é", "a\\b", "a\"b"] {
        assert!(check_for_url(wrong).is_err(), "{wrong}");
    }
    for right in ["123/AbC-_d", "a?b=c&d=%20", "T0/B0/x.y"] {
        assert!(check_for_url(right).is_ok(), "{right}");
    }
}

#[test]
fn secrets_are_found_in_every_form() {
    let masks = Masks::of(["p@ss/w\"rd", ""]);
    for text in ["p@ss/w\"rd", "p%40ss%2Fw%22rd", "p%40ss%2fw%22rd", "cEBzcy93InJk", "p@ss/w\\\"rd"] {
        assert_eq!(masks.apply(&format!("a {text} b")), "a ******** b", "{text}");
    }
    assert_eq!(masks.apply("nothing"), "nothing");
    let mixed = Masks::of(["Ab/C d"]);
    for text in ["Ab%2FC%20d", "Ab%2fC%20d", "Ab%2fC+d", "Ab%2FC+d"] {
        assert_eq!(mixed.apply(text), "********", "{text}");
    }
    assert!(Masks::of([""]).is_empty());
    assert!(format!("{masks:?}").starts_with("Masks("));
    assert_eq!(Masks::of(["*"]).apply("a*b"), "a*b");
    assert_eq!(masks.apply_cut("p@ss/w\"rd at p@ss"), "******** at ********");
    assert_eq!(masks.apply_cut("it ends with p@"), "it ends with p@");
}

fn summary(json: &str, payload: &str) -> summary::Summary {
    let templates = SummaryTemplates::read(&Json::parse(json).unwrap(), "/summary").unwrap();
    let payload = Json::parse(payload).unwrap();
    let mut scope = Scope::new();
    scope.lend("payload", &payload);
    templates.render(&scope, "a.b", &mut Budget::render())
}

#[test]
fn a_summary_is_within_its_limits() {
    let templates = r#"{"title":"{{ payload.t }}","message":"{{ payload.m }}","link":"{{ payload.l }}","level":"{{ payload.v }}"}"#;
    let full = summary(
        templates,
        r#"{"t":" a\nb\u0000 ","m":"x\u0007\ty\n","l":"https://example.com/1","v":"error"}"#,
    );
    assert_eq!((full.title.as_str(), full.message.as_str(), full.level), ("a b", "x\ty", Level::Error));
    assert_eq!(full.link.as_deref(), Some("https://example.com/1"));
    let bare = summary(templates, r#"{"l":"javascript:alert(1)","v":"fatal"}"#);
    assert_eq!(
        (bare.title.as_str(), bare.message.as_str(), bare.link, bare.level),
        ("a.b", "", None, Level::Info)
    );
    let long =
        summary(templates, &format!(r#"{{"t":"{0}","m":"{0}","l":"https://x/{0}"}}"#, "é".repeat(20_000)));
    assert_eq!((long.title.chars().count(), long.message.chars().count(), long.link), (300, 16_000, None));
    assert!(long.title.ends_with('…'));
    let default = summary("null", r#"{"a":{"b":1}}"#);
    assert_eq!((default.title.as_str(), default.message.as_str()), ("a.b", "a.b: 1"));
    let wrong = |json: &str| {
        SummaryTemplates::read(&Json::parse(json).unwrap(), "/summary").map(|_| ()).unwrap_err().0[0]
            .pointer
            .clone()
    };
    assert_eq!(wrong(r#"{"title":"{{ secrets.x }}"}"#), "/summary/title");
    assert_eq!(wrong(r#"{"titel":"x"}"#), "/summary/titel");
    assert_eq!(wrong(r#"{"link":1}"#), "/summary/link");
    assert_eq!(wrong(r#"{"level":"{{ headers.x }}"}"#), "/summary/level");
}

#[test]
fn what_a_shape_uses_is_known() {
    let shape =
        read_at("https://example.com/{{ event.type }}", r#"{"body":{"a":["{{ summary.title }}"]}}"#).unwrap();
    assert!(shape.uses("summary") && shape.uses("event") && !shape.uses("payload"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// Any payload in any leaf: the body is JSON, and the URL keeps its host.
    #[test]
    fn bodies_are_valid_json_whatever_the_payload(
        a in crate::domain::expr::any_json(),
        filter in proptest::sample::select(&["", "|truncate(3)", "|upper", "|outline(2)", "|tojson", "|quiet", "|first", "|length"][..]),
    ) {
        let payload = serde_json::json!({"a": a, "list": [a, 1, a]}).to_string();
        let json = Json::parse(&payload).unwrap();
        let request = format!(
            r#"{{"query":{{"q":"{{{{ payload.a{filter} }}}}"}},"headers":{{"X-A":"{{{{ payload.a{filter} }}}}"}},
                "body":{{"k":"{{{{ payload.a{filter} }}}}","t":"x{{{{ payload.a{filter} }}}}",
                "e":{{"$each":"payload.list","$do":["{{{{ item{filter} }}}}"]}}}}}}"#
        );
        let shape = read_at("https://example.com/p{{ payload.a }}/x", &request).unwrap();
        let mut scope = Scope::new();
        scope.lend("payload", &json);
        let (mut budget, mut notes) = (Budget::render(), Notes::default());
        let result = shape.render(&scope, &mut Run::new(&mut budget).with_notes(&mut notes));
        if let Ok(rendered) = result {
            let Body::Made(body) = rendered.body else { panic!("no body") };
            prop_assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{}", body);
            let url = url::Url::parse(&rendered.url).unwrap();
            prop_assert_eq!(url.host_str(), Some("example.com"));
            prop_assert!(url.path().ends_with("/x") && url.fragment().is_none(), "{}", url);
            prop_assert_eq!(url.path_segments().unwrap().count(), 2);
            prop_assert!(rendered.headers.iter().all(|(_, value)| value.bytes().all(|b| (0x20..0x7f).contains(&b))));
        }
        prop_assert!(budget.cost() != Cost::default());
    }

    #[test]
    fn encoding_is_undone_by_decoding(text in "\\PC{0,20}|[\\x00-\\x7f]{0,20}") {
        let mut encoded = String::new();
        encode(&text, &mut encoded);
        let form = format!("k={encoded}");
        let decoded: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).collect();
        prop_assert_eq!(&decoded[0].1, &text);
    }
}
