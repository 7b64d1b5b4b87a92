//! A filter that is `required` stays in force: whatever becomes of its directory, and over a restart.

use std::fs;
use std::path::Path;

use gateway_tests::{Gateway, Origin, Request, eventually, wasm};

use crate::stamps::stamps;

const REQUIRED: &str = "{config: v1, required: true, match: {hosts: [guarded.example]}}";

fn guarded(gateway: &Gateway) -> u16 {
    gateway.send(&Request::get("/").host("guarded.example")).status
}

fn site(origin: &Origin) -> Gateway {
    let gateway = Gateway::to(origin).filter("guard", &wasm::guest("stamp"), REQUIRED).start();
    let response = gateway.send(&Request::get("/").host("guarded.example"));
    assert_eq!((response.status, stamps(&response)), (200, vec!["v1"]));
    gateway
}

fn emptied(directory: &Path) {
    for entry in fs::read_dir(directory).expect("a directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
}

fn removed(directory: &Path) {
    fs::remove_dir_all(directory).expect("a directory");
}

#[test]
fn over_a_restart_its_policy_answers_until_it_is_back() {
    for (name, loss) in [("emptied", emptied as fn(&Path)), ("removed", removed)] {
        let origin = Origin::answering("ok");
        let mut gateway = site(&origin);
        gateway.restart(loss);
        assert_eq!(guarded(&gateway), 503, "{name}");
        assert_eq!(gateway.get("/").status, 200, "{name}: where it does not apply");
        assert_eq!(gateway.admin_get("/ready").status, 503, "{name}");
        let status = gateway.filter("guard").expect("it is listed");
        assert_eq!(status.gate.as_deref(), Some("present"), "{name}: {status:?}");
        // Once more: that it was forgotten now must not be remembered.
        gateway.restart(|_| {});
        assert_eq!(guarded(&gateway), 503, "{name}, and again");
        fs::create_dir_all(gateway.filters_directory()).expect("a writable folder");
        gateway.drop_filter("guard", &wasm::guest("stamp"), REQUIRED);
        eventually("it serves again", || guarded(&gateway) == 200);
        assert_eq!(origin.received().len(), 3, "{name}: before, where it does not apply, and at the end");
    }
}

#[test]
fn while_the_gateway_runs_its_last_version_serves_on() {
    for (name, loss) in [("emptied", emptied as fn(&Path)), ("removed", removed)] {
        let origin = Origin::answering("ok");
        let gateway = site(&origin);
        loss(&gateway.filters_directory());
        eventually(&format!("{name}: the loss is noticed"), || {
            let filter = gateway.filter("guard").expect("it is listed");
            filter.state == "missing" || gateway.admin_get("/filters").text().contains("stay as they are")
        });
        let response = gateway.send(&Request::get("/").host("guarded.example"));
        assert_eq!((response.status, stamps(&response)), (200, vec!["v1"]), "{name}");
    }
}

#[test]
fn one_that_is_no_longer_required_can_go() {
    let origin = Origin::answering("ok");
    let mut gateway = site(&origin);
    gateway.replace_manifest("guard", "{config: v2, match: {hosts: [guarded.example]}}");
    eventually("the manifest is taken up", || {
        stamps(&gateway.send(&Request::get("/").host("guarded.example"))) == ["v2"]
    });
    gateway.restart(emptied);
    assert_eq!(guarded(&gateway), 200);
    assert!(gateway.filter("guard").is_none());
}

#[test]
fn a_manifest_that_says_so_gives_up_one_whose_module_is_gone() {
    let origin = Origin::answering("ok");
    let mut gateway = site(&origin);
    gateway.restart(|directory| {
        emptied(directory);
        fs::write(directory.join("guard.yaml"), "required: false").expect("a writable folder");
    });
    assert_eq!(guarded(&gateway), 200);
}
