//! What is shown of a history, and which names and versions are taken.

use serde_json::json;

use super::*;

#[test]
fn names_and_versions_fit_a_path() {
    assert_eq!(name("jwt-auth.wasm").unwrap(), "jwt-auth");
    for wrong in ["", "a/b", "a b", "a?version=1", "../x", "%2e"] {
        assert!(name(wrong).is_err(), "{wrong}");
    }
    assert_eq!(version("3f2a-9c").unwrap(), "3f2a-9c");
    for wrong in ["", "latest", "3f2a&x=1", "3f 2a"] {
        assert!(version(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_history_reads_from_the_newest_to_the_oldest() {
    let history = json!({
        "held": "aaaaaaaaaaaa",
        "pinned": null,
        "marked": [{"version": "bbbbbbbbbbbb", "reason": "traps: 3 of 300"}],
        "trial": null,
        "history": [
            {"version": "bbbbbbbbbbbb", "state": "ended", "source": "file", "gate": "canary", "at": "2026-01-02T00:00:00.000Z",
             "liveFrom": null, "ended": "rolled back: 3 of 300", "message": null},
            {"version": "cccccccccccc", "state": "refused", "source": "file", "gate": "parse", "at": "2026-01-01T12:00:00.000Z",
             "liveFrom": null, "ended": "refused", "message": "c.wasm: no module\nmore"},
            {"version": "aaaaaaaaaaaa", "state": "live", "source": "file", "gate": "commit", "at": "2026-01-01T00:00:00.000Z",
             "liveFrom": "2026-01-01T00:00:01.000Z", "ended": null, "message": null},
        ],
    });
    assert_eq!(
        as_text(&history),
        "VERSION            STATE    FROM      GATE          SINCE                     WHY\n\
         bbbbbbbbbbbb       ended    file      canary        2026-01-02T00:00:00.000Z  rolled back: 3 of 300\n\
         cccccccccccc       refused  file      parse         2026-01-01T12:00:00.000Z  c.wasm: no module\n\
         aaaaaaaaaaaa       live     file      commit        2026-01-01T00:00:01.000Z  \n\
         rolled back to aaaaaaaaaaaa\n\
         not tried again: bbbbbbbbbbbb (traps: 3 of 300)\n"
    );
}
