//! Filters that are compiled in processes of their own, and kept: within limits, without a loss for anybody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use gateway_tests::{Gateway, Origin, Setup, bombs, pause, wasm};

use crate::stamps::stamps;

const PROGRAM: &str = env!("CARGO_BIN_EXE_compile-filter");
/// sched(7).
const SCHED_IDLE: &str = "5";

fn site(origin: &Origin, filters: &str) -> Setup {
    let config = format!(
        "routes: [{{name: all, to: origin}}]\nupstreams: {{origin: '{}'}}\nfilters: {{directory: filters, state: state, {filters}}}",
        origin.address()
    );
    Gateway::with(&config).compiling_in(PROGRAM)
}

fn compilations(gateway: &Gateway, outcome: &str) -> u32 {
    gateway.metrics().sum("gateway_filter_compilations_total", &[("outcome", outcome)]) as u32
}

/// Minutes of work for the compiler.
fn bomb() -> Vec<u8> {
    bombs::additions(6_000, 1_000)
}

#[test]
fn a_filter_is_compiled_once_and_known_after_a_restart() {
    let origin = Origin::answering("ok");
    let mut gateway = site(&origin, "cache: cache").start();
    gateway.drop_filter("stamp", &wasm::guest("stamp"), "config: v1");
    await_v1(&gateway);
    // The module, and what it is once it is configured, which may come later.
    await_codes(&gateway, "compiled", "cached");
    gateway.restart(|_| {});
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
    await_codes(&gateway, "cached", "compiled");

    // Damaged code is not run, and made again.
    let cache = gateway.directory().join("cache");
    let entries = fs::read_dir(&cache).expect("a cache").map(|entry| entry.expect("an entry").path());
    let code = entries.filter(|path| path.extension().is_some_and(|ending| ending == "code"));
    for path in code {
        let mut bytes = fs::read(&path).expect("an entry");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("an entry");
    }
    gateway.restart(|_| {});
    await_v1(&gateway);
    await_codes(&gateway, "compiled", "cached");

    // Nor is any of a directory that others can write to.
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("our own directory");
    gateway.restart(|_| {});
    await_v1(&gateway);
    await_codes(&gateway, "compiled", "cached");
}

#[test]
fn one_that_takes_too_long_to_compile_is_refused_and_its_siblings_do_not_wait() {
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off, compile: {cpu: 3s}").start();
    gateway.drop_filter("bomb", &bomb(), "{}");
    gateway.drop_filter("stamp", &wasm::guest("stamp"), "config: v1");
    await_v1(&gateway);
    assert_eq!(compilations(&gateway, "cpu"), 0, "the other one is still at it");
    let reason = refusal(&gateway, "bomb");
    assert!(reason.contains("3s of CPU time"), "{reason}");
    assert_eq!(gateway.filter("bomb").and_then(|filter| filter.gate).as_deref(), Some("compile"));

    // The same bytes are not tried again, whatever they are called and whatever is written beside them.
    gateway.drop_filter("again", &bomb(), "config: other");
    let reason = refusal(&gateway, "again");
    assert!(reason.contains("3s of CPU time"), "{reason}");
    assert_eq!((compilations(&gateway, "cpu"), compilations(&gateway, "known")), (1, 1));
}

#[test]
fn neither_large_nor_small_modules_that_take_long_keep_a_small_one_waiting() {
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off, compile: {cpu: 75s}").start();
    // One more than there are helpers that take any module.
    for number in 0..3 {
        gateway.drop_filter(&format!("large-{number}"), &bombs::additions(6_000, 1_000 + number), "{}");
    }
    patiently("two of them are compiled", || (jobs("75").len() >= 2).then_some(()));
    for number in 0..3 {
        gateway.drop_filter(&format!("small-{number}"), &bombs::additions(790, 1_000 + number), "{}");
    }
    // And the one for small ones is taken as well.
    patiently("three are compiled", || (jobs("75").len() == 3).then_some(()));
    gateway.drop_filter("stamp", &wasm::guest("stamp"), "config: v1");
    await_v1(&gateway);
    assert_eq!(compilations(&gateway, "cpu"), 0, "all others are still at it");
}

#[test]
fn one_that_takes_too_long_to_validate_is_refused_within_the_same_limit() {
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off, compile: {cpu: 2s}").start();
    gateway.drop_filter("branches", &bombs::branches(), "{}");
    gateway.drop_filter("stamp", &wasm::guest("stamp"), "config: v1");
    await_v1(&gateway);
    let reason = refusal(&gateway, "branches");
    assert!(reason.contains("2s of CPU time"), "{reason}");
    assert_eq!(compilations(&gateway, "cpu"), 1);
}

#[test]
fn one_whose_image_takes_too_much_to_make_serves_without() {
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off, compile: {memory: 1GiB}").start();
    gateway.drop_filter("scattered", &bombs::scattered(), "limits: {memory: 200MiB}");
    patiently("it serves", || gateway.filter("scattered").filter(|filter| filter.state == "live"));
    patiently("the image is given up", || {
        (compilations(&gateway, "memory") + compilations(&gateway, "cpu") == 1).then_some(())
    });
    assert_eq!(compilations(&gateway, "compiled"), 1, "the module alone");
    assert_eq!(gateway.get("/").status, 200);
    gateway.replace_manifest("scattered", "{limits: {memory: 200MiB}, isolation: stream}");
    let reason = refusal(&gateway, "scattered");
    assert!(reason.contains("isolation: stream"), "{reason}");
}

#[test]
fn many_images_that_come_late_leave_room_for_others() {
    const FILTERS: u32 = 80;
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off").start();
    let plain = wasm::small(
        "",
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))"#,
    );
    for number in 0..FILTERS {
        let module = wasm::annotated(&plain, &number.to_string());
        gateway.drop_filter(&format!("f{number}"), &module, "image: {wait: 0s}");
    }
    // A module and an image of each: more than may wait at the same time.
    patiently("all are compiled", || (compilations(&gateway, "compiled") == 2 * FILTERS).then_some(()));
    assert_eq!(compilations(&gateway, "unavailable"), 0);
    for number in 0..FILTERS {
        gateway.await_live(&format!("f{number}"));
    }
}

#[test]
fn one_that_takes_too_much_memory_to_compile_is_refused() {
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off, compile: {memory: 256MiB}").start();
    gateway.drop_filter("bomb", &bombs::additions(1, 1_500_000), "{}");
    let reason = refusal(&gateway, "bomb");
    assert!(reason.contains("268435456 bytes of memory"), "{reason}");
    assert_eq!(compilations(&gateway, "memory"), 1);
}

#[test]
fn a_file_that_changes_while_it_is_compiled_is_called_off() {
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off, compile: {cpu: 78s}").start();
    gateway.drop_filter("stamp", &bomb(), "config: v1");
    patiently("it is compiled", || job("78"));
    gateway.replace_module("stamp", &wasm::guest("stamp"));
    await_v1(&gateway);
    patiently("it is called off", || (compilations(&gateway, "cancelled") == 1).then_some(()));
}

#[test]
fn a_gateway_that_compiles_stops_at_once() {
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off, compile: {cpu: 76s}").start();
    gateway.drop_filter("bomb", &bombs::additions(1_500, 1_000), "{}");
    patiently("it is compiled", || job("76"));
    let begun = Instant::now();
    let _lines = gateway.stop();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// What the kernel tells of the process that compiles for the one gateway of these tests that allows it as many seconds of
/// CPU time (it calls such processes by the link that they were started by): status, limits, and the rest.
fn job(cpu_seconds: &str) -> Option<[String; 3]> {
    jobs(cpu_seconds).pop()
}

fn jobs(cpu_seconds: &str) -> Vec<[String; 3]> {
    let told = |path: std::path::PathBuf| {
        let file = |name: &str| fs::read_to_string(path.join(name)).ok();
        Some([file("status")?, file("limits")?, file("stat")?])
    };
    let all = fs::read_dir("/proc").expect("proc").flatten().filter_map(|entry| told(entry.path()));
    let jobs = all.filter(|[status, ..]| status.contains("Name:\texe\n") && status.contains("Seccomp:\t2\n"));
    jobs.filter(|[_, limits, _]| limit(limits, "Max cpu time") == cpu_seconds).collect()
}

#[test]
fn what_compiles_is_confined() {
    let origin = Origin::answering("ok");
    let gateway = site(&origin, "cache: off, compile: {cpu: 77s, memory: 3GiB}").start();
    gateway.drop_filter("bomb", &bomb(), "{}");
    let [status, limits, stat] = patiently("it is compiled", || job("77"));
    for line in ["NoNewPrivs:\t1\n", "Threads:\t1\n"] {
        assert!(status.contains(line), "{line}{status}");
    }
    assert_eq!(limit(&limits, "Max address space"), (3_u64 << 30).to_string());
    for none in ["Max open files", "Max core file size", "Max file size"] {
        assert_eq!(limit(&limits, none), "0", "{none}");
    }
    // The nineteenth field; the third is the first after the name in parentheses.
    let nice = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(16));
    assert_eq!(nice, Some("19"));
    // Nothing else has it give the processor away: it reads what it is to compile, and then computes.
    patiently("it rests again and again", || {
        let [status, ..] = job("77")?;
        let rests = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        (rests.trim().parse::<u64>().ok()? > 1_000).then_some(())
    });
    // The forty-first: after a while it gets only what nobody else wants.
    patiently("it steps back", || {
        let [_, _, stat] = job("77")?;
        let policy = stat.rsplit(')').next()?.split_whitespace().nth(38)?;
        (policy == SCHED_IDLE).then_some(())
    });
}

fn limit<'l>(limits: &'l str, name: &str) -> &'l str {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().unwrap_or_default()
}

/// At the lowest priority, things take as long as others let them.
fn patiently<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(240);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        pause(Duration::from_millis(20));
    }
}

/// Both codes of the filter came in this way, and none in the other.
fn await_codes(gateway: &Gateway, how: &str, never: &str) {
    patiently("the code of both", || (compilations(gateway, how) == 2).then_some(()));
    assert_eq!(compilations(gateway, never), 0);
}

fn await_v1(gateway: &Gateway) {
    patiently("it serves", || (stamps(&gateway.get("/")) == ["v1"]).then_some(()));
}

fn refusal(gateway: &Gateway, name: &str) -> String {
    patiently("it is refused", || gateway.filter(name)?.error)
}
