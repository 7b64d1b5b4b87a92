//! `gateway filter inspect`: everything about one filter of a running gateway, or about a module that lies in a file.

use std::path::Path;

use serde_json::Value;

use super::inspect_file::{self, Format};
use super::numbers::{bytes, nanoseconds, number, table, word};
use crate::admin::Reach;
use crate::commands::Failure;
use crate::output;

/// Limits that are numbers of bytes.
const IN_BYTES: [&str; 4] = ["memory", "memorySoft", "logBytes", "sharedData"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Name of a filter that a running gateway has, or a module's file (a path that exists, or ends in .wasm)
    #[arg(value_name = "NAME|FILE")]
    subject: String,

    #[command(flatten)]
    reach: Reach,

    /// How to report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("`{0}` is not the name of a filter, such as `jwt-auth`, and there is no file of that name")]
    NoName(String),
    #[error("a running gateway does not tell the schema of `{0}`\n  = help: name the file of its module")]
    OfFiles(String),
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { subject, reach, output } = arguments;
    if is_file(&subject) {
        return inspect_file::run(Path::new(&subject), output);
    }
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if subject.is_empty() || !subject.bytes().all(is_legal) {
        return Err(InspectError::NoName(subject).into());
    }
    let page = reach.admin()?.get(&format!("/filters?name={subject}"))?;
    let text = match output {
        Format::Text => page_text(&page),
        Format::Json => format!("{page:#}\n"),
        Format::Schema => return Err(InspectError::OfFiles(subject).into()),
    };
    Ok(output::print(&text)?)
}

/// Whether a file is meant rather than a name: a filter may be called like a directory that is here.
fn is_file(subject: &str) -> bool {
    subject.ends_with(".wasm") || subject.contains('/') || Path::new(subject).is_file()
}

fn page_text(page: &Value) -> String {
    let mut text = format!("{} {} ({})\n", word(&page["name"]), word(&page["version"]), word(&page["state"]));
    if let Some(error) = page["error"].as_str() {
        for line in error.lines() {
            text += &format!("  {}\n", word(&Value::from(line)));
        }
    }
    if let Some(wait) = page["quarantine"]["nextTryMs"].as_u64() {
        text += &format!("  in quarantine, tried again in {wait} ms\n");
    }
    text += &facts(page);
    text += &callbacks(page);
    text += &limits(page);
    text += &versions(page);
    text += &traps(page);
    text
}

fn facts(page: &Value) -> String {
    let mut rows = vec![
        row("phase", format!("{}, priority {}", word(&page["phase"]), page["priority"])),
        row("policy", word(&page["onFailure"])),
        row("required", page["required"].to_string()),
    ];
    if let Some(module) = page["module"].as_object() {
        rows.push(row("SHA-256", word(&module["sha256"])));
        let size = module["sizeBytes"].as_u64().map_or("-".to_owned(), bytes);
        rows.push(row("module", format!("{size}, ABI {}", word(&module["abi"]))));
    }
    if page["calls"].is_u64() {
        let memory = |name: &str| page[name].as_u64().map_or("-".to_owned(), bytes);
        rows.push(row("calls", number(&page["calls"])));
        rows.push(row("replies", number(&page["localReplies"])));
        rows.push(row(
            "memory",
            format!(
                "{} in {} machines; at most {} in one of {} allowed",
                memory("memoryBytes"),
                number(&page["instances"]),
                memory("memoryPeakBytes"),
                memory("memoryLimitBytes")
            ),
        ));
        let reasons: Vec<_> = page["trapsByReason"].as_object().into_iter().flatten().collect();
        let reasons: Vec<_> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        let failures = if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") };
        rows.push(row("failures", failures));
        let replaced = &page["replacements"];
        if replaced["count"].as_u64().is_some_and(|count| count > 0) {
            let longest = replaced["maxNs"].as_u64().map_or("-".to_owned(), nanoseconds);
            rows.push(row("replaced", format!("{} machines, in {longest} at most", replaced["count"])));
        }
    }
    table(rows)
}

fn row(name: &str, value: String) -> Vec<String> {
    vec![format!("  {name}"), value]
}

fn callbacks(page: &Value) -> String {
    let entries = page["callbacks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        return String::new();
    }
    let head = ["  CALLBACK", "CALLS", "SELF/CALL", "LONGEST", "HOST CALLS", "WAITS", "WAIT/EACH"];
    let of = |entry: &Value| {
        let each = |sum: &Value, count: &Value| {
            let each = sum.as_u64().and_then(|sum| sum.checked_div(count.as_u64()?));
            each.map_or("-".to_owned(), nanoseconds)
        };
        let waits = &entry["waits"];
        vec![
            format!("  {}", word(&entry["callback"])),
            number(&entry["calls"]),
            each(&entry["selfTimeNs"], &entry["calls"]),
            entry["selfTimeMaxNs"].as_u64().map_or("-".to_owned(), nanoseconds),
            number(&entry["hostCalls"]),
            number(&waits["count"]),
            each(&waits["timeNs"], &waits["count"]),
        ]
    };
    let rows = std::iter::once(head.map(str::to_owned).to_vec()).chain(entries.iter().map(of)).collect();
    format!("\n{}", table(rows))
}

fn limits(page: &Value) -> String {
    let Some(limits) = page["limits"].as_object().filter(|limits| !limits.is_empty()) else {
        return String::new();
    };
    let mut rows = vec![["  LIMIT", "IS", "USED AT MOST", "HITS"].map(str::to_owned).to_vec()];
    for (name, of) in limits {
        let amount = |kind: &str| {
            let time = of[format!("{kind}Ns")].as_u64().map(nanoseconds);
            let size = || of[format!("{kind}Bytes")].as_u64().map(bytes);
            let plain = || match &of[kind] {
                Value::Number(size) if IN_BYTES.contains(&name.as_str()) => size.as_u64().map(bytes),
                Value::Number(amount) => Some(amount.to_string()),
                _ => None,
            };
            time.or_else(size).or_else(plain).unwrap_or_else(|| "-".to_owned())
        };
        rows.push(vec![format!("  {name}"), amount("limit"), amount("peak"), number(&of["hits"])]);
    }
    format!("\n{}", table(rows))
}

fn versions(page: &Value) -> String {
    let entries = page["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.len() < 2 {
        return String::new();
    }
    let head = ["  VERSION", "IS", "CALLS", "TRAPS", "TIMEOUTS"].map(str::to_owned).to_vec();
    let of = |entry: &Value| {
        let state = match (entry["current"] == true, entry["running"] == true) {
            (true, _) => "current",
            (false, true) => "ending",
            (false, false) => "ended",
        };
        let name = format!("  {}", word(&entry["version"]));
        vec![
            name,
            state.to_owned(),
            number(&entry["calls"]),
            number(&entry["traps"]),
            number(&entry["timeouts"]),
        ]
    };
    format!("\n{}", table(std::iter::once(head).chain(entries.iter().map(of)).collect()))
}

fn traps(page: &Value) -> String {
    let mut text = String::new();
    for trap in page["lastTraps"].as_array().into_iter().flatten() {
        text += &format!(
            "\n{} {}@{} failed in {}: {}\n",
            word(&trap["time"]),
            word(&trap["filter"]),
            word(&trap["version"]),
            word(&trap["callback"]),
            word(&trap["cause"]),
        );
        for line in trap["said"].as_str().into_iter().flat_map(str::lines) {
            text += &format!("  it said: {}\n", word(&Value::from(line)));
        }
        for place in trap["stack"].as_array().into_iter().flatten() {
            text += &format!("  at {}{}\n", word(&place["function"]), source(place));
        }
        let calls: Vec<_> = trap["hostCalls"].as_array().into_iter().flatten().map(word).collect();
        if !calls.is_empty() {
            text += &format!("  host calls before: {}\n", calls.join(", "));
        }
        text += &format!("  request {}, worker {}\n", word(&trap["requestId"]), number(&trap["worker"]));
    }
    text
}

fn source(place: &Value) -> String {
    match (place["file"].as_str(), place["line"].as_u64(), place["offset"].as_u64()) {
        (Some(file), Some(line), _) => format!(" ({}:{line})", word(&Value::from(file))),
        (_, _, Some(offset)) => format!(" (at {offset:#x})"),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
