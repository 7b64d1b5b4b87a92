//! No unknown field is ever accepted: shown on the published schema, and on the reader with every section of a
//! complete file.

use std::path::Path;

use serde_json::{Value, json};

/// Sections in the schema, checked for being closed.
fn count_closed_sections(schema: &Value, path: &str) -> usize {
    let mut sections = 0;
    if schema["type"] == "object" {
        let closed = &schema["additionalProperties"];
        assert!(!closed.is_null(), "{path} says nothing about other fields");
        if schema.get("properties").is_some() {
            assert_eq!(closed, &json!(false), "{path} accepts unknown fields");
            assert!(!schema["description"].as_str().unwrap().is_empty(), "{path} is not described");
            sections += 1;
        }
    }
    let below: Vec<(String, &Value)> = match schema {
        Value::Object(fields) => fields.iter().map(|(key, value)| (format!("{path}/{key}"), value)).collect(),
        Value::Array(items) => items.iter().map(|item| (path.to_owned(), item)).collect(),
        _ => Vec::new(),
    };
    sections + below.iter().map(|(path, value)| count_closed_sections(value, path)).sum::<usize>()
}

#[test]
fn every_section_of_the_schemas_is_closed_and_described() {
    // Shapes that may be written in two ways appear twice.
    assert!(count_closed_sections(&crate::json_schema(), "config") >= 13);
    assert!(count_closed_sections(&crate::manifest_json_schema(), "manifest") >= 4);
}

#[test]
fn schemas_name_what_is_required() {
    let schema = crate::json_schema();
    assert_eq!(schema["required"], json!(["listeners", "routes"]));
    assert_eq!(schema["properties"]["listeners"]["items"]["required"], json!(["bind"]));
    assert!(schema["$schema"].is_string());
    assert!(crate::manifest_json_schema().get("required").is_none());
}

/// Mappings whose keys are the user's.
const OPEN: [&str; 8] = ["upstreams", "headers", "query", "cookie", "set", "add", "env", "config"];

/// Pointers to all sections below `value`.
fn sections(value: &Value, pointer: &str, found: &mut Vec<String>) {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    match value {
        _ if name == "config" => {}
        Value::Object(fields) => {
            if !OPEN.contains(&name) {
                found.push(pointer.to_owned());
            }
            for (key, value) in fields {
                sections(value, &format!("{pointer}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                sections(item, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn refusals(fixture: &str, parse: impl Fn(&str) -> Option<String>) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/good").join(fixture);
    let text = std::fs::read_to_string(path).unwrap();
    let tree = crate::yaml::parse(&text).ok().and_then(|tree| tree.root).unwrap();
    let whole = crate::read::as_json(&tree);
    assert_eq!(parse(&whole.to_string()), None, "the file as JSON is as good");
    let mut found = Vec::new();
    sections(&whole, "", &mut found);
    for pointer in &found {
        let mut changed = whole.clone();
        changed.pointer_mut(pointer).unwrap()["zzz"] = json!(1);
        let report = parse(&changed.to_string()).unwrap_or_default();
        assert!(
            report.contains("error: unknown field `zzz`"),
            "{pointer} accepts an unknown field:\n{report}"
        );
        assert!(report.ends_with("1 error in f"), "{pointer}:\n{report}");
    }
    found.len()
}

#[test]
fn every_section_of_a_file_refuses_unknown_fields() {
    let config =
        |text: &str| crate::parse_text(text, "f", Path::new("")).err().map(|report| report.to_string());
    assert!(refusals("complete.yaml", config) >= 20);
    assert!(refusals("routes.yaml", config) >= 20);
    let manifest = |text: &str| crate::parse_manifest(text, "f").err().map(|report| report.to_string());
    assert!(refusals("filter-complete.yaml", manifest) >= 4);
}
