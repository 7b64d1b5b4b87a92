use crate::plugin::PluginConfig;
use crate::testing::*;

fn get(at: u32, len: u32) -> String {
    show("get_property", &[at, len, OUT, OUT + 4])
}

#[test]
fn the_plugin_knows_its_own_names_from_the_first_context_on() {
    let code = [get(100, 11), get(120, 14), get(140, 12)].concat();
    let parts = format!(
        r#"(func (export "proxy_on_context_create") (param i32 i32) {code}) {} {}"#,
        on_request_headers(""),
        [data(100, "plugin_name"), data(120, "plugin_root_id"), data(140, "plugin_vm_id")].concat()
    );
    let config = PluginConfig {
        name: "quota".to_owned(),
        root_id: "root".to_owned(),
        vm_id: "vm".to_owned(),
        ..PluginConfig::default()
    };
    let host = Host::start_with(&guest(&parts), config).unwrap();
    assert_eq!(host.statuses(), [0, 0, 0]);
    assert_eq!(host.values(), ["quota", "root", "vm"]);
}

#[test]
fn a_property_is_read_back_by_the_path_it_was_set_with() {
    let code = [
        say("set_property", &[100, 5, 110, 3]),
        get(100, 5),
        get(100, 6),
        say("get_property", &[120, 4, OUT, OUT + 4]),
        say("get_property", &[120, 0, OUT, OUT + 4]),
        say("set_property", &[120, 0, 110, 3]),
        say("get_property", &[200, 40, OUT, OUT + 4]),
    ];
    let (statuses, values, host) =
        run(&code.concat(), &[data(100, "my\\00xy\\00"), data(110, "val"), data(120, "gone")].concat());
    assert_eq!(statuses, [0, 0, 0, 1, 3, 2, 1], "an empty path exists but has no wire form");
    assert_eq!(values, ["val", "val"]);
    assert_eq!(host.stream.borrow().properties["my.xy"], b"val");
}

#[test]
fn several_properties_are_read_in_one_call_and_each_says_whether_it_is_there() {
    // An empty path, one that is set, one that is not, and the plugin's own.
    let paths = ["", "my\0x", "gone", "plugin_name"];
    let length = |path: &str| u32::try_from(path.len()).unwrap().to_le_bytes();
    let argument: Vec<u8> = paths.iter().flat_map(|path| [&length(path), path.as_bytes()].concat()).collect();
    let call = |len: u32| call("call_foreign_function", &[100, 14, 140, len, OUT, OUT + 4]);
    let code = [
        say("set_property", &[120, 4, 130, 3]),
        format!("(call $show {})", call(35)),
        format!("(call $say {})", call(34)),
        format!("(call $say {})", call(3)),
        format!("(call $say {})", call(0)),
    ];
    let data = [data(100, "get_properties"), data(130, "val"), data(120, "my\\00x"), bytes(140, &argument)];
    let (statuses, values, _) = run(&code.concat(), &data.concat());
    assert_eq!(statuses, [0, 0, 2, 2, 0]);
    let absent = "\u{fffd}".repeat(4);
    assert_eq!(values, [format!("{absent}\u{3}\0\0\0val{absent}\0\0\0\0")]);
}

#[test]
fn only_so_many_properties_are_read_in_one_call() {
    let argument = [0; 4 * 65];
    let call = |count: u32| call("call_foreign_function", &[100, 14, 200, 4 * count, OUT, OUT + 4]);
    let code = [64, 65].map(|count| format!("(call $say {})", call(count)));
    let (statuses, ..) = run(&code.concat(), &[data(100, "get_properties"), bytes(200, &argument)].concat());
    assert_eq!(statuses, [0, 2]);
}

#[test]
fn without_a_stream_the_process_answers_and_nothing_is_set() {
    let code = [get(100, 4), say("set_property", &[100, 4, 110, 3])].concat();
    let parts = format!(
        r#"(func (export "proxy_on_tick") (param i32) {code}) {} {}"#,
        on_request_headers(""),
        [data(100, "node"), data(110, "val")].concat()
    );
    let mut host = Host::start(&guest(&parts));
    host.services.properties.borrow_mut().insert("node".to_owned(), b"edge-1".to_vec());
    host.plugin.on_tick().unwrap();
    assert_eq!((host.statuses(), host.values()), (vec![0, 1], vec!["edge-1".to_owned()]));
}

#[test]
fn a_value_over_the_limit_is_refused() {
    let code = say("set_property", &[100, 2, 0, 60_000]);
    let parts = format!("{} {}", on_request_headers(&code), data(100, "ab"));
    let mut config = PluginConfig::default();
    config.limits.property_bytes = 59_999;
    let mut host = Host::start_with(&guest(&parts), config).unwrap();
    assert!(host.request().is_ok());
    assert_eq!(host.statuses(), [10]);
}
