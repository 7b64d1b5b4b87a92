use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::FilterConfig;
use crate::config::{NoConfig, Secret, TimeSpan};

/// What it is for.
///
/// Details that nobody needs in an editor.
#[derive(Deserialize, FilterConfig)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[allow(dead_code, reason = "only its shape matters")]
struct Settings {
    /// Whom to ask,
    /// over two lines, with "quotes" and a \ in it.
    #[config(format = "upstream")]
    user_service: String,
    #[serde(default = "five_seconds")]
    #[config(default = "5s")]
    timeout: TimeSpan,
    token: Option<Secret>,
    #[serde(default)]
    #[config(min_items = 1, max_items = 9, format = "header-name")]
    names: Vec<String>,
    #[serde(rename = "max-age", default)]
    #[config(minimum = -5, maximum = 1_000, default = 0)]
    age: i64,
    weights: BTreeMap<String, Vec<f64>>,
    r#type: Kind,
    how: Option<Box<How>>,
    #[serde(skip)]
    cache: std::cell::Cell<u8>,
    #[config(shape = String)]
    odd: Odd,
}

#[derive(Deserialize, FilterConfig)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code, reason = "only its shape matters")]
enum Kind {
    /// The first.
    FirstOne,
    Second,
}

#[derive(Deserialize, FilterConfig)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape matters")]
enum How {
    /// As it is.
    ExactMatch(String),
    Within {
        low: u8,
        high: Option<u8>,
    },
    Never,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only its shape matters")]
struct Odd(String);

fn five_seconds() -> TimeSpan {
    TimeSpan(std::time::Duration::from_secs(5))
}

#[test]
fn a_schema_says_what_serde_takes() {
    let text = |format: &str| json!({"type": "string", "format": format});
    let expected = json!({
        "description": "What it is for.",
        "type": "object",
        "properties": {
            "userService": {
                "description": "Whom to ask, over two lines, with \"quotes\" and a \\ in it.",
                "type": "string", "format": "upstream",
            },
            "timeout": {"type": "string", "format": "duration", "default": "5s"},
            "token": text("secret"),
            "names": {"type": "array", "minItems": 1, "maxItems": 9, "items": text("header-name")},
            "max-age": {"type": "integer", "minimum": -5, "maximum": 1000, "default": 0},
            "weights": {
                "type": "object",
                "additionalProperties": {"type": "array", "items": {"type": "number"}},
            },
            "type": {"oneOf": [{"const": "first-one", "description": "The first."}, {"const": "second"}]},
            "how": {"oneOf": [
                {
                    "type": "object", "required": ["exactMatch"], "additionalProperties": false,
                    "properties": {"exactMatch": {"description": "As it is.", "type": "string"}},
                },
                {
                    "type": "object", "required": ["within"], "additionalProperties": false,
                    "properties": {"within": {
                        "type": "object", "required": ["low"], "additionalProperties": false,
                        "properties": {
                            "low": {"type": "integer", "minimum": 0, "maximum": 255},
                            "high": {"type": "integer", "minimum": 0, "maximum": 255},
                        },
                    }},
                },
                {"const": "never"},
            ]},
            "odd": {"type": "string"},
        },
        "required": ["userService", "weights", "type", "odd"],
        "additionalProperties": false,
    });
    assert_eq!(json_schema::<Settings>(), expected);
}

#[test]
fn the_section_is_whole_and_has_no_room_to_spare() {
    const ABOUT: About = About {
        name: "my-filter",
        version: "1.2.3",
        description: "",
        phases: &["request", "log"],
        config: Probe::<NoConfig>::SHAPE,
    };
    static SECTION: [u8; length(&ABOUT)] = render(&ABOUT);
    let parsed: serde_json::Value = serde_json::from_slice(&SECTION).expect("JSON");
    assert_eq!(parsed["phases"], json!(["request", "log"]));
    assert_eq!(parsed["config"]["additionalProperties"], json!(false));
    assert_eq!((&parsed["name"], &parsed["form"]), (&json!("my-filter"), &json!("1")));
}

#[test]
fn a_type_without_a_shape_is_no_obstacle() {
    assert!(Probe::<Odd>::SHAPE.is_none());
    assert!(Probe::<Settings>::SHAPE.is_some());
}

#[test]
fn secrets_are_not_shown() {
    let secret: Secret = serde_json::from_value(json!("hunter2")).expect("text");
    assert_eq!(secret.reveal(), "hunter2");
    assert!(!format!("{secret:?}").contains("hunter2"));
}
