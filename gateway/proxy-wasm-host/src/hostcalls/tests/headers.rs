use crate::abi::StreamMap;
use crate::effects::CallAnswer;
use crate::testing::*;

const MAP: u32 = StreamMap::RequestHeaders as u32;

#[test]
fn a_value_is_the_first_one_and_names_ignore_case() {
    let code = [
        show("get_header_map_value", &[MAP, 100, 3, OUT, OUT + 4]),
        show("get_header_map_value", &[MAP, 110, 4, OUT, OUT + 4]),
        say("get_header_map_value", &[MAP, 120, 4, OUT, OUT + 4]),
    ];
    let (statuses, values, _) =
        run(&code.concat(), &[data(100, "X-A"), data(110, "host"), data(120, "gone")].concat());
    assert_eq!(statuses, [0, 0, 1]);
    assert_eq!(values, ["one", "shop"], "host is an alias of :authority");
}

#[test]
fn a_missing_value_is_empty_in_abi_0_1_0() {
    let code = on_request_headers(&show("get_header_map_value", &[MAP, 100, 4, OUT, OUT + 4]));
    let parts = format!("{BUMP_ALLOCATOR} {code} {}", data(100, "gone"));
    let mut host = Host::start(&module_text("proxy_abi_version_0_1_0", &parts));
    assert!(host.request().is_ok());
    assert_eq!((host.statuses(), host.values()), (vec![0], vec![String::new()]));
}

#[test]
fn changes_reach_the_stream_in_lower_case() {
    let code = [
        say("add_header_map_value", &[MAP, 100, 3, 110, 3]),
        say("replace_header_map_value", &[MAP, 120, 3, 110, 3]),
        say("remove_header_map_value", &[MAP, 130, 5]),
    ];
    let parts = [data(100, "X-A"), data(110, "two"), data(120, "X-B"), data(130, ":path")].concat();
    let (statuses, _, host) = run(&code.concat(), &parts);
    assert_eq!(statuses, [0, 0, 0]);
    let lines = host.stream.borrow().lines(StreamMap::RequestHeaders);
    let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(lines, [(":authority", "shop"), ("x-a", "one"), ("x-a", "two"), ("x-b", "two")]);
}

#[test]
fn maps_travel_whole_in_both_directions() {
    let mut map = Vec::new();
    crate::pairs::encode(&mut map, [(&b":path"[..], &b"/new"[..]), (b"X-C", b"")].into_iter());
    let code = [
        say("get_header_map_size", &[MAP, NUMBER]),
        format!("(call $say (i32.sub (i32.load (i32.const {NUMBER})) (i32.const 20)))"),
        say("set_header_map_pairs", &[MAP, 100, u32::try_from(map.len()).unwrap()]),
        show("get_header_map_pairs", &[MAP, OUT, OUT + 4]),
    ];
    let (statuses, values, _) = run(&code.concat(), &bytes(100, &map));
    let size: u32 =
        [":authority", "shop", ":path", "/", "x-a", "one"].map(|text| text.len() as u32).iter().sum();
    assert_eq!(statuses, [0, size - 20, 0, 0]);
    let expected =
        [&[2, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0][..], b":path\0/new\0x-c\0\0"].concat();
    assert_eq!(values[0].as_bytes(), expected);
}

#[test]
fn a_malformed_map_changes_nothing() {
    let (statuses, _, host) = run(&say("set_header_map_pairs", &[MAP, 100, 9]), &data(100, "not a map"));
    assert_eq!(statuses, [2]);
    assert_eq!(host.stream.borrow().lines(StreamMap::RequestHeaders).len(), 3);
}

#[test]
fn an_unavailable_map_reads_as_empty_but_its_values_are_refused() {
    let code: String = [1, 2, 3, 4, 5, 6, 7]
        .iter()
        .flat_map(|map| {
            [
                show("get_header_map_pairs", &[*map, OUT, OUT + 4]),
                say("get_header_map_value", &[*map, 100, 3, OUT, OUT + 4]),
                say("get_header_map_size", &[*map, NUMBER]),
                say("add_header_map_value", &[*map, 100, 3, 100, 3]),
                say("remove_header_map_value", &[*map, 100, 3]),
            ]
        })
        .collect();
    let (statuses, values, _) = run(&code, &data(100, "x-a"));
    assert_eq!(statuses, [0, 2, 2, 2, 2].repeat(7));
    assert_eq!(values, vec![""; 7]);
}

#[test]
fn an_unknown_map_is_refused_even_as_a_whole() {
    let code = [
        say("get_header_map_pairs", &[8, OUT, OUT + 4]),
        say("get_header_map_value", &[8, 100, 3, OUT, OUT + 4]),
        say("set_header_map_pairs", &[8, 100, 0]),
    ];
    assert_eq!(run(&code.concat(), "").0, [2, 2, 2]);
}

#[test]
fn answers_of_callouts_are_readable_in_their_callback_only() {
    let code = [
        show("get_header_map_value", &[6, 100, 7, OUT, OUT + 4]),
        show("get_header_map_value", &[7, 110, 3, OUT, OUT + 4]),
        say("get_header_map_value", &[6, 110, 3, OUT, OUT + 4]),
        say("replace_header_map_value", &[6, 100, 7, 110, 3]),
        show("get_buffer_bytes", &[4, 0, 100, OUT, OUT + 4]),
    ];
    let parts = format!(
        r#"(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) {}) {} {}"#,
        code.concat(),
        super::dispatch::call_on_request(),
        [data(100, ":status"), data(110, "x-t")].concat(),
    );
    let (mut host, token) = super::dispatch::host_with_pending_call(&parts);
    let line = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let answer = CallAnswer {
        headers: vec![line(":status", "204")],
        body: b"body".to_vec(),
        trailers: vec![line("x-t", "end")],
    };
    host.plugin.on_http_call_response(token, answer.clone()).unwrap();
    assert_eq!(host.statuses(), [0, 0, 1, 2, 0]);
    assert_eq!(host.values(), ["204", "end", "body"]);
    host.plugin.on_http_call_response(token, answer).unwrap();
    assert_eq!(host.statuses(), [], "a token is answered once");
}
