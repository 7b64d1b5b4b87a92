//! Checks the configuration in a manifest against what the module says it takes, without running the module.
//!
//! Owns the part of JSON Schema (draft 2020-12) that describes configurations: `type`, `properties`, `required`,
//! `additionalProperties`, `items`, `minItems`, `maxItems`, `minimum`, `maximum`, `const`, `enum`, `oneOf`, `anyOf`, `$ref`
//! within the schema, and the formats `upstream`, `header-name`, `network`, `duration` and `secret`. Other words of a
//! schema do not narrow anything here: the filter itself has the last word. Values are not repeated in messages unless
//! they are of a closed set or a name: configurations hold secrets.

mod text;

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostics, Mark, Report, closest, quoted, suggestion};
use crate::read::as_json;
use crate::resolved::Manifest;
use crate::secrets::referred;
use crate::yaml::{self, Content, Key, Node};

/// References of a schema that lead on to each other.
const MAX_REFERENCES: usize = 16;
/// Schemas inside of each other: a reference may lead back to where it stands.
const MAX_DEPTH: usize = 64;
/// Values that are compared with schemas, alternatives counted one by one. A schema that takes more is not believed any
/// further; the modules that have one are not trusted.
const MAX_STEPS: usize = 200_000;

/// Checks the `config` of a manifest whose text is `text`: by the schema, if there is one, and that each secret it refers
/// to is among its `secrets`. `upstreams` are those of the configuration; what the schema calls an upstream must be one.
///
/// # Errors
/// All that does not fit, with its place.
pub fn check_filter_config(
    text: &str,
    file_name: &str,
    manifest: &Manifest,
    schema: Option<&Value>,
    upstreams: &[&str],
) -> Result<(), Diagnostics> {
    let mut report = Report::new(file_name, text);
    if schema.is_none() && manifest.secrets.is_empty() {
        return Ok(());
    }
    // Whoever has a manifest has parsed this text before.
    let root = yaml::parse(text).ok().and_then(|tree| tree.root);
    let config = root.as_deref().and_then(|root| match &root.content {
        Content::Mapping(entries) => entries.iter().find(|(key, _)| key.text == "config"),
        _ => None,
    });
    let root_schema = schema.unwrap_or(&Value::Bool(true));
    let checker =
        Checker { manifest, root: root_schema, upstreams, depth: Cell::new(0), steps: Cell::new(0) };
    let mut found = Vec::new();
    match config {
        Some((key, node)) => checker.config(key, node, schema.is_some(), &mut found),
        None => checker.empty(&mut found),
    }
    for Finding { mark, message, help } in found {
        report.error(mark, message, help);
    }
    report.finish(Some(()))
}

/// Something that does not fit.
struct Finding {
    /// `None` for what is not there.
    mark: Option<Mark>,
    message: String,
    help: Option<String>,
}

struct Checker<'a> {
    manifest: &'a Manifest,
    root: &'a Value,
    upstreams: &'a [&'a str],
    depth: Cell<usize>,
    steps: Cell<usize>,
}

/// A node and the way to it, as `config.consumers[0]`.
struct At<'a> {
    node: &'a Node,
    path: String,
}

impl At<'_> {
    fn finding(&self, problem: impl AsRef<str>, help: Option<String>) -> Finding {
        let message = format!("{} {}", quoted(&self.path), problem.as_ref());
        Finding { mark: Some(self.node.mark), message, help }
    }
}

impl Checker<'_> {
    fn config(&self, key: &Key, node: &Node, has_schema: bool, found: &mut Vec<Finding>) {
        let Content::Scalar { text, .. } = &node.content else {
            self.secrets_exist(node, found);
            return self.value(&At { node, path: "config".to_owned() }, self.root, found);
        };
        if !has_schema {
            return;
        }
        // The text that the filter gets; its own lines and columns mean nothing to whoever looks at the manifest.
        if node.is_null() || text.trim().is_empty() {
            return self.empty(found);
        }
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            let message = format!("`config` is text that is not JSON: {error}");
            let help =
                "write it as YAML, without quotes or `|`, and it reaches the filter as JSON".to_owned();
            return found.push(Finding { mark: Some(key.mark), message, help: Some(help) });
        }
        let Some(inner) = yaml::parse(text).ok().and_then(|tree| tree.root) else { return };
        let start = found.len();
        self.value(&At { node: &inner, path: "config".to_owned() }, self.root, found);
        found.iter_mut().skip(start).for_each(|finding| finding.mark = Some(key.mark));
    }

    /// No configuration is an empty one.
    fn empty(&self, found: &mut Vec<Finding>) {
        let required = self.root.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            let message = format!("missing field {} in config", quoted(name));
            let help = format!("the filter cannot do without it: write `config: {{{name}: ...}}`");
            found.push(Finding { mark: None, message, help: Some(help) });
        }
    }

    fn secrets_exist(&self, node: &Node, found: &mut Vec<Finding>) {
        if self.manifest.secrets.is_empty() {
            return;
        }
        if let Some(name) = referred(node) {
            return self.secret(&name, found);
        }
        match &node.content {
            Content::Sequence(items) => items.iter().for_each(|item| self.secrets_exist(item, found)),
            Content::Mapping(entries) => {
                entries.iter().for_each(|(_, value)| self.secrets_exist(value, found));
            }
            Content::Scalar { .. } => {}
        }
    }

    fn secret(&self, name: &Key, found: &mut Vec<Finding>) {
        let known = self.manifest.secrets.iter().map(|(known, _)| &**known);
        if !known.clone().any(|known| known == name.text) {
            let help = suggestion(&name.text, known.clone(), "there are");
            let help = help.or_else(|| Some(format!("write `secrets: {{{}: {{file: PATH}}}}`", name.text)));
            let message = format!("secret {} is not among `secrets`", quoted(&name.text));
            found.push(Finding { mark: Some(name.mark), message, help });
        }
    }

    fn value(&self, at: &At<'_>, schema: &Value, found: &mut Vec<Finding>) {
        self.steps.set(self.steps.get() + 1);
        if self.depth.get() == MAX_DEPTH || self.steps.get() > MAX_STEPS {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        self.checked(at, schema, found);
        self.depth.set(self.depth.get() - 1);
    }

    fn checked(&self, at: &At<'_>, schema: &Value, found: &mut Vec<Finding>) {
        let Some(schema) = self.followed(schema).and_then(Value::as_object) else { return };
        if at.node.is_null() {
            let message = format!("nothing is written for {}", quoted(&at.path));
            let help = "give a value, or remove the line".to_owned();
            return found.push(Finding { mark: Some(at.node.mark), message, help: Some(help) });
        }
        if let Some(name) = referred(at.node).filter(|_| takes_text(schema)) {
            // With `secrets` in the manifest, all references have been looked at.
            if self.manifest.secrets.is_empty() {
                self.secret(&name, found);
            }
            return;
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(forms) = schema.get(word).and_then(Value::as_array) {
                self.one_of(at, forms, found);
            }
        }
        let allowed = schema.get("enum").and_then(Value::as_array).cloned();
        let allowed = allowed.or_else(|| schema.get("const").map(|only| vec![only.clone()]));
        if let Some(allowed) = allowed
            && !allowed.contains(&as_json(at.node))
        {
            let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            return found.push(not_a_word(at, &words, &[]));
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => self.object(at, schema, found),
            Some("array") => self.array(at, schema, found),
            Some(scalar) => self.scalar(at, scalar, schema, found),
            None => {}
        }
    }

    fn followed<'s>(&'s self, schema: &'s Value) -> Option<&'s Value> {
        let mut schema = schema;
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return Some(schema) };
            schema = self.root.pointer(reference.strip_prefix('#')?)?;
        }
        None
    }

    fn object(&self, at: &At<'_>, schema: &Map<String, Value>, found: &mut Vec<Finding>) {
        let nothing = Map::new();
        let fields = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
        let Content::Mapping(entries) = &at.node.content else {
            let help = suggestion("", fields.keys().map(String::as_str), "its fields are");
            return found.push(at.finding(format!("expects a mapping, not {}", kind(at.node)), help));
        };
        let more = schema.get("additionalProperties").unwrap_or(&Value::Bool(true));
        let mut misspelt = Vec::new();
        for (key, node) in entries {
            let below = At { node, path: format!("{}.{}", at.path, key.text) };
            match (fields.get(&key.text), more) {
                (Some(schema), _) => self.value(&below, schema, found),
                (None, Value::Bool(false)) => {
                    misspelt.extend(closest(&key.text, fields.keys().map(String::as_str)));
                    found.push(unknown_field(key, &at.path, fields.keys().map(String::as_str)));
                }
                (None, schema) => self.value(&below, schema, found),
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            let is_there = entries.iter().any(|(key, _)| key.text == name);
            if !is_there && !misspelt.contains(&name) {
                let message = format!("missing field {} in {}", quoted(name), at.path);
                found.push(Finding { mark: Some(at.node.mark), message, help: None });
            }
        }
    }

    fn array(&self, at: &At<'_>, schema: &Map<String, Value>, found: &mut Vec<Finding>) {
        let Content::Sequence(items) = &at.node.content else {
            let help = "a list is written `[a, b]`, or one item per line after `- `".to_owned();
            return found.push(at.finding(format!("expects a list, not {}", kind(at.node)), Some(help)));
        };
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        if let Some(least) = bound("minItems").filter(|least| (items.len() as u64) < *least) {
            let problem = format!("has {} items; there must be at least {least}", items.len());
            found.push(at.finding(problem, None));
        }
        if let Some(most) = bound("maxItems").filter(|most| items.len() as u64 > *most) {
            let problem = format!("has {} items; at most {most} are possible", items.len());
            found.push(at.finding(problem, None));
        }
        let Some(of_items) = schema.get("items") else { return };
        for (index, node) in items.iter().map(Rc::as_ref).enumerate() {
            self.value(&At { node, path: format!("{}[{index}]", at.path) }, of_items, found);
        }
    }

    fn scalar(&self, at: &At<'_>, wanted: &str, schema: &Map<String, Value>, found: &mut Vec<Finding>) {
        let expected = match wanted {
            "string" => "text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "`true` or `false`",
            // Including `null`: nothing was written.
            _ => return,
        };
        let written = as_json(at.node);
        let fits = match wanted {
            "string" => written.is_string(),
            "integer" => written.is_i64() || written.is_u64(),
            "number" => written.is_number(),
            _ => written.is_boolean(),
        };
        if !fits {
            let is_word = wanted == "string" && !written.is_array() && !written.is_object();
            let help = is_word.then(|| "put it in quotes".to_owned());
            return found.push(at.finding(format!("expects {expected}, not {}", kind(at.node)), help));
        }
        match written {
            Value::Number(number) => {
                let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
                let (least, most) = (bound("minimum"), bound("maximum"));
                let value = number.as_f64().unwrap_or_default();
                if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
                    let range = match (least, most) {
                        (Some(least), Some(most)) => format!("from {least} to {most}"),
                        (Some(least), None) => format!("of at least {least}"),
                        (None, most) => format!("of at most {}", most.unwrap_or_default()),
                    };
                    found.push(at.finding(format!("expects {expected} {range}, not {number}"), None));
                }
            }
            Value::String(text) => {
                let format = schema.get("format").and_then(Value::as_str);
                if let Some((problem, help)) = format.and_then(|format| self.text_problem(format, &text)) {
                    found.push(at.finding(problem, help));
                }
            }
            _ => {}
        }
    }

    fn text_problem(&self, format: &str, text: &str) -> Option<(String, Option<String>)> {
        if format != "upstream" {
            return text::problem(format, text);
        }
        if self.manifest.callouts.iter().any(|known| **known == *text) {
            // Whether it is configured is known where the capability stands.
            return None;
        }
        if self.upstreams.contains(&text) {
            let help = format!("write `capabilities: {{callouts: [{text}]}}`");
            return Some((
                format!("names upstream {}, which this filter may not call", quoted(text)),
                Some(help),
            ));
        }
        let help = suggestion(text, self.upstreams.iter().copied(), "there are");
        Some((format!("names upstream {}, which is not in the configuration", quoted(text)), help))
    }

    /// The forms that the SDK writes are words, and mappings with one field; those get messages of their own.
    fn one_of(&self, at: &At<'_>, forms: &[Value], found: &mut Vec<Finding>) {
        let mut tried = forms.iter().map(|form| {
            let mut problems = Vec::new();
            self.value(at, form, &mut problems);
            problems
        });
        if tried.any(|problems| problems.is_empty()) {
            return;
        }
        let words: Vec<&str> = forms.iter().filter_map(|form| form.get("const")?.as_str()).collect();
        let mappings: Vec<(&str, &Value)> = forms.iter().filter_map(only_field).collect();
        let names: Vec<&str> = mappings.iter().map(|(name, _)| *name).collect();
        match &at.node.content {
            Content::Mapping(entries) if !names.is_empty() => {
                let by_name = |key: &Key| mappings.iter().find(|(name, _)| *name == key.text);
                match entries.as_slice() {
                    [(key, _)] => match by_name(key) {
                        Some((_, form)) => self.value(at, form, found),
                        None => found.push(unknown_field(key, &at.path, names.iter().copied())),
                    },
                    _ => {
                        let problem = format!("expects exactly one of {}", listed(&names));
                        found.push(at.finding(problem, None));
                    }
                }
            }
            _ if !words.is_empty() || !names.is_empty() => found.push(not_a_word(at, &words, &names)),
            _ => found.push(at.finding(format!("fits none of the {} forms it may have", forms.len()), None)),
        }
    }
}

/// The name of the only field of a form that is a mapping with one.
fn only_field(form: &Value) -> Option<(&str, &Value)> {
    let required = form.get("required")?.as_array()?;
    let [only] = required.as_slice() else { return None };
    Some((only.as_str()?, form))
}

fn takes_text(schema: &Map<String, Value>) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("string")
}

fn unknown_field<'k>(key: &Key, path: &str, known: impl Iterator<Item = &'k str> + Clone) -> Finding {
    let help = suggestion(&key.text, known, "known fields");
    let message = format!("unknown field {} in {path}", quoted(&key.text));
    Finding { mark: Some(key.mark), message, help }
}

fn not_a_word(at: &At<'_>, words: &[&str], mappings: &[&str]) -> Finding {
    let mut expected = Vec::new();
    if !words.is_empty() {
        expected.push(format!("one of {}", listed(words)));
    }
    if !mappings.is_empty() {
        expected.push(format!("a mapping with one of {}", listed(mappings)));
    }
    let found = match &at.node.content {
        Content::Scalar { text, .. } => quoted(text),
        _ => kind(at.node).to_owned(),
    };
    let help = match &at.node.content {
        Content::Scalar { text, .. } => closest(text, words.iter().chain(mappings).copied()),
        _ => None,
    };
    let help = help.map(|near| format!("did you mean {}?", quoted(near)));
    at.finding(format!("expects {}, not {found}", expected.join(" or ")), help)
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// What stands there, without saying it.
fn kind(node: &Node) -> &'static str {
    if referred(node).is_some() {
        return "a reference to a secret";
    }
    match as_json(node) {
        Value::Null => "nothing",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
#[path = "filter_config_tests.rs"]
mod tests;
