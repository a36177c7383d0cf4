//! The rules of the language, one test a rule.

use super::*;

const PAYLOAD: &str = r#"{
    "action": "published", "zero": 0, "empty": "", "no": null, "yes": true, "off": false,
    "written": 1.0, "exponent": 1e2, "id": 123456789012345678901234567890, "float": 2.5,
    "name": "Ada", "text": "one\ntwo\r\nthree", "list": ["b", "a", "b", 10, 9, 1.0, 1, null, {"k": 1}, {"k": 1.0}],
    "alerts": [
        {"labels": {"severity": "critical", "n": 2}, "value": 3},
        {"labels": {"severity": "page", "n": 1}, "value": "x"},
        {"labels": {}}
    ],
    "a-b": {"in": "keyword"}, "0": "digit", "nested": {"z": 1, "a": [true, "x\"y"]}
}"#;

const NAMES: Names<'static> = Names::of(&["payload", "event"]);

fn rendered(template: &str) -> String {
    let payload = Json::parse(PAYLOAD).unwrap();
    let mut scope = Scope::new();
    scope.lend("payload", &payload);
    scope.set("event", Json::object([("type", Json::text("release.published"))]));
    let parsed = Template::parse(template, &NAMES).unwrap_or_else(|e| panic!("{template}: {e}"));
    parsed.render(&scope, &mut Budget::render()).unwrap_or_else(|e| panic!("{template}: {e}"))
}

fn is_true(expression: &str) -> bool {
    let payload = Json::parse(PAYLOAD).unwrap();
    let mut scope = Scope::new();
    scope.lend("payload", &payload);
    let parsed = Expression::parse(expression, &NAMES).unwrap_or_else(|e| panic!("{expression}: {e}"));
    parsed.is_true(&scope, &mut Budget::filter()).unwrap_or_else(|e| panic!("{expression}: {e}"))
}

fn refused(template: &str) -> String {
    let error = Template::parse(template, &NAMES);
    error.map(|_| ()).expect_err(template).to_string()
}

/// Renders each on the left and compares with the right.
fn table(rows: &[(&str, &str)]) {
    for (template, expected) in rows {
        assert_eq!(rendered(template), *expected, "{template}");
    }
}

/// Renders `{{ … }}` around each on the left and compares with the right.
fn values(rows: &[(&str, &str)]) {
    for (expression, expected) in rows {
        assert_eq!(rendered(&format!("{{{{ {expression} }}}}")), *expected, "{expression}");
    }
}

#[test]
fn values_print_towards_json() {
    values(&[
        ("payload.yes", "true"),
        ("payload.off", "false"),
        ("payload.no", ""),
        ("payload.gone.further[3].x", ""),
        ("payload.written", "1.0"),
        ("payload.exponent", "1e2"),
        ("payload.id", "123456789012345678901234567890"),
        ("payload.nested", r#"{"z":1,"a":[true,"x\"y"]}"#),
        ("['a', 1, -2.5, true, none]", r#"["a",1,-2.5,true,null]"#),
        ("'\\d\\n\\'\\\\'", "\\d\n'\\"),
        ("True", "true"),
    ]);
}

#[test]
fn paths_reach_fields_and_elements() {
    values(&[
        ("payload.alerts[0].labels.severity", "critical"),
        ("payload.alerts.1.labels['severity']", "page"),
        ("payload.alerts[-1]", r#"{"labels":{}}"#),
        ("payload.alerts[-9]", ""),
        ("payload.alerts[1.0].value", "x"),
        ("payload['a-b'].in", "keyword"),
        ("payload.0", "digit"),
        ("payload[payload.empty]", ""),
        ("payload['na' ~ 'me']", "Ada"),
        ("payload.name[0]", "A"),
        ("payload.name[-1]", "a"),
        ("(payload.gone or payload.nested).z", "1"),
        ("payload.nested.a.0", "true"),
    ]);
}

#[test]
fn conditions_are_as_in_jinja2() {
    table(&[
        ("{% if payload.zero %}a{% elif payload.name %}b{% else %}c{% endif %}", "b"),
        ("{% if payload.gone %}a{% endif %}", ""),
        ("{% for a in payload.alerts %}{{ a.value }},{% endfor %}", "3,x,,"),
        ("{% for c in payload.name %}{{ c }}{% endfor %}{% for c in payload.nested %}x{% endfor %}", ""),
        ("{% for a in [1,2] %}{% for b in ['x','y'] %}{{ a ~ b }} {% endfor %}{% endfor %}", "1x 1y 2x 2y "),
        ("{{ 'a' if payload.yes }}{{ 'b' if payload.no }}", "a"),
        ("{{ 1 if false else 2 if false else 3 }}", "3"),
        ("a {#- comment -#} b", "ab"),
        ("a  {{- ' ' -}}  b", "a b"),
        ("x\n{%- if true -%}\n y \n{%- endif %}\n", "xy"),
        ("line\n", "line"),
        ("{ {not} }} %}", "{ {not} }} %}"),
    ]);
}

#[test]
fn what_is_missing_equals_nothing() {
    for expression in [
        "payload.gone == payload.gone",
        "payload.gone == none",
        "payload.gone < 10",
        "payload.gone >= 0",
        "payload.gone in ['x']",
        "payload.gone is match('')",
        "payload.gone is none",
        "'x' in payload.gone",
        "payload.gone == ''",
        "not payload.name",
        "payload.no == false",
        "true == 1",
        "true is number",
        "'a' is sequence",
        "payload.nested is sequence",
        "1 < 'a'",
        "none < 1",
        "[1] < [2]",
    ] {
        assert!(!is_true(expression), "{expression}");
    }
    for expression in [
        "payload.gone != 1",
        "payload.gone not in ['x']",
        "payload.gone is not defined",
        "payload.no is defined",
        "payload.no is none",
        "none == none",
        "payload.gone|length == 0",
        "payload.written == 1",
        "payload.exponent == 100",
        "payload.id == 123456789012345678901234567890",
        "payload.id != 123456789012345678901234567891",
        "payload.alerts is sequence and payload.nested is mapping and payload.name is string",
        "payload.list[8] == payload.list[9]",
        "1 < 2 < 3 and not (3 > 2 > 2)",
        "'Ad' in payload.name and 'name' in payload and 'gone' not in payload",
        "payload.action is match('pub') and payload.action is not match('lish') and payload.action is search('lish')",
        "payload.zero is match('0')",
        "'a' < 'b' and 'Z' < 'a'",
    ] {
        assert!(is_true(expression), "{expression}");
    }
}

#[test]
fn a_filter_is_truthy_as_in_jinja2() {
    for expression in ["payload", "payload.name", "payload.float", "[0]", "'0'", "payload.written", "-1"] {
        assert!(is_true(expression), "{expression}");
    }
    for expression in ["payload.zero", "''", "[]", "none", "payload.gone", "0.0", "payload.off", "0 * -1"] {
        assert!(!is_true(expression), "{expression}");
    }
}

#[test]
fn arithmetic_is_of_numbers_and_precedence_is_that_of_jinja2() {
    values(&[
        ("1 + 2 * 3", "7"),
        ("7 / 2", "3.5"),
        ("4 / 2", "2.0"),
        ("1 / 0", ""),
        ("-payload.float", "-2.5"),
        ("- -1", "1"),
        ("-1|abs", "1"),
        ("1 - 2 - 3", "-4"),
        ("2 * 3 ~ 1 + 1", ""),
        ("1 ~ 2 * 3", "16"),
        ("'a' + 'b'", ""),
        ("true + 1", ""),
        ("0.1 + 0.2", "0.30000000000000004"),
        ("9223372036854775807 + 1", "9223372036854775808"),
        ("170141183460469231731687303715884105727 + 1", ""),
        ("1e308 * 10", ""),
        ("payload.id + 1", "123456789012345678901234567891"),
        ("'a' ~ payload.gone ~ none ~ 1.0 ~ payload.yes", "a1.0true"),
        ("payload.gone or 'x'", "x"),
        ("payload.name and 'y'", "y"),
        ("payload.zero and 'y'", "0"),
        ("not payload.gone or false", "true"),
    ]);
}

#[test]
fn filters_of_texts() {
    values(&[
        ("payload.gone|default('x')", "x"),
        ("payload.no|d('x')", "x"),
        ("payload.empty|d('x')", ""),
        ("payload.off|d('x')", "false"),
        ("'ÄB'|lower ~ 'äß'|upper ~ 'hELLO wORLD'|capitalize", "äbÄSSHello world"),
        ("' x '|trim", "x"),
        ("'a.b.c'|replace('.', ' ')", "a b c"),
        ("'abc'|replace('', 'x')", "abc"),
        ("'abcdef'|truncate(4)", "abc…"),
        ("'abcd'|truncate(4)", "abcd"),
        ("'a😀b'|truncate(3)", "a…"),
        ("'a😀b'|truncate(4)", "a😀b"),
        ("'abc'|truncate(1) ~ 'abc'|truncate(0)", "…"),
        ("'aéé'|truncate_bytes(4)", "a…"),
        ("'aéé'|truncate_bytes(5)", "aéé"),
        ("'abcd'|truncate_bytes(2)", "ab"),
        ("payload.text|lines(1)", "one"),
        ("payload.text|lines(2)", "one\ntwo"),
        ("payload.text|lines(9) == payload.text", "true"),
        ("'refs/heads/main'|after('/')", "main"),
        ("'main'|after('/')", "main"),
        ("'A\\\\B'|after('\\\\')", "B"),
        ("12|upper", "12"),
        ("payload.gone|upper is defined", "false"),
    ]);
}

#[test]
fn snake_and_slug_split_words() {
    values(&[
        ("'HealthRestored'|snake", "health_restored"),
        ("'HTTPServer'|snake", "http_server"),
        ("'ManualInteractionRequired'|slug", "manual-interaction-required"),
        ("'--a  b.c!'|snake", "a_b_c"),
        ("'ItemAdded2Go'|snake", "item_added2_go"),
        ("'already_snake'|snake", "already_snake"),
        ("'media.play'|slug", "media-play"),
        ("'Ünïcode Größe'|slug", "ünïcode-größe"),
        ("'__'|snake", ""),
        ("'ABC'|snake", "abc"),
    ]);
}

#[test]
fn filters_of_lists() {
    values(&[
        ("payload.list|first ~ (payload.list|last).k", "b1.0"),
        ("payload.alerts|length ~ payload.name|length ~ payload.nested|length", "332"),
        ("[1,2,3]|join(', ')", "1, 2, 3"),
        ("['a','b']|join", "ab"),
        ("payload.alerts|map('labels.severity')|join('/')", "critical/page/"),
        ("payload.alerts|selectattr('labels.severity', '==', 'page')|map('value')|join", "x"),
        ("payload.alerts|selectattr('labels.n', '>', 1)|length", "1"),
        ("payload.alerts|selectattr('value', 'defined')|length", "2"),
        ("payload.alerts|selectattr('labels.severity', 'in', ['page', 'critical'])|length", "2"),
        ("payload.alerts|selectattr('value', '!=', 3)|length", "2"),
        ("payload.alerts|selectattr('labels.n')|length", "2"),
        ("payload.alerts|sort('labels.n')|map('labels.n')|first", "1"),
        ("['b','a',10,9,'B']|sort", r#"[9,10,"B","a","b"]"#),
        ("payload.list|unique", r#"["b","a",10,9,1.0,null,{"k":1}]"#),
        ("[1,2,3]|reverse", "[3,2,1]"),
        ("'abc'|reverse ~ 'abc'|first ~ 'abc'|last", "cbaac"),
        ("payload.gone|sort", ""),
        ("payload.gone|map('x')|join(',')", ""),
    ]);
}

#[test]
fn filters_of_numbers() {
    values(&[
        ("2.5|round ~ ' ' ~ 2.4|round ~ ' ' ~ payload.written|round", "3 2 1"),
        ("3.14159|round(2)", "3.14"),
        ("7|round(2)", "7"),
        ("1234|round(-2)", "1200"),
        ("'42'|int ~ ' ' ~ '3.9'|int ~ ' ' ~ -3.9|int ~ ' ' ~ 'x'|int ~ ' ' ~ true|int", "42 3 -3 0 1"),
        ("3|float ~ ' ' ~ '1.5'|float ~ ' ' ~ payload.exponent|float", "3.0 1.5 100.0"),
        ("-3|abs ~ (0 - 2.5)|abs", "32.5"),
        ("'x'|abs", ""),
        ("1503238553|filesize ~ ', ' ~ 512|filesize ~ ', ' ~ 1048575|filesize", "1.4 GiB, 512 B, 1.0 MiB"),
        (
            "7500|duration ~ ', ' ~ 90|duration ~ ', ' ~ 3600|duration ~ ', ' ~ 0|duration",
            "2 h 5 min, 1 min 30 s, 1 h, 0 s",
        ),
        (
            "90061|duration ~ ', ' ~ 0.25|duration ~ ', ' ~ -60|duration ~ ', ' ~ 59.7|duration",
            "1 d 1 h, 250 ms, -1 min, 1 min",
        ),
        ("'x'|duration", ""),
    ]);
}

#[test]
fn filters_of_dates() {
    values(&[
        ("'2026-03-01T12:00:00+00:00'|date('%Y-%m-%d %H:%M', '+01:00')", "2026-03-01 13:00"),
        ("1762850245|date", "2025-11-11 08:37"),
        ("1762850245000|date('%d.%m.%y')", "11.11.25"),
        ("'1762850245'|date('%s')", "1762850245"),
        ("'yesterday'|date", ""),
        ("payload.gone|date", ""),
    ]);
    assert!(refused("{{ 1|date('%Q') }}").contains("`date` does not know %Q"));
    assert!(refused("{{ 1|date('%Y', 'Europe/Berlin') }}").contains("names of time zones are not known"));
}

#[test]
fn filters_that_write_for_a_place() {
    values(&[
        ("payload.nested|tojson", r#"{"z":1,"a":[true,"x\"y"]}"#),
        ("'<a&b>'|tojson", r#""\u003ca\u0026b\u003e""#),
        ("payload.gone|tojson", "null"),
        ("'a/b c&é'|urlencode", "a%2Fb%20c%26%C3%A9"),
        ("'ada:secret'|b64", "YWRhOnNlY3JldA=="),
        (
            "'error'|color ~ ' ' ~ 'info'|color ~ ' ' ~ 'success'|color ~ ' ' ~ 'warning'|color",
            "15158332 3447003 3066993 15844367",
        ),
        ("'<b>\"&\\''|html", "&lt;b&gt;&quot;&amp;&#39;"),
        ("'a*b_[c]'|md ~ ' ' ~ '- x\\n- y - z'|md", "a\\*b\\_\\[c\\] \\- x\n\\- y - z"),
        ("'1.5 (a-b)!'|mdv2", "1\\.5 \\(a\\-b\\)\\!"),
        ("'<a&b>'|slack", "&lt;a&amp;b&gt;"),
        (
            "'@everyone a@b @ <!here> <users/all> @**x**'|quiet",
            "@\u{200B}everyone a@\u{200B}b @ <\u{200B}!here> <\u{200B}users/all> @\u{200B}**x**",
        ),
        ("'@x'|quiet|quiet", "@\u{200B}x"),
    ]);
}

#[test]
fn outline_has_a_line_for_each_value() {
    values(&[
        ("payload.nested|outline", "z: 1\na.0: true\na.1: x\"y"),
        ("payload.nested|outline(2)", "z: 1\na.0: true"),
        ("payload.text|outline", "one two three"),
        ("[]|outline", "[]"),
        ("payload.gone|outline", ""),
    ]);
    assert_eq!(rendered("{{ payload|outline }}").lines().count(), 20);
}

#[test]
fn mistakes_have_a_place_and_the_nearest_name() {
    for (template, expected) in [
        ("{{ paylod.x }}", "line 1, column 4: unknown name `paylod`; did you mean `payload`?"),
        ("a\n é{{ payload|uper }}", "line 2, column 14: unknown filter `uper`; did you mean `upper`?"),
        ("{{ payload is strin }}", "line 1, column 15: unknown test `strin`; did you mean `string`?"),
        ("{{ loop.index }}", "line 1, column 4: unknown name `loop`; known: payload, event"),
        (
            "{% set x = 1 %}",
            "line 1, column 1: `set` is not supported; known: if, elif, else, endif, for, endfor",
        ),
        (
            "{{ range(9) }}",
            "line 1, column 4: `range(…)`: functions cannot be called; filters are written `value|filter`",
        ),
        ("{{ {'a': 1} }}", "line 1, column 4: objects cannot be written in a template"),
        (
            "{{ [payload] }}",
            "line 1, column 5: a list may hold constants only: texts, numbers, true, false, none",
        ),
        ("{{ 'x }}", "line 1, column 4: the text that begins here has no closing '"),
        ("{{ payload", "line 1, column 1: the tag that begins here has no `}}`"),
        ("{% if payload %}x", "line 1, column 1: `if` has no `{% endif %}`"),
        ("{% endif %}", "line 1, column 1: `endif` without its block"),
        ("{{ }}", "line 1, column 4: expected a value, found `}}`"),
        ("{{ payload == }}", "line 1, column 15: expected a value, found `}}`"),
        (
            "{{ payload.x = 1 }}",
            "line 1, column 14: write `==` to compare; there are no assignments and no named arguments",
        ),
        (
            "{{ payload.x() }}",
            "line 1, column 13: functions cannot be called; filters are written `value|filter`",
        ),
        ("{{ payload|truncate }}", "line 1, column 12: the filter `truncate` takes 1 argument, not 0"),
        (
            "{{ payload|selectattr('a', 'resembles', 1) }}",
            "line 1, column 12: unknown comparison \"resembles\"; known: ==, !=, <, <=, >, >=, in, defined, eq, equalto, ne, lt, le, gt, ge",
        ),
        ("{# x", "line 1, column 1: the comment that begins here has no `#}`"),
        (
            "{% for x in payload if x %}",
            "line 1, column 21: a condition of a loop is not supported; use `selectattr`",
        ),
        (
            "{{ payload is match(payload) }}",
            "line 1, column 15: write the regular expression as a constant text: match('^v[0-9]')",
        ),
        ("{{ 99999999999999999999999999999999999999999 }}", "line 1, column 4: the number is too large"),
    ] {
        assert_eq!(refused(template), expected, "{template}");
    }
    assert!(
        refused("{{ payload is match('(') }}")
            .contains("the regular expression cannot be read: unclosed group")
    );
    assert!(refused("{{ payload is match('(a{1000}){1000}') }}").contains("takes more than 64 KiB"));
}

#[test]
fn the_variable_of_a_loop_is_known_inside_only() {
    assert_eq!(rendered("{% for payload in ['x'] %}{{ payload }}{% endfor %}{{ payload.name }}"), "xAda");
    assert!(refused("{% for a in payload.alerts %}{% endfor %}{{ a }}").contains("unknown name `a`"));
    assert!(refused("{% for loop in payload.alerts %}{% endfor %}").contains("cannot be the name"));
}

#[test]
fn nesting_is_bounded() {
    let parens = |n: usize| format!("{{{{ {}1{} }}}}", "(".repeat(n), ")".repeat(n));
    assert_eq!(rendered(&parens(31)), "1");
    assert!(refused(&parens(32)).contains("nested more than 32 levels deep"));
    assert!(refused(&format!("{{{{ {}1 }}}}", "not ".repeat(40))).contains("nested more than 32"));
    assert!(refused(&format!("{{{{ {}1 }}}}", "- ".repeat(40))).contains("nested more than 32"));
    let blocks = |n: usize| format!("{}x{}", "{% if true %}".repeat(n), "{% endif %}".repeat(n));
    assert_eq!(rendered(&blocks(8)), "x");
    assert!(refused(&blocks(9)).contains("blocks are nested more than 8"));
    let loops = |n: usize| format!("{}x{}", "{% for x in [1] %}".repeat(n), "{% endfor %}".repeat(n));
    assert_eq!(rendered(&loops(3)), "x");
    assert!(refused(&loops(4)).contains("loops are nested more than 3"));
    // Chains are not levels.
    assert_eq!(rendered(&format!("{{{{ 1{} }}}}", " + 1".repeat(1000))), "1001");
    assert!(refused(&"x".repeat(TEMPLATE_MAX + 1)).contains("longer than 16 KiB"));
}

fn secret_names() -> Vec<String> {
    vec!["token".to_owned(), "user".to_owned()]
}

#[test]
fn secrets_stand_alone_or_in_chains() {
    let names = secret_names();
    let names = Names::request(&names);
    for allowed in [
        "{{ secrets.token }}",
        "Bearer {{ secrets.token }}",
        "{{ (secrets.user ~ ':' ~ secrets.token)|b64 }}",
        "{{ secrets['token']|urlencode }}",
        "{% if payload.x %}{{ secrets.token }}{% endif %}",
    ] {
        Template::parse(allowed, &names).unwrap_or_else(|e| panic!("{allowed}: {e}"));
    }
    for refused in [
        "{% if secrets.token %}{% endif %}",
        "{% for x in secrets.token %}{% endfor %}",
        "{{ secrets.token == 'x' }}",
        "{{ secrets.token is defined }}",
        "{{ payload[secrets.token] }}",
        "{{ secrets.token|upper }}",
        "{{ secrets.token ~ payload.x }}",
        "{{ 'x'|replace('x', secrets.token) }}",
        "{{ 'a' if secrets.token else 'b' }}",
        "{{ secrets.token or 'x' }}",
        "{{ not secrets.token }}",
        "{{ secrets }}",
        "{{ secrets.token.x }}",
        "{{ secrets.tokn }}",
    ] {
        assert!(Template::parse(refused, &names).is_err(), "{refused}");
    }
    let message = |text: &str| Template::parse(text, &names).unwrap_err().message;
    assert_eq!(message("{{ secrets.tokn }}"), "unknown secret `tokn`; did you mean `token`?");
    let no_secrets = Template::parse("{{ secrets.token }}", &NAMES).unwrap_err().message;
    assert!(no_secrets.contains("unknown name `secrets`"), "{no_secrets}");
}

#[test]
fn the_masked_twin_shows_no_secret() {
    let names = secret_names();
    let template = "{{ payload.name }} {{ secrets.token }} {{ (secrets.user ~ ':' ~ secrets.token)|b64 }}";
    let template = Template::parse(template, &Names::request(&names)).unwrap();
    let payload = Json::parse(PAYLOAD).unwrap();
    let secrets = [("token".to_owned(), "s3cret".to_owned()), ("user".to_owned(), "ada".to_owned())];
    let mut scope = Scope::new();
    scope.lend("payload", &payload);
    scope.secrets(&secrets);
    assert_eq!(template.render(&scope, &mut Budget::render()).unwrap(), "Ada s3cret YWRhOnMzY3JldA==");
    let mut budget = Budget::render();
    let masked = template.render_as(&scope, &mut Run::new(&mut budget).masked()).unwrap();
    assert_eq!(masked, "Ada ******** ********");
}

#[test]
fn notes_say_what_was_compared_missing_and_cut() {
    let text = "{% if payload.action == 'created' %}x{% endif %}{{ payload.gone.x }}{{ payload.gone|d('y') }}\
                {{ payload.name|truncate(2) }}{{ 'a' + 1 }}";
    let template = Template::parse(text, &NAMES).unwrap();
    let payload = Json::parse(PAYLOAD).unwrap();
    let mut scope = Scope::new();
    scope.lend("payload", &payload);
    let (mut budget, mut notes) = (Budget::render(), Notes::default());
    template.render_as(&scope, &mut Run::new(&mut budget).with_notes(&mut notes)).unwrap();
    assert_eq!(
        notes.comparisons,
        [Comparison {
            expression: "payload.action == 'created'".to_owned(),
            left: "\"published\"".to_owned(),
            right: "\"created\"".to_owned(),
            result: false,
        }]
    );
    assert_eq!(notes.missing, ["payload.gone.x"]);
    assert_eq!(notes.cuts, ["payload.name|truncate(2): 1 of 3 bytes are left"]);
    assert_eq!(notes.hints, ["'a' + 1: needs numbers; `~` joins texts"]);
    assert!(budget.cost().steps > 5 && budget.cost().bytes > 0);
}

#[test]
fn the_sole_value_of_a_template_keeps_its_kind() {
    let payload = Json::parse(PAYLOAD).unwrap();
    let mut scope = Scope::new();
    scope.lend("payload", &payload);
    let kind = |text: &str| {
        let template = Template::parse(text, &NAMES).unwrap();
        let mut budget = Budget::render();
        let value = template.sole_value(&scope, &mut Run::new(&mut budget));
        value.map(|value| {
            let mut out = String::new();
            value.unwrap().write_json(&mut out);
            out
        })
    };
    assert_eq!(kind("{{ payload.written }}").as_deref(), Some("1.0"));
    assert_eq!(kind("{{ payload.nested }}").as_deref(), Some(r#"{"z":1,"a":[true,"x\"y"]}"#));
    assert_eq!(kind("{{ payload.name }}").as_deref(), Some("\"Ada\""));
    assert_eq!(kind("{{ payload.name }}!"), None);
    assert_eq!(kind("{% if true %}x{% endif %}"), None);
}

#[test]
fn names_that_are_used_are_known() {
    let template = Template::parse("{{ payload.x }}{{ event.type }}", &NAMES).unwrap();
    assert!(template.uses("payload") && template.uses("event") && !template.uses("summary"));
    assert_eq!(rendered("{{ event.type|replace('.', ' ') }}"), "release published");
}

#[test]
fn json_is_read_as_serde_json_reads_it() {
    for text in [
        "{}",
        "[]",
        "null",
        " [1, 2.50, -0, 1E+5] ",
        r#""a\u00e9\ud83d\ude00\n\/""#,
        r#"{"a":1,"a":2}"#,
        "\"\u{7f}é\"",
        "01",
        "1.",
        ".5",
        "-",
        "1e",
        "[1,]",
        "{\"a\"}",
        "{a:1}",
        "nul",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\n\"",
        "",
        " ",
        "[",
        "{\"a\":1",
        "\"",
        "1 2",
        "\u{FEFF}1",
        "true",
        "[[[]]]",
        r#"{"":{"":0}}"#,
        "\"\\u12\"",
        "+1",
        "--1",
        "\"\\ud800\\u0041\"",
        "\"\\ud83d\\ude\"",
    ] {
        let ours = Json::parse(text);
        let theirs = serde_json::from_str::<serde_json::Value>(text);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}: {ours:?}");
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            let again: serde_json::Value = serde_json::from_str(&ours.to_text()).unwrap();
            assert_eq!(again, theirs, "{text}");
        }
    }
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(Json::parse(&deep(128)).is_ok());
    assert_eq!(Json::parse(&deep(129)).unwrap_err().to_string(), "nested more than 128 levels deep");
}

#[test]
fn keys_of_large_objects_are_found_through_their_index() {
    let text: Vec<String> = (0..100).map(|i| format!("\"k{i}\":{i}")).collect();
    let text = format!("{{{},\"k7\":\"last\"}}", text.join(","));
    let json = Json::parse(&text).unwrap();
    assert_eq!(json.get("k7").and_then(Json::as_str), Some("last"));
    assert_eq!(json.pointer("/k99"), Some(&Json::Number("99".into())));
    assert_eq!((json.get("k"), json.get("zz"), json.get("")), (None, None, None));
    assert_eq!(json.to_text(), text);
    let nested = Json::parse(r#"{"a/b":[{"c~d":1}]}"#).unwrap();
    assert_eq!(nested.pointer("/a~1b/0/c~0d"), Some(&Json::Number("1".into())));
}
