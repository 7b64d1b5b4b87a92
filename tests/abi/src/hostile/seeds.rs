//! Where fuzzing begins: bytes that already reach far, as files in `tests/fuzz-abi/seeds/TARGET/`. Those made here are
//! written by `abi-kit seeds`; what a fuzzer found stands beside them, and is replayed with them.

use std::path::{Path, PathBuf};

use super::scripted::{GROW, RETURN, SET_ALLOCATOR, inline, number, operation, text};
use crate::guest::FUNCTIONS;

/// Where the seeds of a target stand.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz-abi/seeds").join(target)
}

/// All seeds of a target, by name.
///
/// # Panics
/// If there are none.
#[must_use]
pub fn read(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| (path.clone(), std::fs::read(path).expect("a readable file")))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    seeds
}

/// The seeds that are made here: target, name, bytes.
#[must_use]
pub fn written() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |target, name: &str, bytes: &[u8]| all.push((target, name.to_owned(), bytes.to_vec()));
    for (name, bytes) in maps() {
        add("map", name, &bytes);
    }
    for (name, path) in PROPERTIES {
        add("property", name, path);
    }
    for (at, (name, _)) in FUNCTIONS.iter().enumerate() {
        add("calls", name, &each_way(at));
    }
    for (name, script) in stories() {
        add("calls", name, &script);
    }
    let cases = crate::cases();
    for subject in MODULES {
        let case = cases.iter().find(|case| case.subject == subject).expect("there is a case");
        add("module", subject, &crate::guest::module(case));
    }
    all
}

/// Subjects whose first case is a module to begin with.
const MODULES: [&str; 6] =
    ["allocators", "callbacks_bodies", "lifecycle", "proxy_abi_0_1_0", "proxy_http_call", "wasi"];

fn maps() -> [(&'static str, Vec<u8>); 9] {
    let map = |entries: &[(&[u8], &[u8])]| {
        let mut bytes = Vec::new();
        proxy_wasm_host::pairs::encode(&mut bytes, entries.iter().copied());
        bytes
    };
    let head: [(&[u8], &[u8]); 3] = [(b":method", b"GET"), (b":path", b"/"), (b"x-empty", b"")];
    let cut = map(&head)[..20].to_vec();
    [
        ("nothing", Vec::new()),
        ("one_zero", vec![0]),
        ("no_entries", vec![0; 4]),
        ("one", map(&[(b"x-a", b"one")])),
        ("head", map(&head)),
        ("one_byte_more", [&map(&head)[..], b"x"].concat()),
        ("cut", cut),
        ("many", map(&[(&b"a"[..], &b"b"[..]); 65])),
        ("lengths_that_wrap", [&[1, 0, 0, 0][..], &[0xff; 8], &[0; 2]].concat()),
    ]
}

const PROPERTIES: [(&str, &[u8]); 14] = [
    ("path", b"request\0path"),
    ("ends_in_nul", b"request\0path\0"),
    ("header", b"request\0headers\0x-a"),
    ("hidden_header", b"request\0headers\0x-hidden"),
    ("hidden_header_in_capitals", b"request\0headers\0X-Hidden"),
    ("headers", b"request\0headers"),
    ("message", b"request"),
    ("plugin", b"plugin_root_id"),
    ("filter_state", b"filter_state\0wasm.mine"),
    ("nothing", b""),
    ("one_nul", b"\0"),
    ("empty_segments", b"request\0\0path"),
    ("seventeen_segments", b"a\0a\0a\0a\0a\0a\0a\0a\0a\0a\0a\0a\0a\0a\0a\0a\0a"),
    ("not_text", b"request\0\xff\xfe"),
];

/// What a stream sees, as events.
const ORDINARY: [u8; 11] = [0, 1, 2, 3, 10, 4, 5, 6, 8, 9, 7];

/// A stream that ends at once, and ticks after it.
const SHORT: [u8; 4] = [0, 7, 8, 8];

/// Two plugins in one VM, a stream of each, and one of them leaving.
const SHARED: [u8; 13] = [13, 0, 0, 1, 17, 8, 10, 4, 20, 14, 8, 4, 7];

/// Plugin and stream are made without a word of the script.
fn begin(events: &[u8]) -> Vec<u8> {
    let mut bytes = vec![events.len() as u8];
    bytes.extend(events);
    bytes.extend([RETURN, 1].repeat(3));
    bytes
}

/// A function with each of the first arguments, in two callbacks.
fn each_way(at: usize) -> Vec<u8> {
    let mut bytes = begin(&ORDINARY);
    for argument in 0..24_u8 {
        bytes.push(at as u8);
        bytes.extend((0..12).map(|more| argument.wrapping_mul(more + 1) % 32));
        if argument == 12 {
            bytes.extend([RETURN, 0]);
        }
    }
    bytes
}

/// Scripts that get somewhere.
fn stories() -> Vec<(&'static str, Vec<u8>)> {
    let head = b"\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x06\0\0\0:method\0GET\0:path\0/\0:authority\0origin\0";
    let call =
        [operation("http_call"), text(b"origin"), text(head), text(b"mine"), text(b""), number(200), 4];
    let reply = |status: i64| {
        let operation = operation("send_local_response");
        [operation, number(status), text(b"mine"), text(b"mine"), text(b""), number(-1)]
    };
    let read = |map: i64| [operation("get_header_map_pairs"), number(map), 0, 1];
    let story = |parts: &[&[u8]]| [&begin(&ORDINARY)[..], &parts.concat()].concat();
    let mut stories = vec![
        (
            "a_callout_and_its_answer",
            story(&[&call, &[RETURN, 1], &[RETURN, 1], &[RETURN, 1], &read(6), &read(7)]),
        ),
        ("callouts_up_to_the_limit", story(&[&call.repeat(12)])),
        ("a_callout_that_is_not_allowed", story(&[&[call[0], text(b"refused")], &call[2..]])),
        ("a_reply_with_no_status", story(&[&reply(99)])),
        (
            "two_plugins",
            [
                &begin(&SHARED)[..],
                &[RETURN, 1].repeat(3),
                &call,
                &[operation("set_effective_context"), number(4)],
                &[operation("continue_stream"), 0],
                &reply(403),
                &[RETURN, 1],
                &call,
                &[operation("set_effective_context"), number(3)],
                &[operation("set_tick_period_milliseconds"), number(100)],
                &reply(200),
            ]
            .concat(),
        ),
        (
            "a_stream_that_ended",
            [
                &begin(&SHORT)[..],
                // The stream's log, done and delete.
                &[RETURN, 1].repeat(3),
                &[operation("set_effective_context"), number(2)],
                &reply(403),
                &[operation("continue_stream"), 0, operation("close_stream"), 0],
            ]
            .concat(),
        ),
        (
            "a_reply_from_a_tick",
            story(&[
                &[operation("set_tick_period_milliseconds"), number(100)],
                &[RETURN, 1].repeat(8),
                &[operation("set_effective_context"), number(2)],
                &[
                    operation("send_local_response"),
                    number(403),
                    text(b"mine"),
                    text(b"mine"),
                    text(b""),
                    number(-1),
                ],
            ]),
        ),
        (
            "a_body_changed_while_it_is_read",
            story(&[
                &[RETURN, 0],
                &[operation("get_buffer_bytes"), 0, 0, number(99), 0, 1],
                &[operation("set_buffer_bytes"), 0, number(3), number(0xffff_ffff), text(b"mine")],
                &[operation("get_buffer_bytes"), 0, number(-1), number(-1), 0, 1],
            ]),
        ),
        ("an_inline_map", story(&[&[operation("set_header_map_pairs"), 0, inline(4), 0, 0, 0, 0], &read(0)])),
        (
            "queues",
            story(&[
                &[operation("register_shared_queue"), text(b"a queue"), 2],
                &[operation("enqueue_shared_queue"), number(1), text(b"mine")].repeat(3),
                &[operation("dequeue_shared_queue"), number(1), 0, 1].repeat(4),
            ]),
        ),
        (
            "metrics",
            story(&[
                &[operation("define_metric"), 0, text(b"mine"), 2],
                &[operation("increment_metric"), number(1), number(i64::MAX)].repeat(3),
                &[operation("record_metric"), number(1), number(i64::MIN)],
                &[operation("get_metric"), number(1), 3],
            ]),
        ),
        (
            "foreign_functions",
            story(&[
                &[
                    operation("call_foreign_function"),
                    text(b"declare_property"),
                    text(b"\x0a\x04mine\x12\x05value"),
                    0,
                    1,
                ],
                &[operation("call_foreign_function"), text(b"uncompress"), inline(3), 0x78, 0x9c, 0x03, 0, 1],
                &[operation("set_property"), text(b"mine"), text(b"x-a")],
                &[operation("get_property"), text(b"mine"), 0, 1],
            ]),
        ),
    ];
    for way in 0..10 {
        let bytes = story(&[
            &[SET_ALLOCATOR as u8, way],
            &read(0),
            &[operation("get_property"), text(b"request\0path"), 0, 1],
            &[operation("get_buffer_bytes"), 6, 0, number(-1), 0, 1],
            &[GROW as u8, 30],
            &read(2),
        ]);
        stories.push((ALLOCATORS[usize::from(way)], bytes));
    }
    stories
}

const ALLOCATORS: [&str; 10] = [
    "allocator_0",
    "allocator_1",
    "allocator_2",
    "allocator_3",
    "allocator_4",
    "allocator_5",
    "allocator_6",
    "allocator_7",
    "allocator_8",
    "allocator_9",
];
