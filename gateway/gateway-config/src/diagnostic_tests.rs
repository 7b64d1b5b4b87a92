use super::*;

fn one(text: &str, mark: Mark) -> Diagnostic {
    let mut report = Report::new("f.yaml", text);
    report.error(mark, "wrong", None);
    report.finish::<()>(None).unwrap_err().iter().next().unwrap().clone()
}

#[test]
fn a_report_shows_place_excerpt_caret_and_help() {
    let mut report = Report::new("f.yaml", "first: 1\nsecond: 2\n");
    report.error(Mark { line: 2, column: 9, width: 1 }, "wrong", Some("do it right".into()));
    let shown = report.finish(Some(())).unwrap_err().to_string();
    let expected = "error: wrong\n --> f.yaml:2:9\n  |\n1 | first: 1\n2 | second: 2\n  |         ^\n  |\n  = help: do it right\n\n1 error in f.yaml";
    assert_eq!(shown, expected);
}

#[test]
fn errors_are_in_the_order_of_the_file() {
    let mut report = Report::new("f.yaml", "a\nb\n");
    report.error(Mark { line: 2, column: 1, width: 1 }, "second", None);
    report.error(Mark { line: 1, column: 1, width: 1 }, "first", None);
    report.error(None, "whole", None);
    let report = report.finish::<()>(None).unwrap_err();
    assert_eq!(
        report.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(),
        ["whole", "first", "second"]
    );
}

#[test]
fn a_value_is_handed_out_only_without_errors() {
    assert_eq!(Report::new("f", "").finish(Some(1)), Ok(1));
    assert!(Report::new("f", "").finish::<()>(None).is_err());
}

#[test]
fn the_number_of_errors_is_bounded() {
    let mut report = Report::new("f", "");
    for _ in 0..=MAX_ERRORS {
        report.error(None, "wrong", None);
    }
    let report = report.finish::<()>(None).unwrap_err();
    assert_eq!(report.iter().count(), MAX_ERRORS);
    assert!(report.to_string().ends_with("more than 50 errors in f; the first are shown"));
}

#[test]
fn long_lines_are_cut_around_the_mark() {
    let text = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
    let error = one(&text, Mark { line: 1, column: 501, width: 4 });
    let shown: Vec<char> = error.excerpt[0].text.chars().collect();
    assert!(shown.len() <= MAX_EXCERPT_COLUMNS + 2);
    let Underline { offset, width } = error.underline.unwrap();
    assert_eq!(shown[offset..offset + width].iter().collect::<String>(), "HERE");
}

#[test]
fn marks_outside_the_text_do_no_harm() {
    for mark in [
        Mark { line: 0, column: 0, width: 0 },
        Mark { line: 1, column: 900, width: usize::MAX },
        Mark { line: 99, column: 1, width: 1 },
    ] {
        assert!(!one("short", mark).to_string().is_empty());
    }
}

#[test]
fn files_cannot_steer_the_terminal() {
    let error = one("a: \u{1b}[2J\u{202e}\tx", Mark { line: 1, column: 1, width: 1 });
    assert_eq!(error.excerpt[0].text, "a: \u{fffd}[2J\u{fffd} x");
    assert_eq!(quoted("a\u{1b}\n"), "`a\\u{1b}\\n`");
    assert_eq!(quoted(&"x".repeat(100)).chars().count(), MAX_QUOTED_CHARS + 3);
}

#[test]
fn the_name_probably_meant_is_found() {
    let fields = ["path", "method", "headers", "connectTimeout"];
    let meant = |written: &str| closest(written, fields.into_iter());
    assert_eq!(meant("mehtod"), Some("method"));
    assert_eq!(meant("connect_timeout"), Some("connectTimeout"));
    assert_eq!(meant("Header"), Some("headers"));
    assert_eq!(meant("pathprefix"), Some("path"));
    assert_eq!(meant("retry"), None);
    assert_eq!(suggestion("x", ["a", "b"].into_iter(), "known").unwrap(), "known: `a`, `b`");
    assert_eq!(suggestion("x", [].into_iter(), "known"), None);
}

#[test]
fn diagnostics_serialise_for_programs() {
    let mut report = Report::new("f.yaml", "a: 1\n");
    report.error(Mark { line: 1, column: 4, width: 1 }, "wrong", Some("right".into()));
    report.error(None, "whole", None);
    let value = serde_json::to_value(report.finish::<()>(None).unwrap_err()).unwrap();
    assert_eq!(value["file"], "f.yaml");
    assert_eq!(value["errors"][0]["place"], serde_json::Value::Null);
    assert_eq!(value["errors"][1]["place"], serde_json::json!({"file": "f.yaml", "line": 1, "column": 4}));
    assert_eq!(value["errors"][1]["underline"], serde_json::json!({"offset": 3, "width": 1}));
    assert_eq!(value["errors"][1]["help"], "right");
}

#[test]
fn for_logs_each_error_is_one_line() {
    let mut report = Report::new("f.yaml", "a: 1\n");
    report.error(Mark { line: 1, column: 4, width: 1 }, "wrong", Some("right".into()));
    report.error(None, "whole\nfile", None);
    let report = report.finish::<()>(None).unwrap_err();
    assert_eq!(report.summary(), "2 errors in f.yaml");
    assert_eq!(report.lines().collect::<Vec<_>>(), ["f.yaml: whole\u{fffd}file", "f.yaml:1:4 wrong; right"]);
}
