//! What is in the language gives what Jinja2 gives: minijinja renders the same, apart from the documented
//! differences. The templates are the recipes of the gallery, and generated ones.

use std::borrow::Cow;

use minijinja::value::{Rest, Serde, ValueKind};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use proptest::prelude::*;

use super::*;

/// Filters that Jinja2 does not have, or has with another meaning: minijinja calls ours, so that everything around
/// them is compared.
const OWN: &[&str] = &[
    "truncate",
    "truncate_bytes",
    "lines",
    "after",
    "snake",
    "slug",
    "map",
    "sort",
    "selectattr",
    "date",
    "filesize",
    "duration",
    "tojson",
    "urlencode",
    "b64",
    "color",
    "html",
    "md",
    "mdv2",
    "slack",
    "quiet",
    "outline",
    "round",
    "int",
    "float",
    "d",
    "default",
    "length",
    "unique",
    "join",
];

fn own(filter: &str, value: &minijinja::Value, arguments: &[minijinja::Value]) -> minijinja::Value {
    let names = ["a", "b", "c"];
    let call = if arguments.is_empty() {
        String::new()
    } else {
        format!("({})", arguments.iter().map(constant).collect::<Vec<_>>().join(","))
    };
    let text = serde_json::to_string(value).unwrap();
    let json = Json::parse(&text).unwrap();
    let mut scope = Scope::new();
    if !value.is_undefined() {
        scope.lend("x", &json);
    }
    let expression = Expression::parse(&format!("x|{filter}{call}"), &Names::of(&["x", names[0]])).unwrap();
    let mut budget = Budget::render();
    let result = expression.evaluate(&scope, &mut Run::new(&mut budget)).unwrap();
    if result.is_missing() {
        return minijinja::Value::UNDEFINED;
    }
    let mut out = String::new();
    result.write_json(&mut out);
    minijinja::Value::from(Serde(serde_json::from_str::<serde_json::Value>(&out).unwrap()))
}

fn constant(value: &minijinja::Value) -> String {
    match value.as_str() {
        Some(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")),
        None => serde_json::to_string(value).unwrap(),
    }
}

fn oracle() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Chainable);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_formatter(|out, _, value| match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(()),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => {
            write_to(out, &serde_json::to_string(value).unwrap())
        }
        // minijinja 3 prints them as Python does.
        ValueKind::Bool => write_to(out, if value.is_true() { "true" } else { "false" }),
        _ => write_to(out, &value.to_string()),
    });
    for filter in OWN {
        let call = move |value: minijinja::Value, rest: Rest<minijinja::Value>| own(filter, &value, &rest);
        env.add_filter(*filter, call);
    }
    env
}

fn write_to(out: &mut minijinja::Output<'_>, text: &str) -> Result<(), minijinja::Error> {
    out.write_str(text).map_err(minijinja::Error::from)
}

fn ours(template: &str, payload: &str, summary: &Json<'_>) -> String {
    let names = Names::of(&["payload", "payload_text", "event", "summary", "headers", "delivery"]);
    let parsed = Template::parse(template, &names).unwrap_or_else(|e| panic!("{template}: {e}"));
    let payload_json = Json::parse(payload).unwrap();
    let mut scope = Scope::new();
    scope.lend("payload", &payload_json);
    scope.set("payload_text", Json::text(payload));
    scope.lend("summary", summary);
    scope.set("event", event());
    scope.set("headers", Json::object([("x-github-event", Json::text("release"))]));
    scope.set("delivery", Json::object([("id", Json::text("dlv_1"))]));
    parsed.render(&scope, &mut Budget::render()).unwrap_or_else(|e| panic!("{template}: {e}"))
}

fn event() -> Json<'static> {
    Json::object([
        ("id", Json::text("evt_1")),
        ("type", Json::text("github.release.published")),
        ("source", Json::Null),
        ("created_at", Json::text("2026-03-01T12:00:00Z")),
    ])
}

fn theirs(
    env: &Environment<'_>,
    template: &str,
    payload: &str,
    summary: &Json<'_>,
) -> Result<String, String> {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let scope = serde_json::json!({
        "payload": read(payload), "payload_text": payload, "summary": read(&summary.to_text()),
        "event": read(&event().to_text()), "headers": {"x-github-event": "release"}, "delivery": {"id": "dlv_1"},
    });
    env.render_str(template, minijinja::Value::from(Serde(scope))).map_err(|e| format!("{e:#}"))
}

/// Recipes and payloads.
fn data() -> (Vec<String>, Vec<String>) {
    let data: serde_json::Value = serde_json::from_str(include_str!("oracle_data.json")).unwrap();
    let list = |key: &str| data[key].as_array().unwrap().clone();
    let templates = list("templates").iter().map(|t| t.as_str().unwrap().to_owned()).collect();
    (templates, list("payloads").iter().map(ToString::to_string).collect())
}

fn summaries() -> Vec<Json<'static>> {
    let long: Cow<'static, str> = Cow::Owned("Zeile mit \"Quotes\" & <b> 😀\n".repeat(1600));
    let of =
        |title: &'static str, message: Cow<'static, str>, link: Option<&'static str>, level: &'static str| {
            Json::object([
                ("title", Json::text(title)),
                ("message", Json::text(message)),
                ("link", Json::optional(link)),
                ("level", Json::text(level)),
            ])
        };
    vec![
        of("Release 1.0", "It's out".into(), Some("https://example.com/1"), "info"),
        of("@everyone *bold* [x](y)", "".into(), None, "error"),
        of("Disk full", long, Some("https://example.com/?a=b&c=d"), "warning"),
        of("ok", "a\nb".into(), None, "success"),
    ]
}

#[test]
fn recipes_render_as_in_minijinja() {
    let (env, (templates, payloads), summaries) = (oracle(), data(), summaries());
    let mut renders = 0;
    for template in &templates {
        for payload in &payloads {
            for summary in &summaries {
                let theirs = theirs(&env, template, payload, summary);
                let ours = ours(template, payload, summary);
                assert_eq!(Ok(ours), theirs, "{template}\n{payload}");
                renders += 1;
                if !template.contains("summary") {
                    break;
                }
            }
        }
    }
    assert!(templates.len() > 80 && renders > 2_000, "{} templates, {renders} renders", templates.len());
}

const PAYLOAD: &str = r#"{"i":7,"j":-3,"zero":0,"f":2.5,"t":"Hello World","u":"a-b","e":"","yes":true,"no":false,"null":null,
    "texts":["b","a","c"],"ints":[3,1,2],"none":[],"objects":[{"k":"x","n":1},{"k":"y","n":2},{"k":"x","n":3}]}"#;

fn pick(all: &'static [&'static str]) -> BoxedStrategy<String> {
    proptest::sample::select(all).prop_map(str::to_owned).boxed()
}

/// Expressions that give a text, a whole number, a truth value, a list; each from smaller ones.
struct Grammar {
    text: BoxedStrategy<String>,
    number: BoxedStrategy<String>,
    truth: BoxedStrategy<String>,
    list: BoxedStrategy<String>,
}

/// Expressions without others inside.
fn leaves() -> Grammar {
    Grammar {
        text: pick(&[
            "payload.t",
            "payload.u",
            "payload.e",
            "'x'",
            "\"it's\"",
            "payload['t']",
            "payload.texts[0]",
        ]),
        number: pick(&[
            "payload.i",
            "payload.j",
            "payload.zero",
            "3",
            "payload.ints[-1]",
            "payload.objects.1.n",
        ]),
        truth: pick(&[
            "true",
            "payload.yes",
            "payload.no",
            "payload.gone is defined",
            "payload.null is none",
        ]),
        list: pick(&[
            "payload.texts",
            "payload.ints",
            "payload.none",
            "[1, 2]",
            "['x', 'y']",
            "payload.objects",
        ]),
    }
}

type Texts = BoxedStrategy<String>;

fn binary(a: &Texts, operators: &'static [&'static str], b: &Texts) -> Texts {
    (a.clone(), pick(operators), b.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")).boxed()
}

fn paren(a: Texts) -> Texts {
    a.prop_map(|a| format!("({a})")).boxed()
}

fn piped(a: &Texts, filters: &'static [&'static str]) -> Texts {
    (a.clone(), pick(filters)).prop_map(|(a, filter)| format!("({a})|{filter}")).boxed()
}

fn choice(a: &Texts, c: &Texts) -> Texts {
    (a.clone(), c.clone(), a.clone()).prop_map(|(a, c, b)| format!("({a} if {c} else {b})")).boxed()
}

fn grammar(depth: u32) -> Grammar {
    if depth == 0 {
        return leaves();
    }
    let g = grammar(depth - 1);
    Grammar {
        text: prop_oneof![
            g.text.clone(),
            binary(&g.text, &["~"], &g.number),
            paren(binary(&g.text, &["or", "and"], &g.text)),
            piped(
                &g.text,
                // Not first and last: of an empty text they are missing, which orders in another way there.
                &["lower", "upper", "capitalize", "trim", "replace('l','L')", "d('z')"]
            ),
            piped(&g.list, &["join('-')", "join"]),
            piped(&g.text, &["default('z')", "reverse", "truncate(4)", "slug"]),
            choice(&g.text, &g.truth),
        ]
        .boxed(),
        number: prop_oneof![
            g.number.clone(),
            paren(binary(&g.number, &["+", "-", "*"], &g.number)),
            g.number.clone().prop_map(|n| format!("-({n})")),
            piped(&g.number, &["abs", "int", "round"]),
            piped(&g.list, &["length"]),
            piped(&g.text, &["length"]),
            choice(&g.number, &g.truth),
        ]
        .boxed(),
        truth: prop_oneof![
            g.truth.clone(),
            paren(binary(&g.number, &["==", "!=", "<", "<=", ">", ">="], &g.number)),
            paren(binary(&g.text, &["==", "!=", "<", ">", "in", "not in"], &g.text)),
            paren(binary(&g.text, &["in", "not in"], &g.list)),
            g.truth.clone().prop_map(|t| format!("(not {t})")),
            paren(binary(&g.truth, &["and", "or"], &g.truth)),
            (g.text.clone(), pick(&["string", "number", "not defined", "not none", "mapping"]))
                .prop_map(|(t, test)| format!("(({t}) is {test})")),
        ]
        .boxed(),
        list: prop_oneof![
            g.list.clone(),
            piped(&g.list, &["reverse", "sort", "unique"]),
            choice(&g.list, &g.truth),
            pick(&[
                "payload.objects|map('k')",
                "payload.objects|selectattr('n', '>', 1)|map('n')",
                "payload.gone or payload.texts"
            ]),
        ]
        .boxed(),
    }
}

fn templates() -> BoxedStrategy<String> {
    let g = grammar(3);
    let output = prop_oneof![g.text.clone(), g.number.clone(), g.truth.clone(), g.list.clone()]
        .prop_map(|e| format!("{{{{ {e} }}}}"))
        .boxed();
    let text = pick(&["", " a ", "\n", "{ }", "x\n", "%", "}}"]);
    let leaf = prop_oneof![output.clone(), text.clone()].boxed();
    let blocks = prop_oneof![
        (g.truth.clone(), leaf.clone(), leaf.clone())
            .prop_map(|(c, a, b)| format!("{{% if {c} %}}{a}{{%- else -%}}{b}{{% endif %}}")),
        (g.text.clone(), leaf.clone(), g.truth, leaf.clone())
            .prop_map(|(c, a, d, b)| format!("{{% if {c} %}}{a}{{% elif {d} -%}} {b}{{% endif %}}")),
        (g.list, text.clone())
            .prop_map(|(l, t)| format!("{{% for item in {l} %}}{t}{{{{ item }}}}{{% endfor %}}")),
        leaf,
    ];
    proptest::collection::vec(blocks, 1..4).prop_map(|all| all.concat()).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn generated_templates_render_as_in_minijinja(template in templates()) {
        let summary = Json::Null;
        let theirs = theirs(&oracle(), &template, PAYLOAD, &summary);
        let ours = ours(&template, PAYLOAD, &summary);
        prop_assert_eq!(Ok(ours), theirs, "{}", template);
    }
}
