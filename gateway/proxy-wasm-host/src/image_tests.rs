use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::abi::{LogLevel, MetricKind};
use crate::effects::Effect;
use crate::fake::{FakeServices, FakeStream, Ticker};
use crate::plugin::{Plugin, PluginConfig, StartError, Template};
use crate::testing::*;

/// A place that guests count and draw in.
const CELL: u32 = 3000;

struct Frozen {
    image: Result<Arc<Image>, NotFrozen>,
    services: Rc<FakeServices>,
}

fn services() -> Rc<FakeServices> {
    let services = FakeServices::default();
    services.upstreams.borrow_mut().push("auth".to_owned());
    Rc::new(services)
}

fn config() -> Arc<PluginConfig> {
    Arc::new(PluginConfig { callouts: vec!["auth".to_owned()], ..PluginConfig::default() })
}

fn freeze_in(engine: &Engine, text: &str, randomness: SharedRandomness) -> Frozen {
    let wasm = wasm(text);
    let module = Module::compile(engine, &wasm).unwrap();
    let services = services();
    let mut started = Started::start(&module, config(), services.clone()).unwrap();
    Frozen { image: Image::freeze(engine, &mut started, &module, &wasm, randomness), services }
}

fn freeze(text: &str) -> Frozen {
    freeze_in(engine(), text, SharedRandomness::Refuse)
}

fn not_frozen(text: &str) -> NotFrozen {
    freeze(text).image.err().expect("it was frozen")
}

fn template(text: &str) -> (Template, Rc<FakeServices>) {
    let services = services();
    let template = Template::new(freeze(text).image.unwrap(), services.clone()).unwrap();
    (template, services)
}

fn request(plugin: &mut Plugin) {
    let stream = Rc::new(RefCell::new(FakeStream::with_request_headers(&[(":path", "/")])));
    let id = plugin.create_stream(stream).unwrap();
    plugin.on_request_headers(id, 1, true).unwrap();
    plugin.finish_stream(id).unwrap();
}

fn effects(plugin: &mut Plugin) -> Vec<Effect> {
    std::iter::from_fn(|| plugin.next_effect()).collect()
}

fn on_configure(code: &str) -> String {
    format!(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) {code} (i32.const 1))"#)
}

/// Configure and each request add one to the number in memory and to a global, and tell both.
fn counting() -> String {
    let count = format!(
        "(i32.store8 (i32.const {CELL}) (i32.add (i32.load8_u (i32.const {CELL})) (i32.const 1)))
         (global.set $count (i32.add (global.get $count) (i32.const 1)))"
    );
    let tell = format!("(call $say (i32.load8_u (i32.const {CELL}))) (call $say (global.get $count))");
    guest(&format!(
        "(global $count (mut i32) (i32.const 3)) {} {}",
        on_configure(&count),
        on_request_headers(&(count.clone() + &tell))
    ))
}

#[test]
fn copies_begin_where_the_start_ended_and_never_see_each_other() {
    let (template, services) = template(&counting());
    let mut first = template.plugin().unwrap();
    let mut second = template.plugin().unwrap();
    request(&mut first);
    request(&mut first);
    request(&mut second);
    request(&mut template.plugin_for_stream().unwrap());
    let told = services.lines_at(LogLevel::Debug);
    assert_eq!(told, ["2", "5", "3", "6", "2", "5", "2", "5"], "configure ran once, in no copy");
}

#[test]
fn a_slot_that_is_used_again_keeps_nothing() {
    let engine = Engine::with_slots(1).unwrap();
    let _ticker = Ticker::start(&engine);
    let secret = on_request_headers(&format!(
        "(call $say (i32.load8_u (i32.const {CELL}))) (call $say (i32.load8_u (i32.const 65000)))
         (i32.store8 (i32.const {CELL}) (i32.const 9)) (i32.store8 (i32.const 65000) (i32.const 9))
         (drop (memory.grow (i32.const 3))) (i32.store8 (i32.const 200000) (i32.const 9))"
    ));
    let frozen = freeze_in(&engine, &guest(&secret), SharedRandomness::Refuse);
    let services = services();
    let template = Template::new(frozen.image.unwrap(), services.clone()).unwrap();
    for _ in 0..5 {
        let mut copy = template.plugin_for_stream().unwrap();
        assert!(
            matches!(template.plugin_for_stream(), Err(StartError::Instantiate { .. })),
            "there is one slot, so that it is this one that is used again"
        );
        request(&mut copy);
        assert_eq!(copy.memory_bytes(), 4 * 65536);
    }
    assert_eq!(services.lines_at(LogLevel::Debug), ["0"; 10]);
}

#[test]
fn a_slot_is_as_good_as_new_after_more_than_it_keeps() {
    let engine = Engine::with_slots(1).unwrap();
    let _ticker = Ticker::start(&engine);
    // Adds up all that there is, grown memory too, then writes to every byte of it: twice what a slot keeps.
    let sum = "(func $sum (result i32) (local $at i32) (local $sum i32)
        (loop $next
          (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $at) (i32.const 262144))))
        (local.get $sum))";
    let dirty = on_request_headers(
        "(drop (memory.grow (i32.const 3))) (call $say (call $sum))
         (memory.fill (i32.const 0) (i32.const 9) (i32.const 262144))",
    );
    let frozen = freeze_in(&engine, &guest(&format!("{sum} {dirty}")), SharedRandomness::Refuse);
    let services = services();
    let template = Template::new(frozen.image.unwrap(), services.clone()).unwrap();
    for _ in 0..4 {
        request(&mut template.plugin_for_stream().unwrap());
    }
    let sums = services.lines_at(LogLevel::Debug);
    assert_eq!(sums.len(), 4);
    assert!(sums.iter().all(|sum| *sum == sums[0] && sum != "2359296"), "{sums:?}");
}

/// Metrics, a queue, a tick period and a callout; requests use what was defined.
fn busy() -> String {
    let define = |kind: u32, at: u32| say("define_metric", &[kind, at, 1, NUMBER]);
    let configure = [
        define(0, 100),
        define(1, 101),
        define(0, 100),
        say("register_shared_queue", &[102, 1, NUMBER]),
        say("set_tick_period_milliseconds", &[250]),
        say("http_call", &[110, 4, 200, 64, 0, 0, 0, 0, 500, NUMBER]),
    ];
    let increment = |id: u32| format!("(call $say (call $increment_metric (i32.const {id}) (i64.const 7)))");
    let requests = [
        increment(1 << 2),
        increment(2 << 2 | 1),
        increment(3 << 2),
        define(0, 103),
        increment(4 << 2),
        increment(5 << 2),
        say("enqueue_shared_queue", &[1, 100, 1]),
    ];
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "auth")];
    let mut list = vec![3, 0, 0, 0];
    for (name, value) in headers {
        list.extend([name.len() as u8, 0, 0, 0, value.len() as u8, 0, 0, 0]);
    }
    for (name, value) in headers {
        list.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    assert_eq!(list.len(), 64);
    guest(
        &[
            on_configure(&configure.concat()),
            on_request_headers(&requests.concat()),
            data(100, "abqc"),
            data(110, "auth"),
            bytes(200, &list),
        ]
        .concat(),
    )
}

#[test]
fn what_the_start_told_its_services_is_told_again_where_copies_live() {
    let (template, services) = template(&busy());
    let names = |services: &FakeServices| {
        services.metrics.borrow().iter().map(|(_, name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&services), ["a", "b"]);
    assert_eq!(services.queues.borrow().len(), 1);
    assert!(services.lines_at(LogLevel::Debug).is_empty(), "and no code of the guest ran for it");

    let mut plugin = template.plugin().unwrap();
    let queued = effects(&mut plugin);
    let [Effect::TickPeriod(Some(period)), Effect::HttpCall { token, stream: None, .. }] = &queued[..] else {
        panic!("{queued:?}")
    };
    assert_eq!(*period, Duration::from_millis(250));
    plugin.on_http_call_response(*token, crate::effects::CallAnswer::aborted()).unwrap();
    request(&mut plugin);
    assert_eq!(services.lines_at(LogLevel::Debug), ["0", "0", "0", "0", "0", "1", "0"]);
    let metrics = services.metrics.borrow().clone();
    assert_eq!(
        metrics,
        [
            (MetricKind::Counter, "a".to_owned(), 14),
            (MetricKind::Gauge, "b".to_owned(), 7),
            (MetricKind::Counter, "c".to_owned(), 7),
        ]
    );

    let mut of_stream = template.plugin_for_stream().unwrap();
    assert!(effects(&mut of_stream).is_empty(), "ticks and callouts of the plugin are not a stream's");
    request(&mut of_stream);
    assert_eq!(names(&services), ["a", "b", "c"], "no copy adds what is there");
}

#[test]
fn a_queue_with_another_id_makes_no_template() {
    let frozen = freeze(&busy());
    let taken = services();
    crate::host::Services::register_queue(&*taken, b"other").unwrap();
    let refused = Template::new(frozen.image.unwrap(), taken).err();
    assert_eq!(refused, Some(StartError::Restore { what: "queue", name: "q".to_owned() }));
}

#[test]
fn a_start_can_be_taken_over_by_another_thread() {
    let module = Module::compile(engine(), &wasm(&busy())).unwrap();
    let module = Arc::new(module);
    let started = {
        let module = module.clone();
        std::thread::spawn(move || Started::start(&module, config(), services()).unwrap()).join().unwrap()
    };
    assert_eq!(started.memory_bytes(), 65536);
    let here = services();
    let mut plugin = Plugin::adopt(started, here.clone()).unwrap();
    assert_eq!(effects(&mut plugin).len(), 2);
    request(&mut plugin);
    assert_eq!(here.lines_at(LogLevel::Debug), ["0", "0", "0", "0", "0", "1", "0"]);
    assert_eq!(here.metrics.borrow().len(), 3);

    let never_adopted =
        std::thread::spawn(move || Started::start(&module, config(), services()).unwrap()).join().unwrap();
    drop(never_adopted);
}

#[test]
fn several_that_share_a_vm_can_be_taken_over_together() {
    let module = Module::compile(engine(), &wasm(&busy())).unwrap();
    let started = std::thread::spawn(move || {
        let others = [(config(), services() as Rc<dyn crate::host::Services>)];
        Started::start_all(&module, (config(), services()), others).unwrap()
    });
    let started = started.join().unwrap();
    let here = [services(), services()];
    let mut plugins = Plugin::adopt_all(started, |number| here[number].clone()).unwrap();
    assert_eq!(plugins.len(), 2);
    for plugin in &mut plugins {
        assert_eq!(effects(plugin).len(), 2);
        request(plugin);
    }
    for services in &here {
        assert_eq!(services.metrics.borrow().len(), 3);
        assert!(!services.lines_at(LogLevel::Debug).is_empty());
    }
}

#[test]
fn of_several_the_one_that_does_not_start_is_named() {
    let module = Module::compile(engine(), &wasm(&busy())).unwrap();
    let other = PluginConfig { vm_id: "another".to_owned(), ..PluginConfig::default() };
    let others = [(Arc::new(other), services() as Rc<dyn crate::host::Services>)];
    let refused = Started::start_all(&module, (config(), services()), others).err();
    assert_eq!(refused, Some((1, StartError::OtherVm)));
}

const DRAW: &str = "(drop (call $random_get (i32.const 3000) (i32.const 1)))";

fn foreign_draw() -> String {
    format!("(drop {})", call("call_foreign_function", &[120, 6, 130, 4, OUT, OUT + 4]))
}

fn drawing(configure: &str, more: &str) -> String {
    let tell = on_request_headers(&format!("(drop {})", call("log", &[2, CELL, 1])));
    guest(
        &[on_configure(configure), tell, more.to_owned(), data(120, "random"), bytes(130, &[1, 0, 0, 0])]
            .concat(),
    )
}

const HOOK: &str = r#"(func (export "gateway_on_copy")
    (drop (call $random_get (i32.const 3000) (i32.const 1))))"#;

#[test]
fn randomness_of_the_start_is_not_copied_unless_it_can_be_drawn_anew() {
    assert_eq!(not_frozen(&drawing(DRAW, "")), NotFrozen::DrewRandomness { bytes: 1 });
    assert_eq!(not_frozen(&drawing(DRAW, HOOK)), NotFrozen::DrewRandomness { bytes: 1 });
    assert_eq!(not_frozen(&drawing(&foreign_draw(), "")), NotFrozen::DrewRandomness { bytes: 1 });
    let both = foreign_draw() + DRAW;
    assert_eq!(not_frozen(&drawing(&both, HOOK)), NotFrozen::DrewRandomness { bytes: 2 });
    assert!(freeze(&drawing(&foreign_draw(), HOOK)).image.is_ok());
    let accepted = freeze_in(engine(), &drawing(DRAW, ""), SharedRandomness::Accept);
    assert!(accepted.image.is_ok());
    assert_eq!(accepted.services.lines_at(LogLevel::Error), [""; 0]);
}

#[test]
fn each_copy_draws_its_own_random_numbers() {
    let (template, services) = template(&drawing(&foreign_draw(), HOOK));
    for _ in 0..100 {
        request(&mut template.plugin_for_stream().unwrap());
    }
    let logs = services.logs.borrow();
    let values: HashSet<&String> = logs.iter().map(|(_, line)| line).collect();
    // Above 127 the stand-in's lines are no text.
    assert_eq!(values.len(), 100);
}

#[test]
fn a_copy_that_fails_in_its_hook_does_not_serve() {
    let hook = r#"(func (export "gateway_on_copy") unreachable)"#;
    let (template, _) = template(&drawing("", hook));
    let Err(StartError::Call(error)) = template.plugin() else { panic!("it serves") };
    assert!(error.to_string().contains("gateway_on_copy"), "{error}");
}

#[test]
fn code_that_changes_what_cannot_be_read_is_run_as_it_is() {
    let text = guest(&format!(
        "(table 2 funcref) (func $nothing) (elem declare func $nothing) {} {}",
        on_configure("(table.set (i32.const 0) (ref.func $nothing))"),
        on_request_headers("")
    ));
    let NotFrozen::Module { reason } = not_frozen(&text) else { panic!("another reason") };
    assert!(reason.contains("table.set"), "{reason}");
    Host::start(&text).request().unwrap();
}

#[test]
fn there_is_no_image_of_more_memory_than_images_may_have() {
    let limit = u32::try_from(crate::limits::FROZEN_BYTES).unwrap();
    let text = |bytes: u32| {
        guest(&format!(
            "{} {}",
            on_configure(&format!(
                "(local $at i32) (drop (memory.grow (i32.const {})))
                 (loop $on (i32.store8 (local.get $at) (i32.const 1))
                   (br_if $on (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const {bytes}))))",
                bytes / 65536 + 1
            )),
            on_request_headers("")
        ))
    };
    let of = |bytes: u32| {
        let wasm = wasm(&text(bytes));
        let module = Module::compile(engine(), &wasm).unwrap();
        let limits = crate::Limits { memory_bytes: 2 * limit as usize, ..crate::Limits::default() };
        let config = Arc::new(PluginConfig { limits, ..PluginConfig::default() });
        let mut started = Started::start(&module, config, services()).unwrap();
        super::Frozen::of(&mut started, &module, SharedRandomness::Refuse).map(|frozen| frozen.state().len())
    };
    assert!(of(limit - 1_000_000).is_ok_and(|bytes| bytes < limit as usize));
    let Err(NotFrozen::Module { reason }) = of(limit + 1_000_000) else { panic!("another reason") };
    assert!(reason.contains("more than"), "{reason}");
}

#[test]
fn the_bytes_of_another_module_are_not_taken_for_its_own() {
    let own = wasm(&counting());
    let module = Module::compile(engine(), &own).unwrap();
    let mut started = Started::start(&module, config(), services()).unwrap();
    let more_globals = guest(
        "(global (mut i32) (i32.const 0)) (global (mut i64) (i64.const 0)) (global (mut i32) (i32.const 0))",
    );
    let refused =
        Image::freeze(engine(), &mut started, &module, &wasm(&more_globals), SharedRandomness::Refuse);
    assert!(matches!(refused, Err(NotFrozen::Module { .. })), "{:?}", refused.err());
}

/// The image has a layout of its own, and its places are those of the file that it was made from.
#[test]
fn what_fails_in_a_copy_is_found_in_the_original_file() {
    let text = guest(&format!(
        "{} (func $inner (nop) unreachable) {}",
        on_configure("(i32.store (i32.const 3000) (i32.const 7))"),
        on_request_headers("(call $inner)")
    ));
    let (template, _) = template(&text);
    let mut copy = template.plugin().unwrap();
    let stream = Rc::new(RefCell::new(FakeStream::with_request_headers(&[(":path", "/")])));
    let id = copy.create_stream(stream).unwrap();
    let error = copy.on_request_headers(id, 1, true).unwrap_err();
    let original = wasm(&text);
    let symbols = crate::Symbols::read(&original).unwrap();
    let stack = symbols.stack(error.failure().unwrap());
    assert_eq!(stack[0].function, "inner");
    const UNREACHABLE: u8 = 0x00;
    const CALL: u8 = 0x10;
    assert_eq!(original[stack[0].offset.unwrap()], UNREACHABLE);
    assert_eq!(original[stack[1].offset.unwrap()], CALL);
}
