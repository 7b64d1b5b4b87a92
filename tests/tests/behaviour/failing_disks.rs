//! Disks that are full, directories that are mounted over or unmounted, file systems that tell nothing: the gateway serves on,
//! says it, and is well again when they are.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use gateway_tests::namespaces::{Apart, MOUNTS};
use gateway_tests::{Gateway, Origin, Request, eventually, wasm};

use crate::stamps::{await_stamp, stamps};

const PROGRAM: &str = env!("CARGO_BIN_EXE_compile-filter");

fn mount_tmpfs(at: &Path, options: &str) {
    fs::create_dir_all(at).expect("a writable folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).status();
    assert!(mounted.expect("mount").success(), "{}", at.display());
}

fn unmount(at: &Path) {
    // Lazily: the gateway may be looking at it.
    assert!(Command::new("umount").arg("--lazy").arg(at).status().expect("umount").success());
}

fn fill(directory: &Path) {
    let mut file = fs::File::create(directory.join("fill")).expect("a file");
    let error = std::iter::repeat_with(|| file.write_all(&[1; 1024])).find_map(Result::err);
    assert_eq!(error.expect("an end").kind(), std::io::ErrorKind::StorageFull);
}

fn is_kept(gateway: &Gateway, kept: bool) {
    let wanted = if kept { 1.0 } else { 0.0 };
    eventually(&format!("versions are kept: {kept}"), || {
        (gateway.metrics().sum("gateway_filter_versions_kept", &[]) - wanted).abs() < 0.5
    });
}

fn another(module: &[u8], number: u32) -> Vec<u8> {
    wasm::annotated(module, &number.to_string())
}

#[test]
fn on_a_full_disk_filters_are_taken_up_and_written_down_when_there_is_room() {
    MOUNTS.run(
        "failing_disks::on_a_full_disk_filters_are_taken_up_and_written_down_when_there_is_room",
        || {
            let origin = Origin::answering("ok");
            let disk = tempfile::tempdir().expect("a folder");
            // Room for the first version's module and code.
            mount_tmpfs(disk.path(), "size=4m,mode=700");
            let config = format!(
                "routes: [{{to: origin}}]\nupstreams: {{origin: '{}'}}\n\
             filters: {{directory: filters, cache: '{1}/code', state: '{1}/state'}}",
                origin.address(),
                disk.path().display()
            );
            let module = wasm::guest("stamp");
            let setup = Gateway::with(&config).compiling_in(PROGRAM);
            let mut gateway = setup.filter("stamp", &module, "{config: v1, required: true}").start();
            is_kept(&gateway, true);
            fill(disk.path());
            for number in 2..5 {
                gateway.drop_filter(
                    "stamp",
                    &another(&module, number),
                    &format!("{{config: v{number}, required: true}}"),
                );
                await_stamp(&gateway, &format!("v{number}"));
            }
            is_kept(&gateway, false);
            let serving = gateway.serving("stamp");
            let history = |gateway: &Gateway| {
                gateway.history("stamp").and_then(|all| Some(all["history"].as_array()?.len())).unwrap_or(0)
            };
            assert_eq!(history(&gateway), 4, "it is known all the same");
            // No code on disk, and half of none.
            let temporary = fs::read_dir(disk.path().join("code")).expect("a cache").flatten();
            let left = temporary.filter(|entry| entry.file_name().to_string_lossy().starts_with(".new"));
            assert_eq!(left.count(), 0);

            fs::remove_file(disk.path().join("fill")).expect("our file");
            is_kept(&gateway, true);
            gateway.restart(|_| {});
            assert_eq!(
                (gateway.serving("stamp"), history(&gateway)),
                (serving, 4),
                "nothing has changed since"
            );
            await_stamp(&gateway, "v4");
        },
    );
}

#[test]
fn a_gateway_that_starts_on_a_full_disk_serves_and_keeps_versions_later() {
    MOUNTS.run("failing_disks::a_gateway_that_starts_on_a_full_disk_serves_and_keeps_versions_later", || {
        let origin = Origin::answering("ok");
        let disk = tempfile::tempdir().expect("a folder");
        mount_tmpfs(disk.path(), "size=64k,mode=700,nr_inodes=3");
        fill(disk.path());
        // And no room for another name.
        fs::write(disk.path().join("other"), "").expect("a file");
        let config = format!(
            "routes: [{{to: origin}}]\nupstreams: {{origin: '{}'}}\n\
             filters: {{directory: filters, cache: '{1}/code', state: '{1}/state'}}",
            origin.address(),
            disk.path().display()
        );
        let gateway = Gateway::with(&config).filter("stamp", &wasm::guest("stamp"), "config: v1").start();
        assert_eq!(stamps(&gateway.get("/")), ["v1"]);
        is_kept(&gateway, false);
        let more =
            Command::new("mount").args(["-o", "remount,size=4m,nr_inodes=100"]).arg(disk.path()).status();
        assert!(more.expect("mount").success());
        is_kept(&gateway, true);
        assert!(disk.path().join("state/filters/stamp/record.json").is_file());
    });
}

#[test]
fn a_filter_directory_that_is_unmounted_or_mounted_over_keeps_everything() {
    MOUNTS.run(
        "failing_disks::a_filter_directory_that_is_unmounted_or_mounted_over_keeps_everything",
        || {
            const REQUIRED: &str = "{config: v1, required: true, match: {hosts: [guarded.example]}}";
            let origin = Origin::answering("ok");
            let config = format!("routes: [{{to: origin}}]\nupstreams: {{origin: '{}'}}", origin.address());
            let module = wasm::guest("stamp");
            let mut gateway = Gateway::with(&config).start();
            let filters = gateway.filters_directory();
            mount_tmpfs(&filters, "size=16m");
            gateway.drop_filter("guard", &module, REQUIRED);
            gateway.drop_filter("other", &wasm::add_header(), "");
            let guarded = |gateway: &Gateway| gateway.send(&Request::get("/").host("guarded.example"));
            eventually("both serve", || {
                stamps(&guarded(&gateway)) == ["v1"] && gateway.get("/").header("x-filter") == Some("on")
            });
            let serves_on = |what: &str| {
                let response = guarded(&gateway);
                assert_eq!((response.status, stamps(&response)), (200, vec!["v1"]), "{what}");
                assert_eq!(response.header("x-filter"), Some("on"), "{what}");
            };
            unmount(&filters);
            let lost = || gateway.admin_get("/filters").text().contains("stay as they are");
            eventually("the loss is told", lost);
            serves_on("unmounted");
            // An empty file system in its place is no order to remove filters either.
            mount_tmpfs(&filters, "size=16m");
            eventually("the loss is told", lost);
            serves_on("an empty one in its place");
            gateway.drop_filter("guard", &another(&module, 2), "{config: v2, required: true}");
            gateway.drop_filter("other", &wasm::add_header(), "");
            await_stamp(&gateway, "v2");
            eventually("all is well", || !lost());

            gateway.restart(unmount);
            assert_eq!(guarded(&gateway).status, 503, "over a restart its policy answers");
            mount_tmpfs(&filters, "size=16m");
            gateway.drop_filter("guard", &module, REQUIRED);
            eventually("it serves again", || stamps(&guarded(&gateway)) == ["v1"]);
        },
    );
}

#[test]
fn where_the_system_tells_nothing_of_changes_they_are_found_by_looking() {
    let silent = Apart {
        options: &["--user", "--map-root-user", "--mount"],
        // Of this namespace alone.
        before: "echo 0 > /proc/sys/user/max_inotify_instances",
    };
    silent.run("failing_disks::where_the_system_tells_nothing_of_changes_they_are_found_by_looking", || {
        let origin = Origin::answering("ok");
        let gateway = Gateway::to(&origin).start();
        gateway.drop_filter("stamp", &wasm::guest("stamp"), "config: v1");
        await_stamp(&gateway, "v1");
        gateway.replace_manifest("stamp", "config: v2");
        await_stamp(&gateway, "v2");
        gateway.configure("routes: [{respond: {status: 200, body: another}}]");
        eventually("the configuration is taken up", || gateway.get("/").text() == "another");
        gateway.remove_filter("stamp");
        eventually("it is gone", || gateway.filter("stamp").is_none());
    });
}

#[test]
fn what_may_not_be_read_is_named_and_taken_up_when_it_may() {
    // Even for root permissions hold in there.
    let without_privileges = Apart { options: &["--user"], before: "true" };
    without_privileges.run("failing_disks::what_may_not_be_read_is_named_and_taken_up_when_it_may", || {
        let origin = Origin::answering("ok");
        let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), "config: v1").start();
        let filters = gateway.filters_directory();
        let permit = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
        };
        let told = |word: &str| gateway.admin_get("/filters").text().contains(word);
        let module = filters.join("stamp.wasm");
        fs::write(filters.join(".new"), another(&wasm::guest("stamp"), 2)).expect("a writable folder");
        permit(&filters.join(".new"), 0o000);
        fs::rename(filters.join(".new"), &module).expect("a writable folder");
        eventually("it is named", || told("\"gate\": \"readable\"") && told("Permission denied"));
        assert_eq!(stamps(&gateway.get("/")), ["v1"]);
        let before = gateway.serving("stamp");
        permit(&module, 0o600);
        eventually("it is taken up", || gateway.serving("stamp") != before && !told("Permission denied"));

        permit(&filters, 0o000);
        eventually("the directory is named", || told("stay as they are"));
        assert_eq!(stamps(&gateway.get("/")), ["v1"]);
        permit(&filters, 0o700);
        eventually("all is well", || !told("stay as they are"));
    });
}

#[test]
fn a_storm_of_changes_beside_a_filter_does_not_hide_that_of_the_filter() {
    const RENAMES: u32 = 20_000;
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), "config: v1").start();
    let (own, other) = (gateway.filters_directory().join("x.txt"), gateway.filters_directory().join("y.txt"));
    fs::write(&own, "").expect("a writable folder");
    for number in 0..RENAMES {
        let (from, to) = if number % 2 == 0 { (&own, &other) } else { (&other, &own) };
        fs::rename(from, to).expect("a writable folder");
        if number == RENAMES / 2 {
            gateway.replace_manifest("stamp", "config: v2");
        }
    }
    await_stamp(&gateway, "v2");
}
