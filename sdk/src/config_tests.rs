use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    #[allow(dead_code, reason = "only its type matters")]
    header: Option<String>,
    #[allow(dead_code, reason = "only its type matters")]
    mode: Option<Mode>,
    consumers: Vec<Consumer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Mode {
    Json,
    Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Consumer {
    name: String,
    #[serde(default)]
    keys: Vec<String>,
}

fn message(text: &str) -> String {
    parse::<Sample>(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_fitting_configuration_is_read() {
    let sample: Sample = parse(br#"{"mode": "text", "consumers": [{"name": "a", "keys": ["k"]}]}"#).unwrap();
    assert_eq!(sample.consumers[0].name, "a");
    assert_eq!(sample.consumers[0].keys, ["k"]);
}

#[test]
fn errors_name_the_field_and_what_was_expected() {
    let cases = [
        (r"{}", "configuration: missing field `consumers`"),
        ("", "configuration: missing field `consumers`"),
        (
            r#"{"header": 5, "consumers": []}"#,
            "configuration: `header`: invalid type: integer, expected a string",
        ),
        (
            r#"{"consumers": [{"name": "a"}, {"keys": []}]}"#,
            "configuration: `consumers[1]`: missing field `name`",
        ),
        (
            "{\"consumers\": [\n  {\"name\": \"a\",\n   \"keys\": [\"x\", 7]}]}",
            "configuration: `consumers[0].keys[1]`: invalid type: integer, expected a string",
        ),
        (
            r#"{"consumers": [{"nmae": "a"}]}"#,
            "configuration: `consumers[0].nmae`: unknown field `nmae`, expected `name` or `keys`",
        ),
        (
            r#"{"mode": "xml", "consumers": []}"#,
            "configuration: `mode`: unknown variant, expected `json` or `text`",
        ),
        ("7", "configuration: invalid type: integer, expected struct Sample"),
    ];
    for (text, expected) in cases {
        assert_eq!(message(text), expected, "{text}");
    }
}

#[test]
fn syntax_errors_say_where() {
    assert_eq!(
        message("{\"header\": \"a\"\n oops}"),
        "configuration is not JSON: expected `,` or `}` at line 2 column 2"
    );
    assert!(message("{").starts_with("configuration is not JSON: EOF"));
    assert!(message("\u{0}\u{1}").starts_with("configuration is not JSON: expected value"));
    assert!(parse::<Sample>(&[b'"', 0xff, b'"']).is_err());
}

#[test]
fn a_value_is_never_repeated() {
    for text in [
        r#"{"consumers": [{"name": "a", "keys": "s3cret, expected \"x"}]}"#,
        r#"{"consumers": [{"name": "a", "keys": [53]}], "s": 1}"#,
        r#"{"consumers": "s3cret"}"#,
        r#"{"mode": "s3cret"}"#,
    ] {
        let message = message(text);
        assert!(!message.contains("s3cret") && !message.contains("53"), "{message}");
    }
}

#[test]
fn a_quote_or_bracket_in_a_string_does_not_mislead() {
    assert_eq!(
        message(r#"{"header": "a\"{[,", "consumers": [{"name": "]", "keys": 1}]}"#),
        "configuration: `consumers[0].keys`: invalid type: integer, expected a sequence"
    );
}

#[test]
fn no_configuration_fits_no_config() {
    assert!(parse::<NoConfig>(b" \n").is_ok());
    assert_eq!(
        parse::<NoConfig>(br#"{"a": 1}"#).unwrap_err().to_string(),
        "configuration: this filter has none; leave it out"
    );
}
