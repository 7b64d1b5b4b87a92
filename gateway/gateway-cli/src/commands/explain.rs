//! `gateway explain`: which route a request takes and why, by the code that serves traffic.

use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use gateway_config::{ClientCertificate, Manifest, Place};
use gateway_server::explain::{Candidate, Explanation, Outcome, Question, Target, Timeout, explain};
use serde_json::{Value, json};

use super::Failure;
use crate::output;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The request's method
    method: String,

    /// The request's URL, such as `https://shop.example.com/cart?x=1`
    url: String,

    /// A request header, as `name: value`; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Address of the client
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    client: IpAddr,

    /// Name of the listener [default: the one with the URL's port, else the first that speaks its scheme]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,

    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "gateway.yaml")]
    config: PathBuf,

    /// How to report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: super::validate::Format,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME:VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = gateway_config::load(&arguments.config)?;
    let filters = match &config.filters.directory {
        Some(directory) => manifests(directory)?,
        None => Vec::new(),
    };
    let Arguments { method, url, headers, client, listener, .. } = arguments;
    let question = Question { method, url, headers, client, listener };
    let explanation = explain(config, filters, &question)?;
    let text = match arguments.output {
        super::validate::Format::Text => as_text(&question, &explanation),
        super::validate::Format::Json => format!("{:#}\n", as_json(&explanation)),
    };
    Ok(output::print(&text)?)
}

/// The filters of a directory, each with its manifest. A directory that is not there yet has none.
fn manifests(directory: &Path) -> Result<Vec<(String, Manifest)>, Failure> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut filters = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("").to_owned();
        let is_module = path.extension().is_some_and(|ending| ending == "wasm");
        if !is_module || name.starts_with('.') {
            continue;
        }
        let manifest = path.with_extension("yaml");
        let manifest = if manifest.symlink_metadata().is_ok() {
            let text = gateway_config::read_manifest(&manifest)?;
            gateway_config::parse_manifest(&text, &manifest.display().to_string())?
        } else {
            Manifest::default_for(&name)
        };
        filters.push((name, manifest));
    }
    Ok(filters)
}

fn as_text(question: &Question, explanation: &Explanation) -> String {
    let Explanation { listener, client_certificate, .. } = explanation;
    let transport = match (explanation.is_tls, client_certificate) {
        (false, _) => "plain text".to_owned(),
        (true, None) => "TLS".to_owned(),
        (true, Some(certificate)) => format!("TLS, client certificate {}", word_of(*certificate)),
    };
    let mut text = format!("{} {} on listener {listener} ({transport})\n", question.method, question.url);
    if let Some(canonical) = &explanation.canonical {
        text += &format!("its path in canonical form: {canonical}\n");
    }
    match (&explanation.outcome, &explanation.refused) {
        (_, Some(refused)) => text += &format!("\nrefused with 400: {refused}\n"),
        (None, None) => text += "\nno route takes it: 404\n",
        (Some(outcome), None) => text += &outcome_text(outcome),
    }
    text += "\ncandidates, in the order in which they are asked:\n";
    for Candidate { route, place, wins, matches, reason } in &explanation.candidates {
        let verdict = match (wins, matches) {
            (true, _) => "wins".to_owned(),
            (false, true) => format!("matches too: {reason}"),
            (false, false) => format!("does not match: {reason}"),
        };
        text += &format!("  {route:<20} {}  {verdict}\n", place_text(place));
    }
    text + &format!("  {} more with another host or path\n", explanation.others)
}

fn outcome_text(outcome: &Outcome) -> String {
    let mut text = format!("\nroute     {} ({})\n", outcome.route, place_text(&outcome.place));
    text += &format!("action    {}\n", outcome.action);
    for Target { upstream, weight, is_tls } in &outcome.upstreams {
        let tls = if *is_tls { ", TLS" } else { "" };
        text += &format!("upstream  {upstream} (weight {weight}{tls})\n");
    }
    if let Some(rewritten) = &outcome.rewritten {
        text += &format!("rewritten {rewritten}\n");
    }
    let filters = if outcome.filters.is_empty() { "none".to_owned() } else { outcome.filters.join(", ") };
    text += &format!("filters   {filters}\n");
    for Timeout { name, value, place } in &outcome.timeouts {
        let value = value.map_or("no limit".to_owned(), |value| format!("{value:?}"));
        let source = place.as_ref().map_or("default".to_owned(), place_text);
        text += &format!("timeout   {name}: {value} ({source})\n");
    }
    text
}

fn as_json(explanation: &Explanation) -> Value {
    let candidates = explanation.candidates.iter().map(|candidate| {
        json!({
            "route": candidate.route,
            "place": place_text(&candidate.place),
            "wins": candidate.wins,
            "matches": candidate.matches,
            "reason": candidate.reason,
        })
    });
    let outcome = explanation.outcome.as_ref().map(|outcome| {
        let timeouts = outcome.timeouts.iter().map(|timeout| {
            json!({
                "name": timeout.name,
                "milliseconds": timeout.value.map(|value| value.as_millis()),
                "source": timeout.place.as_ref().map_or("default".to_owned(), place_text),
            })
        });
        let upstreams = outcome.upstreams.iter().map(
            |Target { upstream, weight, is_tls }| json!({"name": upstream, "weight": weight, "tls": is_tls}),
        );
        json!({
            "route": outcome.route,
            "place": place_text(&outcome.place),
            "action": outcome.action,
            "upstreams": upstreams.collect::<Vec<_>>(),
            "rewritten": outcome.rewritten,
            "filters": outcome.filters,
            "timeouts": timeouts.collect::<Vec<_>>(),
        })
    });
    json!({
        "listener": explanation.listener,
        "tls": explanation.is_tls,
        "clientCertificate": explanation.client_certificate.map(word_of),
        "canonical": explanation.canonical,
        "refused": explanation.refused,
        "outcome": outcome,
        "candidates": candidates.collect::<Vec<_>>(),
        "others": explanation.others,
    })
}

const fn word_of(certificate: ClientCertificate) -> &'static str {
    match certificate {
        ClientCertificate::Required => "required",
        ClientCertificate::Optional => "optional",
    }
}

fn place_text(place: &Place) -> String {
    format!("{}:{}:{}", place.file, place.line, place.column)
}
