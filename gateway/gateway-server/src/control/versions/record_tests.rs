//! The history of a filter as versions come and go, and as it comes back from disk.

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn key(number: u8) -> VersionKey {
    VersionKey { sha256: [number; 32], manifest: None, secrets: None }
}

fn lines(record: &Record) -> Vec<String> {
    let shown = |entry: &Entry| {
        let shown = entry.shown();
        let word = |name: &str| shown[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", word("version"), word("state"), word("gate"), word("reason"))
    };
    record.entries.iter().map(shown).collect()
}

#[test]
fn a_version_ends_when_another_goes_live() {
    let mut record = Record::default();
    record.went_live("a", Source::File, at(1));
    record.refused("b", Source::File, "parse", "no module", at(2));
    record.went_live("c", Source::File, at(3));
    assert_eq!(lines(&record), ["c live commit -", "b refused parse parse", "a ended commit -"]);
    let ended = &record.entries[2];
    assert_eq!((ended.live_from, ended.live_to), (Some(at(1)), Some(at(3))));
    assert_eq!(ended.ended.as_deref(), Some("replaced by c"));
    assert_eq!(record.live.as_deref(), Some("c"));
}

#[test]
fn a_trial_is_one_entry_from_its_beginning_to_its_end() {
    let mut record = Record::default();
    record.went_live("a", Source::File, at(1));
    record.tried("b", "canary", at(2));
    assert_eq!(lines(&record), ["b trial canary -", "a live commit -"]);
    record.ended("b", Some("traps"), "rolled back: 3 of 300", at(3));
    assert_eq!(lines(&record), ["b ended canary traps", "a live commit -"]);
    assert_eq!(record.entries[0].live_to, None, "it never served all");
    record.tried("c", "canary", at(4));
    record.went_live("c", Source::File, at(5));
    assert_eq!(lines(&record), ["c live commit -", "b ended canary traps", "a ended commit -"]);
    assert_eq!((record.entries[0].at, record.entries[0].live_from), (at(4), Some(at(5))));
}

#[test]
fn a_restart_changes_nothing() {
    let mut record = Record::default();
    record.went_live("a", Source::File, at(1));
    record.refused("b", Source::File, "parse", "no module", at(2));
    let mut after = Record::from_json(&record.to_json("f")).unwrap();
    after.went_live("a", Source::File, at(10));
    after.refused("b", Source::File, "parse", "no module", at(10));
    assert_eq!(after, record);
    after.refused("b", Source::File, "start", "it traps now", at(11));
    assert_eq!(after.entries.len(), 3, "another reason is another entry");
}

#[test]
fn the_history_is_bounded_and_shows_what_serves() {
    let mut record = Record::default();
    record.went_live("a", Source::File, at(1));
    for number in 0..50 {
        record.refused(&number.to_string(), Source::File, "parse", "no module", at(2));
    }
    assert_eq!(record.entries.len(), MAX_ENTRIES);
    assert_eq!(lines(&record).last().unwrap(), "a live commit -");
    assert_eq!(record.entries[0].version, "49");
}

#[test]
fn the_bytes_of_few_versions_are_kept() {
    let mut record =
        Record { pinned: Some(key(0).version()), held: Some(key(1).version()), ..Record::default() };
    for number in 0..20 {
        record.keep(&key(number));
    }
    let kept: Vec<u8> = record.kept.iter().map(|key| key.sha256[0]).collect();
    assert_eq!(kept, [19, 18, 17, 16, 15, 1, 0], "the pinned one and the one rolled back to stay");
}

#[test]
fn marks_are_bounded_and_each_version_has_one() {
    let mut record = Record::default();
    for number in 0..MAX_MARKS + 10 {
        record.mark(&number.to_string(), "traps");
    }
    record.mark("70", "replies");
    assert_eq!(record.marks.len(), MAX_MARKS);
    assert_eq!(record.mark_of("70").unwrap().reason, "replies");
    assert_eq!(record.mark_of("0"), None);
}

#[test]
fn a_record_comes_back_from_its_text_and_damage_costs_what_is_damaged() {
    let mut record = Record { pinned: Some("p".to_owned()), held: Some("h".to_owned()), ..Record::default() };
    record.went_live("a", Source::Pin, at(1));
    record.went_live("b", Source::Rollback, at(2));
    record.mark("c", "traps: too many");
    record.keep(&VersionKey { sha256: [7; 32], manifest: Some("config: 1".into()), secrets: None });
    let text = record.to_json("f").to_string();
    assert_eq!(Record::from_json(&serde_json::from_str(&text).unwrap()), Some(record.clone()));
    let mut damaged: Value = serde_json::from_str(&text).unwrap();
    damaged["entries"][0]["at"] = json!("yesterday");
    damaged["kept"][0]["sha256"] = json!("é".repeat(32));
    let read = Record::from_json(&damaged).unwrap();
    assert_eq!((read.entries.len(), read.kept.len(), read.marks.len()), (1, 0, 1));
    for other in [json!({}), json!([]), json!({ "format": 2 }), json!(null)] {
        assert_eq!(Record::from_json(&other), None, "{other}");
    }
}
