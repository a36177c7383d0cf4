//! Templates and payloads that try to take long, to become large, or to crash. `cargo test --release -- hostile
//! --nocapture` prints the time of each; docs/integrations-language.md has the figures.

use std::fmt::Write;

use proptest::prelude::*;

use super::catalog::FILTERS;
use super::*;

const NAMES: Names<'static> = Names::of(&["payload", "payload_text", "event", "summary"]);

/// 256 KiB is the default limit of an event; unoptimized code gets less to do.
const SIZE: usize = if cfg!(debug_assertions) { 24 * 1024 } else { 256 * 1024 };

/// Payloads that are large, each bad in its own way.
fn payloads() -> Vec<(&'static str, String)> {
    let list = |element: &str| format!("[{}]", vec![element; SIZE / (element.len() + 1)].join(","));
    let mut keys = String::from("{");
    for i in 0..SIZE / 12 {
        let _ = write!(keys, "{}\"k{i}\":{}", if i > 0 { "," } else { "" }, i % 10);
    }
    keys.push('}');
    let field = |value: &str| format!("{{\"a\":{value},\"b\":{value}}}");
    let half_text = |unit: &str| format!("\"{}\"", unit.repeat(SIZE / 2 / unit.len()));
    vec![
        ("list of numbers", field(&list("1"))),
        (
            "list of different numbers",
            format!("{{\"a\":[{}]}}", (0..SIZE / 6).map(|i| i.to_string()).collect::<Vec<_>>().join(",")),
        ),
        ("list of lists", field(&format!("[{}]", vec!["[[[[1]]]]"; SIZE / 20].join(",")))),
        ("list of objects", format!("{{\"a\":[{}]}}", vec![r#"{"b":{"c":"xyzzy"}}"#; SIZE / 22].join(","))),
        ("many keys", format!("{{\"a\":{keys},\"b\":{keys}}}")),
        ("a long text", field(&half_text("a"))),
        ("a text of quotes", field(&half_text("\\\""))),
        ("a text of emoji", field(&half_text("😀"))),
        ("a text of line breaks", field(&half_text("\\n"))),
        ("a long number", field(&"9".repeat(SIZE / 2))),
        ("a long zero", field(&format!("0.{}", "0".repeat(SIZE / 2)))),
        ("whole numbers that are one float", whole_numbers(SIZE / 40)),
        ("long keys", field(&format!("[{{\"{0}a\":1}},{{\"{0}b\":1}}]", "k".repeat(SIZE / 5)))),
        (
            "list of texts of 1,000 bytes",
            format!("{{\"a\":{}}}", list(&format!("\"{}\"", "t".repeat(1_000)))),
        ),
        ("deep", format!("{{\"a\":{}{}}}", "[".repeat(120), "]".repeat(120))),
        ("nothing", "{}".to_owned()),
    ]
}

/// Different whole numbers that are the same floating-point number, so that their hashes are equal.
fn whole_numbers(count: usize) -> String {
    let numbers: Vec<String> = (0..count).map(|i| format!("1{:018}{i:019}", 0)).collect();
    format!("{{\"a\":[{}]}}", numbers.join(","))
}

/// A template of the greatest length, of this piece over and over.
fn fill(unit: &str) -> String {
    unit.repeat(TEMPLATE_MAX / unit.len())
}

/// One expression through as many filters as there is room for.
fn piped(head: &str, filter: &str) -> String {
    let tail = " }}";
    format!("{{{{ {head}{}{tail}", format!("|{filter}").repeat((TEMPLATE_MAX - 40) / (filter.len() + 1)))
}

/// Templates that use everything there is to use, as much as a template may.
fn templates() -> Vec<String> {
    let filters = [
        "urlencode",
        "b64",
        "html",
        "mdv2",
        "upper",
        "snake",
        "quiet",
        "replace('a','bb')",
        "tojson",
        "reverse",
        "replace('aab','')",
    ];
    let piped = filters.iter().map(|filter| piped("payload_text", filter));
    full().into_iter().chain(nested()).chain(piped).chain(searches()).collect()
}

/// Many small pieces.
fn full() -> Vec<String> {
    vec![
        fill("{{ payload }}"),
        fill("{{ payload|tojson }}"),
        fill("{{ payload|outline(100000) }}"),
        fill("{{ payload.a|length }}"),
        fill("{{ payload.a == payload.b }}"),
        fill("{{ payload.a < payload.b }}"),
        fill("{{ payload.b in payload.a }}"),
        fill("{{ payload.a|sort|first }}"),
        fill("{{ payload.a|sort('b.c')|first }}"),
        fill("{{ payload.a|unique|length }}"),
        fill("{% if payload.a and payload.b %}x{% endif %}"),
        fill("{{ payload[payload.b] }}"),
        fill("{{ payload.a|map('b.c')|join(payload.a) }}"),
        fill("{{ payload.a|selectattr('b.c','!=',payload.b)|length }}"),
        fill("{{ payload.a|reverse|last }}"),
        fill("{{ payload.a|join(payload.b)|length }}"),
        fill("{% if payload.a|length > 3 %}x{% endif %}"),
        fill("{{ -payload.a * payload.a / payload.b + payload.a }}"),
        fill("{{ payload_text|truncate(262143)|after('b')|trim|length }}"),
        fill("{% if 1 %}{% endif %}"),
    ]
}

/// Loops in loops, long chains, and results that become larger.
fn nested() -> Vec<String> {
    vec![
        "{% for x in payload.a %}{% for y in payload.a %}{% for z in payload.a %}{% endfor %}{% endfor %}{% endfor %}".to_owned(),
        "{% for x in payload.a %}{% for y in payload.a %}{{ payload_text }}{% endfor %}{% endfor %}".to_owned(),
        "{% for x in payload.a %}{{ payload.a|sort|unique|reverse|length }}{% endfor %}".to_owned(),
        "{% for x in payload.a %}{{ payload.a[-1] ~ payload.a.k21000 }}{% endfor %}".to_owned(),
        "{% for x in payload.a %}{% if payload.a == payload.b %}x{% endif %}{% endfor %}".to_owned(),
        "{% for x in payload.a %}{{ payload.a|tojson|length }}{% endfor %}".to_owned(),
        "{% for x in payload_text|lines(9) %}{% endfor %}{{ payload_text|replace('', 'xx') }}".to_owned(),
        "{{ payload_text|replace('a', payload_text)|replace('a', payload_text) }}".to_owned(),
        "{{ payload_text|replace('1', payload_text)|replace('1', payload_text) }}".to_owned(),
        "{{ payload.a|round(99) ~ payload.a * payload.a ~ payload.a|filesize ~ payload.a|duration ~ payload.a|int }}".to_owned(),
        "{{ 1|date('%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y') }}".to_owned(),
        "{{ (payload_text ~ payload_text)|upper|lower|html|mdv2|b64|urlencode|snake|slug }}".to_owned(),
        format!("{{{{ payload.a{} }}}}", "[0]".repeat(5_000)),
        format!("{{{{ payload.a|map('{}')|length }}}}", "k".repeat(16_000)),
        format!("{{{{ payload.a|selectattr('{}')|length }}}}", "k".repeat(16_000)),
        format!("{{{{ payload{} }}}}", ".a".repeat(8_000)),
        format!("{{{{ 1{} }}}}", " ~ payload".repeat(1_600)),
        format!("{{{{ payload.a{} }}}}", " or payload.gone".repeat(1_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(31), ")".repeat(31)),
    ]
}

/// Regular expressions that are slow elsewhere.
fn searches() -> Vec<String> {
    let mut all = Vec::new();
    let patterns = [
        "(x+x+)+y",
        r"((?-u:\\w)+\\s?)+$",
        "(a|b|ab|ba){1,60}c",
        r"\\w[^q]z$",
        ".{0,20}z",
        "[a-q][^u-z]{12}x",
        "(.*)(.*)(.*)(.*)z$",
    ];
    for pattern in patterns {
        for text in ["payload.a", "payload_text"] {
            all.push(format!("{{% for x in [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16] %}}{{{{ {text} is search('{pattern}') }}}}{{% endfor %}}"));
        }
    }
    all
}

/// The limits hold and the result is bounded; how long it took.
fn attempt(template: &Template, payload: &Json<'_>, text: &str, budget: fn() -> Budget) -> u128 {
    let mut scope = Scope::new();
    scope.lend("payload", payload);
    scope.set("payload_text", Json::text(text));
    #[allow(clippy::disallowed_methods)]
    let start = std::time::Instant::now();
    let mut spent = budget();
    let result = template.render(&scope, &mut spent);
    let took = start.elapsed().as_micros();
    let cost = spent.cost();
    assert!(cost.steps <= 20_000 && cost.bytes <= 1024 * 1024, "{cost:?}");
    if let Ok(out) = result {
        assert!(out.len() <= 256 * 1024);
    }
    took
}

#[test]
fn hostile_templates_end_within_their_budget() {
    let mut times = Vec::new();
    for source in templates() {
        let template = Template::parse(&source, &NAMES).unwrap_or_else(|e| panic!("{e}: {source}"));
        for (name, payload) in payloads() {
            let json = Json::parse(&payload).unwrap();
            for budget in [Budget::render, Budget::filter] {
                let took = attempt(&template, &json, &payload, budget);
                times.push((took, name, source.chars().take(70).collect::<String>()));
            }
        }
    }
    times.sort();
    for (took, payload, template) in times.iter().rev().take(20) {
        println!("{took:>8} µs  {payload}: {template}");
    }
    assert!(times.len() > 1_000, "{} runs", times.len());
}

/// What a run of a template with this payload ends with.
fn ended(source: &str, payload: &str) -> Option<Overrun> {
    let template = Template::parse(source, &NAMES).unwrap();
    let json = Json::parse(payload).unwrap();
    let mut scope = Scope::new();
    scope.lend("payload", &json);
    template.render(&scope, &mut Budget::render()).err()
}

#[test]
fn small_work_is_charged_however_small_its_pieces_are() {
    let steps = Some(Overrun::Steps(20_000));
    // Each is compared with all before it: n²/2 comparisons.
    assert_eq!(ended("{{ payload.a|unique|length }}", &whole_numbers(100)), None);
    assert_eq!(ended("{{ payload.a|unique|length }}", &whole_numbers(600)), steps);
    let zero = format!("{{\"a\":0.{}}}", "0".repeat(20_000));
    let asked = |times: usize| "{% if payload.a %}{% endif %}".repeat(times);
    assert_eq!((ended(&asked(10), &zero), ended(&asked(100), &zero)), (None, steps));
    let path = "k".repeat(10_000);
    let list = |elements: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(elements));
    for filter in ["map", "selectattr", "sort"] {
        let template = format!("{{{{ payload.a|{filter}('{path}')|length }}}}");
        assert_eq!((ended(&template, &list(100)), ended(&template, &list(4_000))), (None, steps), "{filter}");
    }
    let keys = format!("{{\"a\":[{{\"{0}a\":1}},{{\"{0}b\":1}}],\"b\":\"{0}\"}}", "k".repeat(40_000));
    for piece in [
        "{{ payload.a|unique|length }}",
        "{{ payload.a[0] == payload.a[0] }}",
        "{{ payload.a[1][payload.b] }}",
    ] {
        assert_eq!(
            (ended(&piece.repeat(10), &keys), ended(&piece.repeat(480), &keys)),
            (None, steps),
            "{piece}"
        );
    }
}

/// Every filter of the language with arguments that it takes: `|lower`, `|truncate(3)`.
fn filters() -> Vec<String> {
    const ARGUMENTS: [&str; 8] = ["'a'", "3", "0", "-400", "'%Y %j %f'", "'=='", "'defined'", "payload.b"];
    let mut all = Vec::new();
    for (name, _, least, most) in FILTERS {
        let mut calls = vec![String::new()];
        let mut fitting = Vec::new();
        for count in 0..=*most {
            let tails = calls.iter().map(|arguments| match arguments.as_str() {
                "" => format!("|{name}"),
                arguments => format!("|{name}({arguments})"),
            });
            let fits = |tail: &String| Template::parse(&format!("{{{{ payload{tail} }}}}"), &NAMES).is_ok();
            fitting.extend(tails.filter(|_| count >= *least).filter(fits));
            let longer = |before: &String| {
                let comma = if before.is_empty() { "" } else { "," };
                ARGUMENTS.map(|argument| format!("{before}{comma}{argument}"))
            };
            calls = calls.iter().flat_map(longer).collect();
        }
        assert!(!fitting.is_empty(), "{name} takes other arguments");
        // As many of each, however many arguments it takes.
        all.extend(fitting.iter().step_by(fitting.len().div_ceil(8)).cloned());
    }
    all
}

/// One of these pieces, or a filter.
fn or_filter(pieces: &'static [&'static str]) -> BoxedStrategy<String> {
    let piece = proptest::sample::select(pieces).prop_map(str::to_owned);
    prop_oneof![piece, proptest::sample::select(filters())].boxed()
}

/// Pieces of templates, besides filters.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "-%}",
    "{{-",
    " if ",
    " else ",
    " for x in ",
    "endif",
    "endfor",
    "elif ",
    "payload",
    "payload.a",
    "payload.b[0]",
    "[",
    "]",
    "(",
    ")",
    ".",
    "|",
    "'",
    "\"",
    "\\",
    "é",
    "😀",
    "\n",
    " ",
    "1",
    "-1",
    "1.5",
    "1e9",
    " ~ ",
    " + ",
    " - ",
    " * ",
    " / ",
    " == ",
    " != ",
    " < ",
    " in ",
    " not ",
    " and ",
    " or ",
    " is ",
    "defined",
    "match('a*')",
    "x",
    "true",
    "none",
];

/// Pieces of templates, right and wrong.
fn fragments() -> BoxedStrategy<String> {
    proptest::collection::vec(or_filter(PIECES), 0..24).prop_map(|all| all.concat()).boxed()
}

/// How expressions begin and go on, besides by filters.
const HEADS: &[&str] =
    &["payload", "payload.a", "payload.b", "payload.a[0]", "payload_text", "1.5", "'a@b <é>'", "[1,'a']"];
const TAILS: &[&str] = &[
    "[0]",
    "[-1]",
    ".a",
    "['b']",
    " ~ payload.a",
    " + 1",
    " * payload.b",
    " / 0",
    " == payload.b",
    " < payload.b",
    " in payload",
    " not in payload.a",
    " is match('a|b')",
    " is sequence",
    " or payload.b",
    " and 1",
    " if payload.a",
    " if 0 else 2",
];

/// Templates that parse: pieces of expressions between delimiters.
fn sensible() -> BoxedStrategy<String> {
    let tails = proptest::collection::vec(or_filter(TAILS), 0..5);
    let expression = (proptest::sample::select(HEADS), tails)
        .prop_map(|(head, tails)| {
            tails.iter().fold(head.to_owned(), |e, tail| {
                if tail.starts_with(['|', '.', '[']) {
                    format!("({e}){tail}")
                } else {
                    format!("({e}{tail})")
                }
            })
        })
        .boxed();
    (expression.clone(), expression.clone(), expression)
        .prop_map(|(a, b, c)| format!("{{{{ {a} }}}}{{% for x in {b} %}}{{% if x %}}{{{{ x }}}}{{% endif %}}{{% endfor %}}{{{{ {c} }}}}"))
        .boxed()
}

pub(in crate::domain) fn any_json() -> BoxedStrategy<serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[ -~é😀\n\"\\\\]{0,12}".prop_map(Into::into),
        "\\PC{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec(("[abc]{1,2}|\\PC{0,3}", inner), 0..16)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_text_is_a_template_or_has_an_error_with_a_place(text in fragments(), payload in any_json()) {
        let payload = payload.to_string();
        match Template::parse(&text, &NAMES) {
            Err(error) => {
                prop_assert!(error.line >= 1 && error.column >= 1 && !error.message.is_empty());
                prop_assert!(error.line as usize <= text.matches('\n').count() + 1);
            }
            Ok(template) => {
                attempt(&template, &Json::parse(&payload).unwrap(), &payload, Budget::render);
            }
        }
        let _ = Expression::parse(&text, &NAMES);
    }

    #[test]
    fn any_template_ends_whatever_the_payload(template in sensible(), a in any_json(), b in any_json()) {
        let payload = serde_json::json!({"a": a, "b": b}).to_string();
        let json = Json::parse(&payload).unwrap();
        let parsed = Template::parse(&template, &NAMES);
        prop_assert!(parsed.is_ok(), "{template}: {:?}", parsed.err());
        if let Ok(parsed) = parsed {
            attempt(&parsed, &json, &payload, Budget::render);
            attempt(&parsed, &json, &payload, Budget::filter);
        }
    }

    #[test]
    fn json_is_read_and_written_as_by_serde_json(value in any_json()) {
        let text = value.to_string();
        let ours = Json::parse(&text).unwrap();
        prop_assert_eq!(ours.to_text(), text.clone());
        let (bytes, _) = ours.measure();
        prop_assert!(bytes >= text.len());
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(Json::parse(&pretty).unwrap(), ours);
    }

    #[test]
    fn json_cut_anywhere_is_refused_as_by_serde_json(value in any_json(), at in any::<proptest::sample::Index>()) {
        let text = value.to_string();
        let mut end = at.index(text.len() + 1);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = &text[..end];
        prop_assert_eq!(Json::parse(cut).is_ok(), serde_json::from_str::<serde_json::Value>(cut).is_ok());
    }
}
