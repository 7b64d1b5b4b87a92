use super::*;

fn objects(added: &[&str], changed: &[(&str, &[&str])], removed: &[&str], kept: usize) -> Objects {
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    Objects {
        added: names(added),
        changed: changed
            .iter()
            .map(|(name, what)| Changed { name: Arc::from(*name), what: names(what), keeps: Vec::new() })
            .collect(),
        removed: names(removed),
        kept: (0..kept).map(|number| Arc::from(format!("kept-{number}"))).collect(),
    }
}

fn reload(cause: Cause, revision: u64, outcome: Result<Changes, Failure>) -> Reload {
    Reload { cause, revision, at: SystemTime::UNIX_EPOCH, took: Duration::from_micros(1_234), outcome }
}

#[test]
fn the_line_names_what_changed_and_counts_what_was_kept() {
    let changes = Changes {
        listeners: objects(&[], &[], &[], 2),
        hosts: objects(&["new.example"], &[("*", &["one", "two"])], &["old.example"], 0),
        certificates: objects(&[], &[("a.pem", &[]), ("b.pem", &[])], &[], 0),
        settings: vec!["drain", "accessLog"],
        ..Changes::default()
    };
    assert_eq!(
        summary(&changes),
        "listeners: 2 kept; hosts: 1 added (new.example), 1 changed (*: one, two), 1 removed (old.example); \
         certificates: 2 changed (a.pem, b.pem); settings: drain, accessLog"
    );
}

#[test]
fn the_line_is_short_whatever_changed() {
    let names: Vec<String> = (0..1_000).map(|number| format!("host-{number}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let changed: Vec<(&str, &[&str])> = names.iter().map(|name| (*name, &names[..])).collect();
    let changes = Changes { hosts: objects(&names, &changed, &names, 1_000), ..Changes::default() };
    let line = summary(&changes);
    assert!(
        line.starts_with("hosts: 1000 added (host-0.example, host-1.example, host-2.example, "),
        "{line}"
    );
    assert!(line.len() < 1_500, "{}", line.len());
}

#[test]
fn a_refused_configuration_stays_in_sight_while_filters_change() {
    let mut reloads = Reloads::default();
    reloads.note(reload(Cause::Start, 1, Ok(Changes::default())));
    let failure = Failure { lines: vec!["1 error in gateway.yaml".to_owned()], diagnostics: Vec::new() };
    reloads.note(reload(Cause::Configuration, 1, Err(failure)));
    reloads.note(reload(Cause::Filters, 2, Ok(Changes::default())));
    reloads.note(reload(Cause::Filters, 3, Ok(Changes::default())));
    let json = reloads.json();
    let causes: Vec<_> =
        json["reloads"].as_array().unwrap().iter().map(|reload| reload["cause"].clone()).collect();
    assert_eq!(
        (&json["revision"], causes),
        (&json!(3), vec![json!("filters"), json!("configuration"), json!("start")])
    );
    let refused = &json["reloads"][1];
    assert_eq!(refused["error"]["message"], "1 error in gateway.yaml");
    assert_eq!((&refused["result"], &refused["changes"]), (&json!("failure"), &Value::Null));
    assert_eq!(
        (&refused["durationMs"], &refused["time"]),
        (&json!(1.23), &json!("1970-01-01T00:00:00.000Z"))
    );
    reloads.note(reload(Cause::Configuration, 4, Ok(Changes::default())));
    assert_eq!(reloads.json()["reloads"][0]["error"], Value::Null);
    assert_eq!(reloads.json()["reloads"].as_array().unwrap().len(), 3);
}
