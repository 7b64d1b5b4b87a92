//! `gateway filter history|rollback|promote|pin|unpin`: the versions of a filter of a running gateway.

use serde_json::Value;

use crate::admin::{Admin, Reach};
use crate::commands::{Failure, validate};
use crate::output;

#[derive(clap::Args)]
pub(crate) struct HistoryArguments {
    /// Name of the filter
    name: String,

    #[command(flatten)]
    reach: Reach,

    /// How to report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: validate::Format,
}

#[derive(clap::Args)]
pub(crate) struct ChangeArguments {
    /// Name of the filter
    name: String,

    /// The version, or the beginning of it [default: the one before, on trial, or that serves]
    version: Option<String>,

    #[command(flatten)]
    reach: Reach,

    /// How to report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: validate::Format,
}

#[derive(clap::Args)]
pub(crate) struct UnpinArguments {
    /// Name of the filter
    name: String,

    #[command(flatten)]
    reach: Reach,

    /// How to report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: validate::Format,
}

pub(crate) fn history(arguments: HistoryArguments) -> Result<(), Failure> {
    let path = format!("/filters/{}/history", name(&arguments.name)?);
    let history = arguments.reach.admin()?.get(&path)?;
    show(arguments.output, &history, || as_text(&history))
}

pub(crate) fn change(verb: &str, arguments: ChangeArguments) -> Result<(), Failure> {
    let mut path = format!("/filters/{}/{verb}", name(&arguments.name)?);
    if let Some(version) = &arguments.version {
        path += &format!("?version={}", self::version(version)?);
    }
    done(&arguments.reach.admin()?, &path, arguments.output)
}

pub(crate) fn unpin(arguments: UnpinArguments) -> Result<(), Failure> {
    let path = format!("/filters/{}/unpin", name(&arguments.name)?);
    done(&arguments.reach.admin()?, &path, arguments.output)
}

fn done(admin: &Admin, path: &str, format: validate::Format) -> Result<(), Failure> {
    let answer = admin.post(path)?;
    show(format, &answer, || format!("{}\n", answer["done"].as_str().unwrap_or("done")))
}

fn show(format: validate::Format, value: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let text = match format {
        validate::Format::Text => text(),
        validate::Format::Json => format!("{value:#}\n"),
    };
    Ok(output::print(&text)?)
}

/// A filter is named as its file without the ending, and so that it can stand in a path.
fn name(text: &str) -> Result<&str, Failure> {
    let name = text.strip_suffix(".wasm").unwrap_or(text);
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_legal) {
        return Err(Failure::Message(format!("`{text}` is not the name of a filter, such as `jwt-auth`")));
    }
    Ok(name)
}

fn version(text: &str) -> Result<&str, Failure> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Err(Failure::Message(format!(
            "`{text}` is not a version; `gateway filter history` shows them, such as `3f2a9c0d1e5b-9c41`"
        )));
    }
    Ok(text)
}

fn as_text(history: &Value) -> String {
    let word = |value: &Value, name: &str| value[name].as_str().unwrap_or("-").to_owned();
    let mut text =
        format!("{:<18} {:<8} {:<9} {:<13} {:<25} WHY\n", "VERSION", "STATE", "FROM", "GATE", "SINCE");
    for entry in history["history"].as_array().into_iter().flatten() {
        let since = entry["liveFrom"].as_str().or(entry["at"].as_str()).unwrap_or("-");
        let why = entry["ended"].as_str().filter(|ended| *ended != "refused").or(entry["message"].as_str());
        let why = why.unwrap_or("").lines().next().unwrap_or("");
        text += &format!(
            "{:<18} {:<8} {:<9} {:<13} {:<25} {why}\n",
            word(entry, "version"),
            word(entry, "state"),
            word(entry, "source"),
            word(entry, "gate"),
            since
        );
    }
    for (name, what) in [("pinned", "pinned to"), ("held", "rolled back to")] {
        if let Some(version) = history[name].as_str() {
            text += &format!("{what} {version}\n");
        }
    }
    for mark in history["marked"].as_array().into_iter().flatten() {
        text += &format!("not tried again: {} ({})\n", word(mark, "version"), word(mark, "reason"));
    }
    let trial = &history["trial"];
    if let Some(version) = trial["version"].as_str() {
        let numbers = |side: &str| {
            let side = &trial[side];
            format!(
                "{} requests, {} traps, {} timeouts, {} replies, {:.3} ms added, {:.4} ms CPU per call, {:.0} bytes per request",
                side["requests"],
                side["traps"],
                side["timeouts"],
                side["replies"],
                side["addedMs"].as_f64().unwrap_or(0.0),
                side["cpuPerCallMs"].as_f64().unwrap_or(0.0),
                side["memoryPerRequestBytes"].as_f64().unwrap_or(0.0),
            )
        };
        text += &format!(
            "\non trial: {version} ({}, {} %), now: {}\n  serves:   {}\n  on trial: {}\n",
            word(trial, "kind"),
            trial["sharePercent"],
            word(trial, "judgement"),
            numbers("live"),
            numbers("candidate"),
        );
    }
    if let Some(comparison) = trial["comparison"].as_object() {
        text += &format!(
            "  phases:   {} compared, {} different, {} undecided\n",
            comparison["compared"], comparison["different"], comparison["undecided"]
        );
        for example in comparison["examples"].as_array().into_iter().flatten() {
            let headers: Vec<_> =
                example["headers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            text += &format!(
                "    {} {} {}: serves {}, on trial {}{}{}\n",
                word(example, "method"),
                word(example, "route"),
                word(example, "phase"),
                word(example, "live"),
                word(example, "candidate"),
                if headers.is_empty() { "" } else { "; headers: " },
                headers.join(", "),
            );
        }
    }
    text
}

#[cfg(test)]
#[path = "versions_tests.rs"]
mod tests;
