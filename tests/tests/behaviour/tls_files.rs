//! Certificates change on disk while the gateway serves: whole, torn, by symlink, under traffic.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use gateway_tests::{Authority, Gateway, Pair, Request, Setup, TlsClient, eventually};

/// From the change of a file to its effect.
const MAX_DELAY: Duration = Duration::from_secs(3);
const ROTATIONS: usize = 20;

fn two_sites(authority: &Authority) -> (Setup, Pair, Pair) {
    let (a, b) = (authority.issue(&["a.example"]), authority.issue(&["b.example"]));
    let setup = Gateway::with(
        "listeners:
  - name: web
    bind: '127.0.0.1:0'
    tls: {certificates: [{cert: a.pem, key: a.key}, {cert: b.pem, key: b.key}]}
routes: [{respond: {status: 200, body: hello}}]",
    );
    (setup.certificate("a", &a).certificate("b", &b), a, b)
}

fn shows(gateway: &Gateway, client: &TlsClient, name: &str, pair: &Pair) -> bool {
    client.connect(gateway.address(), name).is_ok_and(|tunnel| tunnel.was_shown(pair))
}

#[test]
fn a_new_pair_is_live_soon_and_open_connections_stay() {
    let authority = Authority::new("test");
    let (setup, a, _) = two_sites(&authority);
    let gateway = setup.start();
    let client = TlsClient::trusting(&authority);
    let old = client.connect(gateway.address(), "b.example").unwrap();
    let mut kept = old.client();
    let get = Request::get("/").host("b.example");
    assert_eq!(kept.send(&get).status, 200);
    let new = authority.issue(&["b.example"]);
    let changed = gateway.replace_certificate("b", &new);
    eventually("the new certificate", || shows(&gateway, &client, "b.example", &new));
    assert!(changed.elapsed() < MAX_DELAY, "{:?}", changed.elapsed());
    assert!(shows(&gateway, &client, "a.example", &a));
    assert_eq!(kept.send(&get).status, 200, "over the old connection");
}

#[test]
fn a_file_written_in_place_is_seen() {
    let authority = Authority::new("test");
    let (setup, ..) = two_sites(&authority);
    let gateway = setup.start();
    let client = TlsClient::trusting(&authority);
    let new = authority.issue(&["a.example"]);
    fs::write(gateway.directory().join("a.pem"), &new.cert).unwrap();
    fs::write(gateway.directory().join("a.key"), &new.key).unwrap();
    eventually("the new certificate", || shows(&gateway, &client, "a.example", &new));
}

#[test]
fn a_directory_swapped_by_symlink_is_seen() {
    let authority = Authority::new("test");
    let pairs = [authority.issue(&["a.example"]), authority.issue(&["a.example"])];
    let folder = tempfile::tempdir().unwrap();
    for (version, pair) in pairs.iter().enumerate() {
        let version = folder.path().join(format!("..{version}"));
        fs::create_dir(&version).unwrap();
        fs::write(version.join("tls.crt"), &pair.cert).unwrap();
        fs::write(version.join("tls.key"), &pair.key).unwrap();
    }
    // As Kubernetes mounts a secret: files lead through `..data`, which is replaced.
    symlink("..0", folder.path().join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), folder.path().join(file)).unwrap();
    }
    let gateway = Gateway::with(
        "listeners:
  - {name: web, bind: '127.0.0.1:0', tls: {certificates: [{cert: DIR/tls.crt, key: DIR/tls.key}]}}
routes: [{respond: {status: 200}}]",
    )
    .set("DIR", folder.path().display())
    .start();
    let client = TlsClient::trusting(&authority);
    assert!(shows(&gateway, &client, "a.example", &pairs[0]));
    symlink("..1", folder.path().join("..new")).unwrap();
    fs::rename(folder.path().join("..new"), folder.path().join("..data")).unwrap();
    eventually("the new certificate", || shows(&gateway, &client, "a.example", &pairs[1]));
}

#[test]
fn a_broken_pair_keeps_the_last_good_one_and_touches_nobody_else() {
    let authority = Authority::new("test");
    let (setup, _, b) = two_sites(&authority);
    let gateway = setup.start();
    let client = TlsClient::trusting(&authority);
    let other = authority.issue(&["b.example"]);
    let broken = [
        Pair { cert: other.cert.clone(), key: b.key.clone() },
        Pair { cert: other.cert[..100].to_owned(), key: other.key.clone() },
        Pair { cert: String::new(), key: String::new() },
    ];
    for (index, pair) in broken.iter().enumerate() {
        gateway.replace_certificate("b", pair);
        // What comes after it in the same look shows that the broken pair was looked at.
        let next = authority.issue(&["a.example"]);
        gateway.replace_certificate("a", &next);
        eventually("the other site's new certificate", || shows(&gateway, &client, "a.example", &next));
        assert!(shows(&gateway, &client, "b.example", &b), "{index}");
    }
    gateway.replace_certificate("b", &other);
    eventually("a whole pair again", || shows(&gateway, &client, "b.example", &other));
}

#[test]
fn a_pair_that_is_missing_at_the_start_concerns_its_hosts_only_until_it_comes() {
    let authority = Authority::new("test");
    let (setup, a, b) = two_sites(&authority);
    let gateway = setup.file("b.pem", "not yet").start();
    let client = TlsClient::trusting(&authority);
    assert!(shows(&gateway, &client, "a.example", &a));
    assert!(!shows(&gateway, &client, "b.example", &b));
    gateway.replace_certificate("b", &b);
    eventually("the certificate that was missing", || shows(&gateway, &client, "b.example", &b));
}

#[test]
fn a_configuration_that_names_a_missing_certificate_waits_for_it() {
    let authority = Authority::new("test");
    let (setup, a, _) = two_sites(&authority);
    let gateway = setup.start();
    let client = TlsClient::trusting(&authority);
    let text = |body: &str| {
        let get = Request::get("/").host("a.example");
        let tunnel = client.connect(gateway.address(), "a.example").unwrap();
        assert!(tunnel.was_shown(&a));
        tunnel.client().send(&get).text() == body
    };
    gateway.configure(
        "listeners:
  - name: web
    bind: '127.0.0.1:0'
    tls: {certificates: [{cert: a.pem, key: a.key}, {cert: b.pem, key: b.key}, {cert: c.pem, key: c.key}]}
routes: [{respond: {status: 200, body: new}}]",
    );
    eventually("the refusal", || {
        gateway.metrics().sum("gateway_config_reloads_total", &[("result", "failure")]) >= 1.0
    });
    assert!(text("hello"), "what ran runs on");
    let next = authority.issue(&["b.example"]);
    gateway.replace_certificate("b", &next);
    eventually("a change for what runs", || shows(&gateway, &client, "b.example", &next));
    let c = authority.issue(&["c.example"]);
    gateway.replace_certificate("c", &c);
    eventually("the new configuration", || text("new"));
    assert!(shows(&gateway, &client, "c.example", &c));
}

#[test]
fn no_handshake_fails_while_certificates_rotate() {
    let authority = Arc::new(Authority::new("test"));
    let (setup, ..) = two_sites(&authority);
    let gateway = setup.start();
    let client = TlsClient::trusting(&authority);
    let (stopped, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failures = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                let exchange = client
                    .connect(gateway.address(), "b.example")
                    .and_then(|tunnel| tunnel.client().try_send(&Request::get("/").host("b.example")));
                match exchange {
                    Ok(response) if response.text() == "hello" => {}
                    other => failures.push(format!("{other:?}")),
                }
                served.fetch_add(1, Ordering::SeqCst);
            }
            failures
        });
        for _ in 0..ROTATIONS {
            let new = authority.issue(&["b.example"]);
            gateway.replace_certificate("b", &new);
            eventually("the new certificate", || shows(&gateway, &client, "b.example", &new));
        }
        stopped.store(true, Ordering::SeqCst);
        load.join().unwrap()
    });
    assert_eq!(failures, Vec::<String>::new());
    assert!(served.load(Ordering::SeqCst) >= ROTATIONS);
}

#[test]
fn days_to_expiry_are_a_metric() {
    let authority = Authority::new("test");
    let (setup, ..) = two_sites(&authority);
    let gateway = setup.start();
    let metrics = gateway.metrics();
    // The test authority's certificates end in the year 4096.
    assert!(metrics.sum("envoy_server_days_until_first_cert_expiring", &[]) > 365.0 * 1000.0);
    let path = gateway.directory().join("a.pem").display().to_string();
    let expiry = metrics.sum("gateway_certificate_expiry_timestamp_seconds", &[("certificate", &path)]);
    assert!(expiry > 60e9, "{expiry}");
}
