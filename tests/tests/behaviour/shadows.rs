//! Shadows: new versions that see copies of requests and responses, are compared, and change nothing.

use gateway_tests::versions::{REFUSES, version, versions_seen};
use gateway_tests::{Answer, Gateway, Origin, Request, eventually, wasm};
use serde_json::{Value, json};

#[test]
fn a_shadow_is_compared_and_changes_nothing() {
    let origin = Origin::answering("ok");
    let manifest = "rollout: {shadow: {share: 100%}}";
    let gateway = Gateway::to(&origin).filter("app", &version('a', ""), manifest).start();
    let first = gateway.serving("app");
    let comparison = |what: &str| {
        let history = gateway.history("app").expect("a history");
        history["trial"]["comparison"][what].as_u64()
    };
    gateway.replace_module("app", &version('b', ""));
    gateway.await_entry("app", "the shadow", |entry| entry["gate"] == "shadow" && entry["state"] == "trial");
    let mut client = gateway.connect();
    (0..5).for_each(|_| assert_eq!(client.get("/").status, 200));
    eventually("five differences", || comparison("different") == Some(5));
    let history = gateway.history("app").expect("a history");
    let example = &history["trial"]["comparison"]["examples"][0];
    assert_eq!((&example["live"], &example["candidate"]), (&"goes on".into(), &"goes on".into()));
    assert_eq!(example["headers"], serde_json::json!(["x-version"]));
    gateway.replace_module("app", &version('c', REFUSES));
    eventually("the other shadow", || comparison("compared") == Some(0));
    (0..5).for_each(|_| assert_eq!(client.get("/").status, 200));
    let history = gateway.history("app").expect("a history");
    assert_eq!(history["trial"]["comparison"]["examples"][4]["candidate"], "answers 403");
    assert_eq!(gateway.serving("app"), first);
    assert!(versions_seen(&origin).iter().all(|version| version == "a"));
    gateway.replace_module("app", &version('a', "(nop)"));
    eventually("a third shadow", || comparison("compared") == Some(0));
    (0..5).for_each(|_| assert_eq!(client.get("/").status, 200));
    eventually("ten heads without a difference", || comparison("compared") == Some(10));
    assert_eq!(comparison("different"), Some(0));
}

#[test]
fn a_shadow_that_traps_harms_nobody_and_one_with_callouts_is_refused_by_name() {
    let origin = Origin::answering("ok");
    // With a rehearsal it would not come so far.
    let manifest = "rollout: {shadow: {share: 100%}}\nrehearsal: false";
    let gateway = Gateway::to(&origin).filter("app", &version('a', ""), manifest).start();
    gateway.replace_module("app", &version('b', "unreachable"));
    gateway.await_entry("app", "the shadow", |entry| entry["state"] == "trial");
    let mut client = gateway.connect();
    (0..10).for_each(|_| assert_eq!(client.get("/").status, 200));
    let history = gateway.history("app").expect("a history");
    assert_eq!(history["trial"]["candidate"]["traps"], 10);
    assert!(versions_seen(&origin).iter().all(|version| version == "a"));
    gateway.replace_manifest("app", "rollout: shadow\ncapabilities: {callouts: [origin]}");
    let refusal = gateway.await_refusal("app");
    assert!(refusal.contains("app.yaml") && refusal.contains("callouts"), "{refusal}");
}

/// Passes everything on, but for what the callbacks do before.
fn with_bodies(head: &str, request: &str, response: &str, trailers: &str) -> Vec<u8> {
    let imports = r#"
        (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_send_local_response"
          (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;
    let callback = |name: &str, more: &str, body: &str| {
        format!(
            r#"(func (export "{name}") (param $id i32) (param $size i32) {more} (result i32)
                 {body} (i32.const 0))"#
        )
    };
    let end = "(param $end i32)";
    let parts = [
        r#"(data (i32.const 16) "x-marked!")"#.to_owned(),
        callback("proxy_on_request_headers", end, head),
        callback("proxy_on_request_body", end, request),
        callback("proxy_on_response_body", end, response),
        callback("proxy_on_request_trailers", "", trailers),
    ];
    wasm::small(imports, &parts.concat())
}

/// Goes on with the end, and holds what comes before.
const HOLDS: &str = "(if (i32.eqz (local.get $end)) (then (return (i32.const 1))))";
const HOLDS_FOR_EVER: &str = "(return (i32.const 1))";
/// Puts a byte before the last piece of a request.
const ADDS: &str = "(if (i32.gt_u (local.get $size) (i32.const 2)) (then
    (drop (call $set (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 24) (i32.const 1)))))";
/// Writes another byte over the first of each piece of a response.
const REPLACES: &str = "(if (local.get $size) (then
    (drop (call $set (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 24) (i32.const 1)))))";
/// Adds `x-marked: !` to the request head.
const MARKS_HEAD: &str =
    "(drop (call $add (i32.const 0) (i32.const 16) (i32.const 8) (i32.const 24) (i32.const 1)))";
/// The same for its trailers.
const MARKS_TRAILERS: &str =
    "(drop (call $add (i32.const 1) (i32.const 16) (i32.const 8) (i32.const 24) (i32.const 1)))";

/// A gateway in front of an origin that answers in pieces, with a filter that has a shadow.
struct Shadowed {
    origin: Origin,
    gateway: Gateway,
    /// What clients get.
    answer: &'static str,
}

/// What became of the phases of one request: the same for both versions, undecided, and different.
#[derive(PartialEq, Debug)]
struct Phases {
    same: u64,
    undecided: u64,
    different: Vec<Value>,
}

impl Phases {
    fn same(same: u64) -> Self {
        Self { same, undecided: 0, different: Vec::new() }
    }

    fn and_undecided(self) -> Self {
        Self { undecided: 1, ..self }
    }

    fn and(self, phase: &str, live: &str, candidate: &str, headers: &[&str]) -> Self {
        let difference = json!({"method": "POST", "phase": phase, "live": live, "candidate": candidate, "headers": headers});
        Self { different: vec![difference], ..self }
    }

    fn count(&self) -> u64 {
        self.same + self.undecided + self.different.len() as u64
    }
}

impl Shadowed {
    fn start(live: &[u8], manifest: &str) -> Self {
        let origin = Origin::start(|request| Answer::chunked(request.body.clone().chunks(2)));
        let manifest = format!("rollout: {{shadow: {{share: 100%}}}}\n{manifest}");
        let gateway = Gateway::to(&origin).filter("app", live, &manifest).start();
        Self { origin, gateway, answer: "hello" }
    }

    fn comparison(&self) -> Value {
        self.gateway.history("app").map_or(Value::Null, |history| history["trial"]["comparison"].clone())
    }

    /// Sends one request with body and trailers, which a shadow of this module is to see otherwise or not.
    fn check(&self, what: &str, shadow: &[u8], expected: &Phases) {
        self.gateway.replace_module("app", shadow);
        eventually(what, || self.comparison()["compared"] == 0 && self.comparison()["undecided"] == 0);
        let request = Request::new("POST", "/").chunked([&b"he"[..], b"llo"]).trailer("x-sum", "5");
        let response = self.gateway.send(&request);
        assert_eq!((response.status, response.text().as_str()), (200, self.answer), "{what}");
        let seen = self.origin.last_request();
        assert_eq!((seen.text().as_str(), seen.header("x-marked")), ("hello", None), "{what}");
        let number = |name: &str| self.comparison()[name].as_u64().expect("a number");
        eventually(what, || number("compared") + number("undecided") >= expected.count());
        let mut different = self.comparison()["examples"].as_array().cloned().unwrap_or_default();
        for example in &mut different {
            example.as_object_mut().expect("an object").remove("route");
        }
        let same = number("compared") - number("different");
        assert_eq!(&Phases { same, undecided: number("undecided"), different }, expected, "{what}");
    }
}

#[test]
fn a_shadow_is_compared_in_what_it_makes_of_bodies_and_trailers() {
    let shadowed = Shadowed::start(&with_bodies("", "", "", ""), "");
    let passes = "passes 5 bytes on";
    for (what, shadow, expected) in [
        ("the same", with_bodies("(nop)", "", "", ""), Phases::same(4)),
        ("the same, later", with_bodies("", HOLDS_FOR_EVER, HOLDS, ""), Phases::same(4)),
        (
            "a longer body",
            with_bodies("", ADDS, "", ""),
            Phases::same(3).and("request body", passes, "passes 6 bytes on", &[]),
        ),
        (
            "other bytes",
            with_bodies("", "", REPLACES, ""),
            Phases::same(3).and("response body", passes, "passes 5 other bytes on", &[]),
        ),
        (
            "trailers",
            with_bodies("", "", "", MARKS_TRAILERS),
            Phases::same(3).and("request body", passes, passes, &["x-marked"]),
        ),
        (
            "a refusal",
            with_bodies("", REFUSES, "", ""),
            Phases::same(1).and("request body", passes, "answers 403", &[]),
        ),
        ("held for ever", with_bodies("", "", HOLDS_FOR_EVER, ""), Phases::same(3).and_undecided()),
    ] {
        shadowed.check(what, &shadow, &expected);
    }
}

#[test]
fn bodies_are_compared_where_only_one_of_the_versions_looks_at_them() {
    let passes = "passes 5 bytes on";
    let nothing = wasm::small(
        "",
        r#"(func (export "proxy_on_request_headers") (param i32 i32) (result i32) (i32.const 0))"#,
    );
    let shadowed = Shadowed::start(&nothing, "");
    let expected = Phases::same(3).and("request body", passes, "passes 6 bytes on", &[]);
    shadowed.check("the shadow", &with_bodies("", ADDS, "", ""), &expected);
    let replaces = with_bodies("", "", &format!("{HOLDS}{REPLACES}"), "");
    let shadowed = Shadowed { answer: "!ello", ..Shadowed::start(&replaces, "") };
    let expected = Phases::same(3).and("response body", passes, "passes 5 other bytes on", &[]);
    shadowed.check("the version that serves", &nothing, &expected);
}

#[test]
fn a_head_that_a_shadow_holds_until_it_has_the_body_is_compared() {
    let marks_late =
        format!("(if (i32.lt_u (local.get $size) (i32.const 5)) (then (return (i32.const 1)))) {MARKS_HEAD}");
    let holds_both = with_bodies("(return (i32.const 1))", HOLDS_FOR_EVER, "", "");
    for live in [&with_bodies("", "", "", ""), &holds_both] {
        let shadowed = Shadowed::start(live, "bodyWhilePaused: true");
        for (what, shadow, expected) in [
            ("at once", with_bodies("(nop)", "", "", ""), Phases::same(4)),
            ("held", with_bodies("(return (i32.const 1))", HOLDS_FOR_EVER, "(nop)", ""), Phases::same(4)),
            (
                "held and changed",
                with_bodies("(return (i32.const 1))", &marks_late, "", ""),
                Phases::same(3).and("request", "goes on", "goes on", &["x-marked"]),
            ),
            (
                "held for ever",
                with_bodies("(return (i32.const 1))", HOLDS_FOR_EVER, "", "(return (i32.const 1))"),
                Phases::same(0).and_undecided(),
            ),
            (
                "held and refused",
                with_bodies("(return (i32.const 1))", REFUSES, "", ""),
                Phases::same(0).and("request", "goes on", "answers 403", &[]),
            ),
        ] {
            shadowed.check(what, &shadow, &expected);
        }
    }
}
