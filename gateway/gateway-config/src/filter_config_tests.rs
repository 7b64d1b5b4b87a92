use std::time::Instant;

use serde_json::json;

use super::*;
use crate::parse_manifest;

fn schema() -> Value {
    let header = json!({"type": "string", "format": "header-name"});
    let by_header = json!({
        "type": "object", "required": ["header"], "additionalProperties": false, "properties": {"header": header},
    });
    json!({
        "type": "object",
        "required": ["consumers"],
        "additionalProperties": false,
        "properties": {
            "consumers": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"$ref": "#/$defs/consumer"}},
            "status": {"type": "integer", "minimum": 400, "maximum": 499},
            "strict": {"type": "boolean"},
            "window": {"type": "string", "format": "duration"},
            "network": {"type": "string", "format": "network"},
            "accounts": {"type": "string", "format": "upstream"},
            "key": {"oneOf": [{"const": "all"}, {"const": "clientAddress"}, by_header]},
            "labels": {"type": "object", "additionalProperties": {"type": "number"}},
        },
        "$defs": {"consumer": {
            "type": "object", "required": ["name", "token"], "additionalProperties": false,
            "properties": {"name": {"type": "string"}, "token": {"type": "string", "format": "secret"}},
        }},
    })
}

/// `LINE:COLUMN MESSAGE` and help, for each thing that is wrong.
fn wrong(text: &str) -> Vec<String> {
    wrong_by(text, Some(&schema()))
}

fn wrong_by(text: &str, schema: Option<&Value>) -> Vec<String> {
    let manifest = parse_manifest(text, "f.yaml").expect("a legal manifest");
    let checked = check_filter_config(text, "f.yaml", &manifest, schema, &["accounts", "billing"]);
    let errors = checked.err();
    let lines = errors.iter().flat_map(Diagnostics::lines);
    lines.map(|line| line.trim_start_matches("f.yaml:").trim_start().to_owned()).collect()
}

#[test]
fn what_fits_passes() {
    let text = "
secrets: {ann: {file: ann.txt}, bob: {env: BOB}}
capabilities: {callouts: [accounts]}
config:
  consumers:
    - {name: ann, token: {secret: ann}}
    - {name: bob, token: {secret: bob}}
  status: 403
  strict: true
  window: 5m
  network: 10.0.0.0/8
  accounts: accounts
  key: {header: x-user}
  labels: {a: 1, b: 2.5}
";
    assert_eq!(wrong(text), [""; 0]);
    assert_eq!(wrong(r#"config: '{"consumers": [{"name": "a", "token": "t"}], "key": "all"}'"#), [""; 0]);
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let one = "{name: a, token: t}";
    for (config, expected) in [
        ("consumers: []", "2:14 `config.consumers` has 0 items; there must be at least 1"),
        (
            "consumers: {a: b}",
            "2:14 `config.consumers` expects a list, not a mapping; a list is written `[a, b]`, or one item per line after `- `",
        ),
        ("consumers: [{name: a}]", "2:15 missing field `token` in config.consumers[0]"),
        (
            "consumers: [{name: a, tokn: t}]",
            "2:25 unknown field `tokn` in config.consumers[0]; did you mean `token`?",
        ),
        (
            "consumers: [{name: 5, token: t}]",
            "2:22 `config.consumers[0].name` expects text, not a number; put it in quotes",
        ),
        (
            "consumers: [{name: a, token: 7}]",
            "2:32 `config.consumers[0].token` expects text, not a number; put it in quotes",
        ),
    ] {
        assert_eq!(wrong(&format!("config:\n  {config}")), [expected], "{config}");
    }
    for (field, expected) in [
        ("status: 500", "3:11 `config.status` expects a whole number from 400 to 499, not 500"),
        ("status: many", "3:11 `config.status` expects a whole number, not text"),
        ("strict: yes", "3:11 `config.strict` expects `true` or `false`, not text"),
        (
            "window: 5 minutes",
            "3:11 `config.window` expects a time, not `5 minutes`; a whole number and a unit: `250ms`, `10s`, `5m`, `24h` or `7d`",
        ),
        (
            "network: 10.0.0.0/33",
            "3:12 `config.network` expects an address or a network, not `10.0.0.0/33`; such as `192.0.2.7`, `10.0.0.0/8` or `2001:db8::/32`",
        ),
        (
            "accounts: acounts",
            "3:13 `config.accounts` names upstream `acounts`, which is not in the configuration; did you mean `accounts`?",
        ),
        (
            "accounts: billing",
            "3:13 `config.accounts` names upstream `billing`, which this filter may not call; write `capabilities: {callouts: [billing]}`",
        ),
        (
            "key: al",
            "3:8 `config.key` expects one of `all`, `clientAddress` or a mapping with one of `header`, not `al`; did you mean `all`?",
        ),
        ("key: {heder: x}", "3:9 unknown field `heder` in config.key; did you mean `header`?"),
        ("key: {header: a b}", "3:17 `config.key.header` expects the name of a header, not `a b`"),
        ("labels: {a: b}", "3:15 `config.labels.a` expects a number, not text"),
        ("labels:", "3:9 nothing is written for `config.labels`; give a value, or remove the line"),
    ] {
        assert_eq!(wrong(&format!("config:\n  consumers: [{one}]\n  {field}")), [expected], "{field}");
    }
}

#[test]
fn no_configuration_lacks_what_is_required() {
    let expected = "missing field `consumers` in config";
    for text in ["", "phase: authn", "config: ''"] {
        let found = wrong(text);
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
    }
}

#[test]
fn text_is_json_and_is_told_at_its_key() {
    let found = wrong("priority: 3\nconfig: |\n  {\"consumers\": [{\"name\": \"a\", \"token\": 5}]}\n");
    assert_eq!(found, ["2:1 `config.consumers[0].token` expects text, not a number; put it in quotes"]);
    let found = wrong("config: 'consumers: a'");
    assert!(found.len() == 1 && found[0].starts_with("1:1 `config` is text that is not JSON"), "{found:?}");
}

#[test]
fn secrets_must_be_declared_and_stand_for_text() {
    let declared = "secrets: {ann: {file: a}}\n";
    let token = |token: &str| format!("config: {{consumers: [{{name: a, token: {token}}}]}}");
    let found = wrong(&format!("{declared}{}", token("{secret: anne}")));
    assert_eq!(found, ["2:48 secret `anne` is not among `secrets`; did you mean `ann`?"]);
    let found = wrong(&token("{secret: ann}"));
    assert_eq!(found, ["1:48 secret `ann` is not among `secrets`; write `secrets: {ann: {file: PATH}}`"]);
    // Where no text belongs, no secret does.
    let found = wrong(&format!("{declared}config: {{consumers: {{secret: ann}}}}"));
    assert!(found[0].contains("expects a list, not a reference to a secret"), "{found:?}");
    // Without a schema a reference may stand anywhere, and must be to something.
    assert_eq!(wrong_by(&format!("{declared}config: {{a: [{{secret: ann}}]}}"), None), [""; 0]);
    assert_eq!(wrong_by(&format!("{declared}config: {{a: [{{secret: bob}}]}}"), None).len(), 1);
    // Without secrets, the word means whatever the filter means by it.
    assert_eq!(wrong_by("config: {a: [{secret: bob}]}", None), [""; 0]);
}

#[test]
fn secrets_are_filled_in_and_nothing_else_is() {
    let text = "secrets: {a: {env: A}}\nconfig: {one: {secret: a}, two: [{secret: a}, {secret: a, b: 1}], three: {secret: c}}";
    let manifest = parse_manifest(text, "f.yaml").expect("a legal manifest");
    let filled = manifest.config_with(|name| (name == "a").then_some("it's \"quoted\""));
    let filled: Value = serde_json::from_slice(&filled).expect("JSON");
    let secret = "it's \"quoted\"";
    let expected = json!({"one": secret, "two": [secret, {"secret": "a", "b": 1}], "three": {"secret": "c"}});
    assert_eq!(filled, expected);
    let manifest = parse_manifest("config: {one: {secret: a}}", "f.yaml").expect("a legal manifest");
    assert_eq!(manifest.config_with(|_| Some("x")), manifest.config);
}

#[test]
fn a_source_of_a_secret_is_one_of_two() {
    for text in ["secrets: {a: {}}", "secrets: {a: {file: f, env: E}}"] {
        let errors = parse_manifest(text, "f.yaml").expect_err(text);
        assert!(errors.to_string().contains("needs either `file` or `env`"), "{errors}");
    }
}

#[test]
fn a_schema_that_leads_in_circles_ends() {
    let nested =
        (0..40).fold("x".to_owned(), |inner, _| if inner.len() > 25 { inner } else { format!("[{inner}]") });
    let text = format!("config: {{a: {nested}}}");
    for schema in [
        json!({"$ref": "#"}),
        json!({"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"type": "array"}]}),
        json!({"properties": {"a": {"anyOf": [{"items": {"$ref": "#/properties/a"}}, {"items": {"$ref": "#/properties/a"}}]}}}),
        json!({"$ref": "#/nowhere"}),
        json!("nonsense"),
        json!({"type": 5, "oneOf": "x", "required": {"a": 1}, "properties": [], "enum": {}}),
    ] {
        let started = Instant::now();
        let _ = wrong_by(&text, Some(&schema));
        assert!(started.elapsed().as_secs() < 5, "{schema}");
    }
}
