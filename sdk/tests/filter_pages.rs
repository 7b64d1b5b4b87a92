//! The pages of the shipped filters in `docs/filters/` say what the filters say of themselves, and that is true.
//!
//! `BLESS=1` writes the pages anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use gateway_sdk::Filter;
use gateway_sdk::schema::{FilterConfig, json_schema};
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Checks the page of a filter, and that each default it tells is the one in force. `minimal` has what is required and
/// one of each thing that has defaults of its own.
fn check<F: Filter<Config: FilterConfig + PartialEq>>(name: &str, minimal: &Value) {
    let schema = json_schema::<F::Config>();
    let page = page(name, &schema);
    let path = format!("docs/filters/{name}.md");
    if std::env::var_os("BLESS").is_some() {
        fs::write(repository().join(&path), &page).expect("a writable page");
    }
    assert_eq!(page, read(&path), "{path} is out of date: run this test with BLESS=1");
    let mut complete = minimal.clone();
    fill_defaults(&schema, &mut complete);
    assert_ne!(*minimal, complete, "{name} has defaults");
    let of = |value: &Value| {
        serde_json::from_value::<F::Config>(value.clone())
            .unwrap_or_else(|error| panic!("{name}: {error} in {value}"))
    };
    assert!(of(minimal) == of(&complete), "{name}: a default is told that is not in force: {complete}");
}

fn fill_defaults(schema: &Value, value: &mut Value) {
    if let (Some(fields), Some(entries)) = (schema["properties"].as_object(), value.as_object_mut()) {
        for (name, field) in fields {
            if let (None, Some(default)) = (entries.get(name), field.get("default")) {
                entries.insert(name.clone(), default.clone());
            }
            if let Some(value) = entries.get_mut(name) {
                fill_defaults(field, value);
            }
        }
    }
    for item in value.as_array_mut().into_iter().flatten() {
        fill_defaults(&schema["items"], item);
    }
    for form in schema["oneOf"].as_array().into_iter().flatten() {
        if value.get(form["required"][0].as_str().unwrap_or_default()).is_some() {
            fill_defaults(form, value);
        }
    }
}

fn page(name: &str, schema: &Value) -> String {
    let manifest = read(&format!("filters/{name}/Cargo.toml"));
    let description = manifest.lines().find_map(|line| line.strip_prefix("description = "));
    let description = description.expect("a description").trim_matches('"');
    let readme = read(&format!("filters/{name}/README.md"));
    let example =
        readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let mut rows = String::new();
    fields(schema, "", &mut rows);
    // What was measured, where a filter has something to say of it.
    let costs = readme
        .split_once("## What a token costs\n")
        .map(|(_, rest)| rest.split("\n## ").next().unwrap_or(rest));
    let costs =
        costs.map_or_else(String::new, |costs| format!("\n## What a token costs\n{}\n", costs.trim_end()));
    format!(
        "<!-- Made from what the filter says of itself by `BLESS=1 cargo test -p gateway-sdk --test filter_pages`. -->\n\n\
         # {name}\n\n{description}. How it decides, what it answers and how it runs in Envoy is in [its README](../../filters/{name}/README.md).\n\n\
         ## A manifest\n\n```yaml\n{example}```\n\n\
         `gateway filter add {name} --example > filters/{name}.yaml` writes this, to be changed; `gateway filter add {name}` then puts\n\
         the filter beside it. What it costs is in [costs.md](costs.md).\n\n\
         ## What can be configured\n\n| field | value | default | meaning |\n|---|---|---|---|\n{rows}\n\
         `gateway validate` and the gateway itself check a manifest against this before the filter runs, with the place of what is\n\
         wrong. A value of the kind `secret`, and any text, may be `{{secret: NAME}}`: see [secrets](../filters.md#secrets).\n{costs}"
    )
}

fn fields(schema: &Value, path: &str, rows: &mut String) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let default = match field.get("default") {
            Some(default) => format!("`{default}`"),
            None if required.contains(&name.as_str()) => "required".to_owned(),
            None => String::new(),
        };
        let description = field["description"].as_str().unwrap_or_default();
        writeln!(rows, "| `{path}` | {} | {default} | {description} |", kind(field)).expect("room for a row");
        let (inside, path) = match &field["items"] {
            Value::Null => (field, path),
            items => (items, format!("{path}[]")),
        };
        fields(inside, &path, rows);
        for form in inside["oneOf"].as_array().into_iter().flatten() {
            match form["const"].as_str() {
                Some(word) => {
                    let meaning = form["description"].as_str().unwrap_or_default();
                    if !meaning.is_empty() {
                        writeln!(rows, "| `{path}: {word}` | | | {meaning} |").expect("room for a row");
                    }
                }
                None => fields(form, &path, rows),
            }
        }
    }
}

fn kind(schema: &Value) -> String {
    if let Some(forms) = schema["oneOf"].as_array() {
        let word = |form: &Value| match form["const"].as_str() {
            Some(word) => format!("`{word}`"),
            None => format!("`{{{}: ...}}`", form["required"][0].as_str().unwrap_or_default()),
        };
        return forms.iter().map(word).collect::<Vec<_>>().join(" or ");
    }
    let bounds = match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) if least > 0 => format!(" of at least {least}"),
        _ => String::new(),
    };
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("string"), Some(format)) => format.replace('-', " "),
        (Some("string"), None) => "text".to_owned(),
        (Some("integer"), _) => format!("number{bounds}"),
        (Some("boolean"), _) => "`true` or `false`".to_owned(),
        (Some("array"), _) => format!("list: {}", kind(&schema["items"])),
        (Some("object"), _) if schema["additionalProperties"].is_object() => {
            format!("names: {}", kind(&schema["additionalProperties"]))
        }
        (Some("object"), _) => "fields".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => "anything".to_owned(),
    }
}

#[test]
fn api_key() {
    check::<api_key::ApiKey>("api-key", &json!({"consumers": [{"name": "a", "keys": ["k"]}]}));
}

#[test]
fn jwt_auth() {
    let jwks = json!({"remote": {"upstream": "idp", "path": "/"}});
    let claim = json!({"claim": "sub", "header": "x-user"});
    let issuers = json!([{"issuer": "i", "jwks": jwks, "claimsToHeaders": [claim]}]);
    check::<jwt_auth::JwtAuth>("jwt-auth", &json!({"issuers": issuers}));
}

#[test]
fn deny_list() {
    check::<deny_list::DenyList>("deny-list", &json!({"deny": [{"methods": ["PUT"]}]}));
}

#[test]
fn rate_limit() {
    check::<rate_limit::RateLimit>("rate-limit", &json!({"limits": [{"requests": 1, "per": "1s"}]}));
}

#[test]
fn quota() {
    check::<quota::Quota>("quota", &json!({"limit": 1, "window": "1h"}));
}

#[test]
fn request_stats() {
    check::<request_stats::RequestStats>("request-stats", &json!({}));
}
