//! `gateway filter inspect FILE.wasm`: what can be known of a module without running it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gateway_config::FilterAbout;
use proxy_wasm_host::{Composition, LoadError, Module, ModuleInfo};
use serde_json::{Value, json};

use crate::commands::Failure;
use crate::output;

/// Crates that are shown; the rest are one line.
const SHOWN_CRATES: usize = 12;
/// What a module may do by importing it, for people.
const CAPABILITIES: [(&str, &str); 6] = [
    ("proxy_http_call", "call upstreams over HTTP (if the manifest lets it)"),
    ("proxy_grpc_call", "call upstreams over gRPC (not supported here)"),
    ("proxy_set_shared_data", "share data between workers"),
    ("proxy_enqueue_shared_queue", "use shared queues"),
    ("proxy_define_metric", "define metrics"),
    ("proxy_call_foreign_function", "call functions that only some hosts have"),
];

/// How to report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
    /// The JSON Schema of the filter's configuration alone
    Schema,
}

#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no module that the gateway would load: {source}", path.display())]
    Unusable { path: PathBuf, source: LoadError },
    #[error("{} does not say what its configuration may be\n  = help: derive `FilterConfig` on the type of its configuration", .0.display())]
    NoSchema(PathBuf),
}

pub(crate) fn run(file: &Path, output: Format) -> Result<(), Failure> {
    let wasm = fs::read(file).map_err(|source| InspectError::Read { path: file.to_owned(), source })?;
    let unusable = |source| InspectError::Unusable { path: file.to_owned(), source };
    let info = Module::inspect(&wasm).map_err(unusable)?;
    let composition = Composition::of(&wasm).map_err(unusable)?;
    let about = info.about.as_deref().map(FilterAbout::parse).transpose()?;
    match output {
        Format::Text => output::print(&text(file, &info, &composition, about.as_ref()))?,
        Format::Json => output::print(&format!("{:#}\n", as_json(&info, &composition, about.as_ref())))?,
        Format::Schema => {
            let schema =
                about.and_then(|about| about.config).ok_or(InspectError::NoSchema(file.to_owned()))?;
            output::print(&format!("{schema:#}\n"))?;
        }
    }
    Ok(())
}

fn text(file: &Path, info: &ModuleInfo, composition: &Composition, about: Option<&FilterAbout>) -> String {
    let mut text =
        format!("file         {}\nsize         {}\n", file.display(), output::size(info.size_bytes));
    match about {
        Some(about) => {
            text += &format!("filter       {} {}", about.name, about.version);
            if !about.description.is_empty() {
                text += &format!(": {}", about.description);
            }
            text += &format!("\nSDK          {}\nphases       {}\n", about.sdk, about.phases.join(", "));
        }
        None => text += "filter       says nothing about itself\n",
    }
    text += &format!("ABI          {}\n", info.abi);
    text += &entries("may", capabilities(info).into_iter().map(str::to_owned).collect());
    text +=
        &entries("imports", info.imports.iter().map(|(module, name)| format!("{module}.{name}")).collect());
    text += &entries("unsupported", info.unsupported.clone());
    text += &entries("sections", composition.sections.iter().map(sized).collect());
    if composition.crates.is_empty() {
        text += "code         no names in it; `gateway filter build DIR --names` keeps them, and sizes by crate are shown\n";
    } else {
        let (shown, rest) = composition.crates.split_at(composition.crates.len().min(SHOWN_CRATES));
        let mut lines: Vec<String> = shown.iter().map(sized).collect();
        if !rest.is_empty() {
            let sum = rest.iter().map(|(_, size)| size).sum();
            lines.push(sized(&(output::count(rest.len(), "other crate"), sum)));
        }
        text += &entries("code", lines);
    }
    let schema = about.and_then(|about| about.config.as_ref());
    text + &entries("config", schema.map_or_else(|| vec!["not described".to_owned()], fields))
}

fn sized((name, size): &(String, usize)) -> String {
    format!("{:>10}  {name}", output::size(*size))
}

/// A heading, and a line for each entry; nothing at all without entries.
fn entries(heading: &str, lines: Vec<String>) -> String {
    let headings = std::iter::once(heading).chain(std::iter::repeat(""));
    headings.zip(lines).map(|(heading, line)| format!("{heading:<13}{line}\n")).collect()
}

fn capabilities(info: &ModuleInfo) -> Vec<&'static str> {
    let imports = |name: &str| info.imports.iter().any(|(_, import)| import == name);
    CAPABILITIES.iter().filter(|(name, _)| imports(name)).map(|(_, what)| *what).collect()
}

/// One line for each field, those below it indented.
fn fields(schema: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    below(schema, "", &mut lines);
    if lines.is_empty() {
        lines.push("nothing can be configured".to_owned());
    }
    lines
}

fn below(schema: &Value, indent: &str, lines: &mut Vec<String>) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let mut line = format!("{indent}{name}: {}", kind(field));
        match field.get("default") {
            Some(default) => line += &format!(", default {default}"),
            None if required.contains(&name.as_str()) => line += ", required",
            None => {}
        }
        if let Some(description) = field["description"].as_str() {
            line += &format!("  # {description}");
        }
        lines.push(line);
        let inside = if field["items"].is_object() { &field["items"] } else { field };
        below(inside, &format!("{indent}  "), lines);
        for form in inside["oneOf"].as_array().into_iter().flatten() {
            below(form, &format!("{indent}  "), lines);
        }
    }
}

fn kind(schema: &Value) -> String {
    if let Some(forms) = schema["oneOf"].as_array() {
        let names = forms.iter().map(|form| match form["const"].as_str() {
            Some(word) => word.to_owned(),
            None => format!("{{{}: ...}}", form["required"][0].as_str().unwrap_or_default()),
        });
        return names.collect::<Vec<_>>().join(" | ");
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("array"), _) => format!("list of {}", kind(&schema["items"])),
        (Some("string"), Some(format)) => format.to_owned(),
        (Some("string"), None) => "text".to_owned(),
        (Some("object"), _) if schema["additionalProperties"].is_object() => {
            format!("mapping of {}", kind(&schema["additionalProperties"]))
        }
        (Some("object"), _) => "mapping".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) => "anything".to_owned(),
    }
}

fn as_json(info: &ModuleInfo, composition: &Composition, about: Option<&FilterAbout>) -> Value {
    let sizes = |sizes: &[(String, usize)]| -> Vec<Value> {
        sizes.iter().map(|(name, bytes)| json!({"name": name, "bytes": bytes})).collect()
    };
    json!({
        "bytes": info.size_bytes,
        "abi": info.abi.to_string(),
        "name": about.map(|about| &about.name),
        "version": about.map(|about| &about.version),
        "description": about.map(|about| &about.description),
        "sdk": about.map(|about| &about.sdk),
        "phases": about.map(|about| &about.phases),
        "capabilities": capabilities(info),
        "imports": info.imports.iter().map(|(module, name)| format!("{module}.{name}")).collect::<Vec<_>>(),
        "exports": info.exports,
        "unsupported": info.unsupported,
        "sections": sizes(&composition.sections),
        "crates": sizes(&composition.crates),
        "config": about.and_then(|about| about.config.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_listed_with_what_is_below_them() {
        let schema = json!({
            "properties": {
                "limits": {"type": "array", "description": "All hold.", "items": {"type": "object", "required": ["per"], "properties": {
                    "per": {"type": "string", "format": "duration"},
                    "key": {"oneOf": [{"const": "all"}, {"required": ["header"], "properties": {"header": {"type": "string"}}}], "default": "all"},
                }}},
                "labels": {"type": "object", "additionalProperties": {"type": "number"}},
            },
            "required": ["limits"],
        });
        let mut found = fields(&schema);
        found.sort();
        let mut expected = [
            "labels: mapping of number",
            "limits: list of mapping, required  # All hold.",
            "  key: all | {header: ...}, default \"all\"",
            "    header: text, required",
            "  per: duration, required",
        ];
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(fields(&json!({"type": "object"})), ["nothing can be configured"]);
    }
}
