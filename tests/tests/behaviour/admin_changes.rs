//! Changes over the admin interface: who can make them, what they do, and that they outlive a restart.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use gateway_server::{ConfigSource, Options, Running};
use gateway_tests::{Answer, Client, Gateway, Origin, Request, Response, eventually, eventually_some, wasm};
use serde_json::Value;
use tempfile::TempDir;

use crate::stamps::{await_stamp, stamps};

const CONFIG: &str = "admin: {bind: '127.0.0.1:0', tokenFile: token, socket: admin.sock}
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN'}";

/// Two versions of the filter, the second of which serves; the first one's name.
fn two_versions(origin: &Origin) -> (Gateway, String) {
    let setup = Gateway::with(CONFIG).set("ORIGIN", origin.address());
    let gateway = setup.filter("stamp", &wasm::guest("stamp"), "config: v1").start();
    let first = gateway.serving("stamp");
    gateway.replace_manifest("stamp", "config: v2");
    await_stamp(&gateway, "v2");
    eventually("the second in the history", || gateway.serving("stamp") != first);
    (gateway, first)
}

fn token(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.directory().join("token")).expect("a token").trim().to_owned()
}

#[test]
fn a_change_needs_method_host_token_and_no_origin() {
    let origin = Origin::answering("ok");
    let (gateway, _) = two_versions(&origin);
    let address = gateway.admin_address();
    let (host, bearer) = (address.to_string(), format!("Bearer {}", token(&gateway)));
    let port = address.port();
    let rollback = "/filters/stamp/rollback";
    let right = || Request::new("POST", rollback).host(&host);
    let with =
        |request: Request, name: &str, value: &str| request.header(name, value).header("connection", "close");
    let authorized = |request: Request| with(request, "authorization", &bearer);
    let refused = [
        ("no token", right().header("connection", "close"), 401),
        ("another token", with(right(), "authorization", "Bearer 0123456789abcdef0123456789abcdef"), 401),
        ("the beginning of it", with(right(), "authorization", &bearer[..bearer.len() - 1]), 401),
        ("another scheme", with(right(), "authorization", &bearer.replace("Bearer", "Basic")), 401),
        (
            "in the query",
            Request::new("POST", &format!("{rollback}?token={}", token(&gateway))).host(&host),
            401,
        ),
        ("a page of its own", authorized(right()).header("origin", &format!("http://{host}")), 403),
        ("a page", authorized(right()).header("origin", "https://attacker.example"), 403),
        ("a sandboxed page", authorized(right()).header("origin", "null"), 403),
        ("a browser", authorized(right()).header("sec-fetch-site", "none"), 403),
        ("a name of somebody", authorized(right().host(&format!("attacker.example:{port}"))), 421),
        ("a name that ends so", authorized(right().host(&format!("localhost.attacker.example:{port}"))), 421),
        ("no port", authorized(right().host("127.0.0.1")), 421),
        ("a body", authorized(right()).body("version=x"), 400),
        ("reading", authorized(Request::get(rollback).host(&host)), 405),
        ("another method", authorized(Request::new("PUT", rollback).host(&host)), 405),
        ("a read that posts", authorized(Request::new("POST", "/filters").host(&host)), 405),
        ("another path", authorized(Request::new("POST", "/filters/stamp/delete").host(&host)), 405),
    ];
    let denied = refused.iter().filter(|(.., status)| *status != 405).count();
    for (name, request, status) in refused {
        let answer = Client::connect(address).send(&request);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert_eq!(stamps(&gateway.get("/")), ["v2"], "{name}");
    }
    let counted = gateway.metrics().sum("gateway_admin_changes_total", &[("result", "denied")]);
    assert!((counted - denied as f64).abs() < 0.5, "{counted} of {denied}");
    let done = Client::connect(address).send(&authorized(right().host(&format!("localhost:{port}"))));
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(stamps(&gateway.get("/")), ["v1"], "it has taken effect when it is answered");
}

#[test]
fn without_a_token_file_nothing_can_be_changed_over_tcp() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), "config: v1").start();
    let answer = gateway.change("/filters/stamp/pin", "0123456789abcdef");
    assert_eq!((answer.status, answer.text().contains("admin.tokenFile")), (403, true), "{}", answer.text());
}

#[test]
fn a_token_file_that_others_can_read_is_no_token_file() {
    let origin = Origin::answering("ok");
    let (gateway, _) = two_versions(&origin);
    let path = gateway.directory().join("token");
    assert_eq!(fs::metadata(&path).expect("a token").permissions().mode() & 0o777, 0o600);
    let pin = |token: &str| gateway.change("/filters/stamp/pin", token).status;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("our file");
    assert_eq!(pin(&token(&gateway)), 403);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
    assert_eq!(pin(&token(&gateway)), 200);
    let old = token(&gateway);
    fs::write(&path, "another-token-of-24-signs\n").expect("our file");
    assert_eq!((pin(&old), pin("another-token-of-24-signs")), (401, 200), "a new token holds at once");
}

#[test]
fn the_socket_needs_no_token_and_is_for_its_user() {
    let origin = Origin::answering("ok");
    let (gateway, _) = two_versions(&origin);
    let path = gateway.directory().join("admin.sock");
    assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);
    let ask = |lines: &str| {
        let mut stream = UnixStream::connect(&path).expect("a socket");
        stream
            .write_all(format!("{lines}\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
            .expect("a write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("GET /ready HTTP/1.1").starts_with("HTTP/1.1 200"));
    let page = ask("POST /filters/stamp/rollback HTTP/1.1\r\norigin: http://localhost");
    assert!(page.starts_with("HTTP/1.1 403"), "{page}");
    assert_eq!(stamps(&gateway.get("/")), ["v2"]);
    let done = ask("POST /filters/stamp/rollback HTTP/1.1");
    assert!(done.starts_with("HTTP/1.1 200"), "{done}");
    assert_eq!(stamps(&gateway.get("/")), ["v1"]);
    let folder = gateway.directory().to_owned();
    let _ = gateway.stop();
    assert!(!folder.join("admin.sock").exists(), "the socket goes with the gateway");
}

/// Tries, as whoever runs it, all ways to change what serves, and prints those that work.
const INTRUDER: &str = r#"
import http.client, os, socket, sys
folder, port = sys.argv[1], int(sys.argv[2])
def tried(name, way):
    try:
        if way():
            print(name)
    except (PermissionError, ConnectionError, http.client.HTTPException):
        pass
def over_tcp(headers={}):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    connection.request('POST', '/filters/stamp/rollback', headers=headers)
    return connection.getresponse().status == 200
def over_socket():
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(folder + '/admin.sock')
    connection.sendall(b'POST /filters/stamp/rollback HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
    return b' 200 ' in connection.recv(100)
def written(path, mode):
    with open(folder + path, mode) as file:
        file.write('x')
    return True
tried('tcp', over_tcp)
tried('token', lambda: over_tcp({'authorization': 'Bearer ' + open(folder + '/token').read().strip()}))
if os.getuid() != 0:
    tried('socket', over_socket)
if os.getuid() != 0:
    tried('another token', lambda: written('/token', 'w'))
tried('a file in place', lambda: written('/filters/stamp.wasm', 'w'))
tried('a new file', lambda: written('/filters/other.wasm', 'w'))
tried('a kept version', lambda: os.listdir(folder + '/state'))
print('tried')
"#;

#[test]
fn another_user_cannot_replace_roll_back_or_promote() {
    const NOBODY: u32 = 65_534;
    let origin = Origin::answering("ok");
    let (gateway, _) = two_versions(&origin);
    let folder = gateway.directory();
    let open =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our file");
    // Nothing but what the gateway itself has made keeps anybody out.
    open(folder, 0o755);
    open(&gateway.filters_directory(), 0o755);
    let intrude = |user: Option<u32>| {
        let mut command = Command::new("python3");
        command.args(["-c", INTRUDER]).arg(folder).arg(gateway.admin_address().port().to_string());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command.current_dir("/").output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Ok(done) = intrude(Some(NOBODY)) else {
        return eprintln!("skipped: only root can run something as another user");
    };
    assert_eq!(done, "tried\n");
    // Nor if the socket's own permissions were given away: the kernel says who is at the other end.
    open(&folder.join("admin.sock"), 0o666);
    assert_eq!(intrude(Some(NOBODY)).expect("python3"), "tried\n");
    assert_eq!(stamps(&gateway.get("/")), ["v2"]);
    // The same by who may, so that it is known to be no other mistake.
    let done = intrude(None).expect("python3");
    assert_eq!(done, "token\na file in place\na new file\na kept version\ntried\n");
}

#[test]
fn rollback_pin_and_promote_choose_what_serves() {
    let origin = Origin::answering("ok");
    let (gateway, first) = two_versions(&origin);
    let second = gateway.serving("stamp");
    let token = token(&gateway);
    let change = |path: &str| {
        let answer = gateway.change(&format!("/filters/{path}"), &token);
        (answer.status, answer.text())
    };
    let serves = || stamps(&gateway.get("/")).first().copied().unwrap_or("").to_owned();
    assert_eq!(change("stamp/rollback").0, 200);
    assert_eq!((serves(), gateway.serving("stamp")), ("v1".to_owned(), first.clone()));
    // A newer file is taken up again.
    gateway.replace_manifest("stamp", "config: v3");
    await_stamp(&gateway, "v3");
    assert_eq!(change(&format!("stamp/pin?version={second}")).0, 200);
    assert_eq!(serves(), "v2");
    gateway.replace_manifest("stamp", "config: v4");
    eventually("the new file seen", || {
        let history = gateway.history("stamp").expect("a history");
        history["file"] != second.as_str() && history["pinned"] == second.as_str()
    });
    assert_eq!(serves(), "v2");
    let (status, text) = change("stamp/rollback");
    assert_eq!((status, text.contains("pinned to")), (409, true), "{text}");
    assert_eq!(change("stamp/unpin").0, 200);
    await_stamp(&gateway, "v4");
    let wrong = [
        ("stamp/unpin", 409, "not pinned"),
        ("stamp/promote", 409, "on trial"),
        ("stamp/rollback?version=ffff", 404, "there are "),
        ("stamp/pin?version=not-a-version", 404, "no version `not-a-version`"),
        ("stanp/rollback", 404, "did you mean `stamp`"),
    ];
    for (path, expected, word) in wrong {
        let (status, text) = change(path);
        assert_eq!((status, text.contains(word)), (expected, true), "{path}: {text}");
    }
    assert_eq!(serves(), "v4");
    let events = gateway.events("stamp");
    assert!(events.contains(&"rolled_back operator".to_owned()), "{events:?}");
}

/// A gateway that can be started again on its folder.
struct Site {
    directory: TempDir,
    origin: Origin,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        fs::create_dir(directory.path().join("filters")).expect("a writable folder");
        let site = Self { directory, origin: Origin::answering("ok") };
        site.put("stamp.wasm", wasm::guest("stamp"));
        site
    }

    fn put(&self, file: &str, bytes: impl AsRef<[u8]>) {
        let path = self.directory.path().join("filters").join(file);
        fs::write(path.with_extension("tmp"), bytes).expect("a writable folder");
        fs::rename(path.with_extension("tmp"), path).expect("a writable folder");
    }

    fn start(&self) -> Started {
        let text = format!(
            "workers: 1\nadmin: {{bind: '127.0.0.1:0', tokenFile: token}}\naccessLog: off\n\
             listeners: [{{name: web, bind: '127.0.0.1:0'}}]\nroutes: [{{to: origin}}]\n\
             upstreams: {{origin: '{}'}}\nfilters: {{directory: filters, state: state}}",
            self.origin.address()
        );
        let source =
            ConfigSource::Text { text, name: "a test".into(), base_dir: self.directory.path().to_owned() };
        Started(gateway_server::start(Options::new(source)).expect("a start"))
    }

    fn token(&self) -> String {
        fs::read_to_string(self.directory.path().join("token")).expect("a token").trim().to_owned()
    }

    fn state(&self) -> impl AsRef<Path> {
        self.directory.path().join("state/filters/stamp")
    }
}

struct Started(Running);

impl Started {
    fn get(&self) -> Response {
        Request::get("/").to(self.0.listeners()[0].address)
    }

    fn stamp(&self) -> String {
        stamps(&self.get()).first().copied().unwrap_or("").to_owned()
    }

    fn await_stamp(&self, stamp: &str) {
        eventually(&format!("the stamp {stamp}"), || self.stamp() == stamp);
    }

    fn history(&self) -> Value {
        let admin = self.0.admin().expect("an admin listener");
        let request = Request::get("/filters/stamp/history").host(&admin.to_string());
        serde_json::from_slice(&request.to(admin).body).expect("JSON")
    }

    fn change(&self, path: &str, token: &str) -> Response {
        let admin = self.0.admin().expect("an admin listener");
        let request = Request::new("POST", &format!("/filters/stamp/{path}")).host(&admin.to_string());
        request.header("authorization", &format!("Bearer {token}")).to(admin)
    }

    fn stop(self) {
        self.0.stop();
        self.0.wait().expect("a clean end");
    }
}

#[test]
fn history_and_rollback_outlive_a_restart() {
    let site = Site::new();
    site.put("stamp.yaml", "config: v1");
    let gateway = site.start();
    gateway.await_stamp("v1");
    site.put("stamp.yaml", "config: v2");
    gateway.await_stamp("v2");
    assert_eq!(gateway.change("rollback", &site.token()).status, 200);
    assert_eq!(gateway.stamp(), "v1");
    let before = gateway.history();
    gateway.stop();
    let gateway = site.start();
    assert_eq!(gateway.stamp(), "v1", "the file still says v2");
    assert_eq!(gateway.history(), before);
    assert_eq!(gateway.change("promote", &site.token()).status, 200);
    assert_eq!(gateway.stamp(), "v2");
    // The module of another version, by its bytes on disk alone.
    site.put("stamp.wasm", wasm::annotated(&wasm::guest("stamp"), "another"));
    site.put("stamp.yaml", "config: v3");
    gateway.await_stamp("v3");
    gateway.stop();
    let gateway = site.start();
    let first =
        before["history"].as_array().and_then(|all| Some(all.last()?["version"].as_str()?.to_owned()));
    let pin = format!("pin?version={}", first.expect("a version"));
    assert_eq!(gateway.change(&pin, &site.token()).status, 200);
    assert_eq!(gateway.stamp(), "v1");
    gateway.stop();
    let gateway = site.start();
    assert_eq!((gateway.stamp().as_str(), gateway.history()["pinned"].is_string()), ("v1", true));
}

#[test]
fn a_second_gateway_on_the_same_state_reads_it_and_goes_on_when_the_first_has_ended() {
    let site = Site::new();
    site.put("stamp.yaml", "config: v1");
    let first = site.start();
    first.await_stamp("v1");
    site.put("stamp.yaml", "config: v2");
    first.await_stamp("v2");
    let newer = first.history()["live"].as_str().expect("a version").to_owned();
    assert_eq!(first.change("rollback", &site.token()).status, 200);
    let on_disk = || -> Value {
        let record = fs::read(site.state().as_ref().join("record.json")).expect("a record");
        serde_json::from_slice(&record).expect("whole at any time")
    };
    eventually("the rollback on disk", || on_disk()["held"].is_string());

    let second = site.start();
    assert_eq!(second.stamp(), "v1", "what the first was told holds for the second");
    assert_eq!(second.change(&format!("pin?version={newer}"), &site.token()).status, 200);
    assert_eq!((first.stamp().as_str(), second.stamp().as_str()), ("v1", "v2"));
    // Looks at the directory pass, with something to note.
    site.put("stamp.yaml", "config: v3");
    first.await_stamp("v3");
    eventually("the new file seen", || second.history()["file"] == first.history()["live"]);
    eventually("the first has noted it", || on_disk()["live"] == first.history()["live"]);
    assert_eq!(on_disk()["pinned"], Value::Null, "the second writes nothing");

    first.stop();
    eventually("the second goes on with it", || on_disk()["pinned"] == newer.as_str());
    let versions = |history: &Value| {
        let all = history["history"].as_array().expect("a list").iter();
        all.map(|entry| entry["version"].as_str().unwrap_or("").to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    eventually("v1, v2, and v3 that only the first has served", || versions(&second.history()).len() == 3);
    second.stop();
    assert_eq!(site.start().stamp(), "v2");
}

#[test]
fn a_damaged_state_costs_the_history_and_nothing_else() {
    let site = Site::new();
    site.put("stamp.yaml", "config: v1");
    let gateway = site.start();
    gateway.await_stamp("v1");
    gateway.stop();
    fs::write(site.state().as_ref().join("record.json"), "{\"format\": 1, \"entr").expect("a record");
    let gateway = site.start();
    assert_eq!(gateway.stamp(), "v1");
    assert_eq!(gateway.history()["history"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_kept_version_whose_bytes_are_damaged_does_not_serve() {
    let site = Site::new();
    site.put("stamp.yaml", "config: v1");
    let gateway = site.start();
    gateway.await_stamp("v1");
    let first = gateway.history()["live"].as_str().expect("a version").to_owned();
    site.put("stamp.wasm", wasm::annotated(&wasm::guest("stamp"), "another"));
    site.put("stamp.yaml", "config: v2");
    gateway.await_stamp("v2");
    let old = eventually_some("both modules on disk", || {
        let files = fs::read_dir(site.state()).ok()?.filter_map(|file| Some(file.ok()?.path()));
        let modules: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|ending| ending == "wasm")).collect();
        let short = &first[..12];
        let old = modules
            .iter()
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(short)));
        (modules.len() == 2).then(|| old.cloned())?
    });
    fs::write(old, wasm::garbage()).expect("our file");
    assert_eq!(gateway.change("rollback", &site.token()).status, 200);
    assert_eq!(gateway.stamp(), "v2", "what serves goes on");
}

#[test]
fn a_version_on_trial_before_a_restart_is_tried_after_it() {
    let site = Site::new();
    let manifest = |stamp: &str| {
        format!("config: {stamp}\nrollout: {{canary: {{share: 1%, window: 1h, sticky: {{header: x-user}}}}}}")
    };
    site.put("stamp.yaml", manifest("v1"));
    let gateway = site.start();
    gateway.await_stamp("v1");
    site.put("stamp.yaml", manifest("v2"));
    eventually("the trial", || gateway.history()["trial"]["kind"] == "canary");
    let live = gateway.history()["live"].clone();
    gateway.stop();
    let gateway = site.start();
    eventually("the trial again", || gateway.history()["trial"]["kind"] == "canary");
    assert_eq!(gateway.history()["live"], live);
}

#[test]
fn a_webhook_gets_each_event_in_order_and_again_when_it_failed() {
    let failed = std::sync::atomic::AtomicBool::new(false);
    let hook = Origin::start(move |_| {
        let is_first = !failed.swap(true, std::sync::atomic::Ordering::SeqCst);
        Answer::text("").status(if is_first { 503 } else { 204 })
    });
    let origin = Origin::answering("ok");
    let config = "routes: [{to: origin}]\nupstreams: {origin: 'ORIGIN', alerts: 'ALERTS'}\n\
        events: {webhook: {upstream: alerts, path: /hooks/gateway, timeout: 2s}}";
    let setup = Gateway::with(config).set("ORIGIN", origin.address()).set("ALERTS", hook.address());
    let gateway = setup.filter("stamp", &wasm::guest("stamp"), "config: v1").start();
    gateway.replace_module("stamp", b"not a module");
    gateway.await_refusal("stamp");
    hook.await_requests(3);
    let received = hook.received();
    assert!(received.iter().all(|request| request.target == "/hooks/gateway" && request.method == "POST"));
    let told: Vec<_> = received
        .iter()
        .map(|request| {
            let event: Value = serde_json::from_slice(&request.body).expect("JSON");
            (
                event["id"].as_u64(),
                event["event"].as_str().map(str::to_owned),
                event["reason"].as_str().map(str::to_owned),
            )
        })
        .collect();
    let event = |id, kind: &str, reason: &str| (Some(id), Some(kind.to_owned()), Some(reason.to_owned()));
    assert_eq!(told, [event(1, "loaded", "file"), event(1, "loaded", "file"), event(2, "rejected", "parse")]);
    let delivered =
        |result: &str| gateway.metrics().sum("gateway_webhook_events_total", &[("result", result)]);
    eventually("both delivered", || (delivered("delivered") - 2.0).abs() < 0.5);
    assert!(delivered("failed") < 0.5);
    assert!(origin.received().is_empty());
}

#[test]
fn events_are_read_from_any_of_them() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).filter("stamp", &wasm::guest("stamp"), "config: v1").start();
    gateway.replace_module("stamp", b"not a module");
    gateway.await_refusal("stamp");
    let read = |query: &str| {
        let answer = gateway.admin_get(&format!("/api/events{query}"));
        serde_json::from_slice::<Value>(&answer.body).map_err(|_| answer.status)
    };
    let all = read("").expect("JSON");
    assert_eq!((&all["lastId"], &all["lost"]), (&2.into(), &0.into()), "{all:#}");
    assert_eq!(all["events"][1]["filter"], "stamp");
    let newer = read("?since=1").expect("JSON");
    assert_eq!(newer["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(read("?since=yesterday"), Err(400));
    gateway.remove_filter("stamp");
    eventually("the removal told", || gateway.events("stamp").last().is_some_and(|event| event == "removed"));
}
