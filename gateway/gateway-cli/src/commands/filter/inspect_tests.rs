use serde_json::json;

use super::*;

#[test]
fn files_and_names_are_told_apart() {
    for (subject, is) in [
        ("jwt-auth", false),
        ("jwt-auth.wasm", true),
        ("./jwt-auth", true),
        ("filters/jwt-auth.wasm", true),
        // A directory that is here under the same name.
        ("src", false),
        ("Cargo.toml", true),
    ] {
        assert_eq!(is_file(subject), is, "{subject}");
    }
}

#[test]
fn a_page_shows_numbers_limits_versions_and_failures() {
    let page = json!({
        "name": "auth", "version": "v2", "state": "live", "error": null, "phase": "authn", "priority": 5, "quarantine": {"nextTryMs": 700},
        "onFailure": "closed", "required": true,
        "module": {"sha256": "00ff", "sizeBytes": 2048, "abi": "0.2.1"},
        "calls": 10, "localReplies": 3, "memoryBytes": 131_072, "instances": 2, "memoryPeakBytes": 65_536,
        "memoryLimitBytes": 1_048_576, "trapsByReason": {"unreachable": 2},
        "replacements": {"count": 2, "timeNs": 1_000_000, "maxNs": 700_000},
        "callbacks": [{"callback": "request_headers", "calls": 10, "selfTimeNs": 15_000, "selfTimeMaxNs": 4_000,
                       "hostCalls": 30, "waits": {"count": 1, "timeNs": 2_000_000, "maxNs": 2_000_000}}],
        "limits": {"callbackCpu": {"limitNs": 10_000_000, "peakNs": 4_000, "hits": 0}, "body": {"limitBytes": 1024},
                   "logBytes": {"limit": 65536, "hits": 2}, "cpuPerSecond": {"limit": 1.5, "hits": 0}},
        "versions": [{"version": "v1", "current": false, "running": false, "calls": 7, "traps": 0, "timeouts": 0},
                     {"version": "v2", "current": true, "running": true, "calls": 10, "traps": 2, "timeouts": 0}],
        "lastTraps": [{"time": "2026-01-01T00:00:00Z", "filter": "auth", "version": "v2", "worker": 1,
            "callback": "proxy_on_request_headers", "cause": "wasm trap: unreachable", "said": "panicked\nhere",
            "requestId": "7d1f", "hostCalls": ["proxy_log"],
            "stack": [{"function": "auth::check", "file": "src/lib.rs", "line": 7, "column": 3, "offset": 99},
                      {"function": "run", "file": null, "line": null, "offset": 16}]}],
    });
    let text = page_text(&page);
    for expected in [
        "auth v2 (live)\n",
        "  phase     authn, priority 5\n",
        "  memory    128.0 KiB in 2 machines; at most 64.0 KiB in one of 1.0 MiB allowed\n",
        "  failures  unreachable 2\n",
        "  replaced  2 machines, in 700.0 us at most\n",
        "  request_headers  10     1.5 us     4.0 us   30          1      2.0 ms\n",
        "  callbackCpu   10.0 ms   4.0 us        0\n",
        "  body          1.0 KiB   -             -\n",
        "  logBytes      64.0 KiB  -             2\n",
        "  cpuPerSecond  1.5       -             0\n",
        "  in quarantine, tried again in 700 ms\n",
        "  v1       ended    7",
        "  it said: panicked\n  it said: here\n  at auth::check (src/lib.rs:7)\n  at run (at 0x10)\n",
        "  host calls before: proxy_log\n  request 7d1f, worker 1\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
}

#[test]
fn a_refused_filter_has_a_page_too() {
    let page = json!({"name": "new", "version": null, "state": "refused", "error": "no marker\nbuild it anew",
                      "versions": [], "lastTraps": []});
    let text = page_text(&page);
    assert!(text.starts_with("new - (refused)\n  no marker\n  build it anew\n"), "{text}");
}
