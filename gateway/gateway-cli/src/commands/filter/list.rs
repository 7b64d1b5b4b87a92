//! `gateway filter list`: the filters of a running gateway, a line each.

use serde_json::Value;

use super::numbers::{nanoseconds, number, table, word};
use crate::admin::Reach;
use crate::commands::{Failure, validate::Format};
use crate::output;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    reach: Reach,

    /// How to report
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let list = arguments.reach.admin()?.get("/filters")?;
    let text = match arguments.output {
        Format::Text => as_text(&list),
        Format::Json => format!("{list:#}\n"),
    };
    Ok(output::print(&text)?)
}

fn as_text(list: &Value) -> String {
    let filters = list["filters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut text = if filters.is_empty() {
        "no filters\n".to_owned()
    } else {
        let head = [
            "NAME",
            "VERSION",
            "STATE",
            "PHASE",
            "POLICY",
            "CALLS",
            "SELF/CALL",
            "TRAPS",
            "TIMEOUTS",
            "MEMORY",
        ];
        table(std::iter::once(head.map(str::to_owned).to_vec()).chain(filters.iter().map(line)).collect())
    };
    for filter in filters {
        if let Some(error) = filter["error"].as_str() {
            let first = error.lines().next().unwrap_or_default();
            text += &format!("{}: {first}\n", word(&filter["name"]));
        }
    }
    for problem in list["problems"].as_array().into_iter().flatten() {
        text += &format!("{} is ignored: {}\n", word(&problem["file"]), word(&problem["error"]));
    }
    text
}

fn line(filter: &Value) -> Vec<String> {
    let calls = filter["calls"].as_u64().unwrap_or(0);
    let per_call = filter["selfTimeNs"].as_u64().and_then(|sum| sum.checked_div(calls));
    vec![
        word(&filter["name"]),
        word(&filter["version"]),
        if filter["quarantine"].is_object() { "quarantine".to_owned() } else { word(&filter["state"]) },
        word(&filter["phase"]),
        word(&filter["onFailure"]),
        number(&filter["calls"]),
        per_call.map_or("-".to_owned(), nanoseconds),
        number(&filter["traps"]),
        number(&filter["timeouts"]),
        filter["memoryBytes"].as_u64().map_or("-".to_owned(), super::numbers::bytes),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_filter_and_what_is_wrong_below() {
        let list = json!({
            "filters": [
                {"name": "jwt-auth", "version": "0123456789ab", "state": "live", "error": null, "phase": "authn",
                 "onFailure": "closed", "calls": 2000, "selfTimeNs": 3_000_000, "traps": 1, "timeouts": 0,
                 "memoryBytes": 2_228_224},
                {"name": "new", "version": null, "state": "refused", "error": "new.wasm: no marker\nmore"},
            ],
            "problems": [{"file": "a b.wasm", "error": "rename the file"}],
        });
        let text = as_text(&list);
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(
            lines[1],
            [
                "jwt-auth",
                "0123456789ab",
                "live",
                "authn",
                "closed",
                "2000",
                "1.5",
                "us",
                "1",
                "0",
                "2.1",
                "MiB"
            ]
        );
        assert_eq!(lines[2], ["new", "-", "refused", "-", "-", "-", "-", "-", "-", "-"]);
        assert!(text.contains("\nnew: new.wasm: no marker\n") && !text.contains("more"), "{text}");
        assert!(text.ends_with("a b.wasm is ignored: rename the file\n"), "{text}");
        assert_eq!(as_text(&json!({"filters": [], "problems": []})), "no filters\n");
    }

    #[test]
    fn a_filter_that_was_never_called_has_no_average() {
        let filter = json!({"name": "idle", "calls": 0, "selfTimeNs": 0});
        assert_eq!(line(&filter)[6], "-");
    }
}
