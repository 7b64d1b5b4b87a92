//! Files that come, change, break and go, and what is made of them.

use std::fs;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::tls::Transport;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// A fresh certificate for `host`, as `NAME.pem` and `NAME.key`.
    fn issue(&self, name: &str, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let (cert, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
        self.write(&format!("{name}.pem"), &cert);
        self.write(&format!("{name}.key"), &key);
        (cert, key)
    }

    fn config(&self, listeners: &str, upstreams: &str) -> Config {
        let text = format!(
            "listeners: [{listeners}]\nroutes: [{{respond: {{status: 200}}}}]\nupstreams: {{{upstreams}}}"
        );
        gateway_config::parse_text(&text, "gateway.yaml", self.0.path())
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn two_sites(&self) -> Config {
        self.config(
            "{bind: ':1', tls: {certificates: [{cert: a.pem, key: a.key}, {cert: b.pem, key: b.key}]}}",
            "",
        )
    }
}

fn tls<T>(transport: &Transport<T>) -> Arc<T> {
    match transport {
        Transport::Tls(tls) => tls.clone(),
        Transport::Plain => panic!("plain"),
        Transport::Unusable => panic!("unusable"),
    }
}

fn same<T>(left: Option<&Arc<T>>, right: Option<&Arc<T>>) -> bool {
    left.zip(right).is_some_and(|(left, right)| Arc::ptr_eq(left, right))
}

fn good(certificates: &Certificates, config: &Config) -> Vec<Option<Arc<SiteCertificate>>> {
    pairs_of(config).map(|pair| certificates.files.good_pair(pair)).collect()
}

#[test]
fn a_look_sees_what_changed_and_nothing_else() {
    let files = Files::new();
    files.issue("a", "a.example");
    files.issue("b", "b.example");
    let config = files.two_sites();
    let mut certificates = Certificates::default();
    assert!(certificates.look(&config));
    let before = good(&certificates, &config);
    assert!(!certificates.look(&config));
    files.issue("b", "b.example");
    assert!(certificates.look(&config));
    let after = good(&certificates, &config);
    assert!(same(before[0].as_ref(), after[0].as_ref()));
    assert!(!same(before[1].as_ref(), after[1].as_ref()));
    assert!(!certificates.look(&config));
    assert!(certificates.is_ahead());
    certificates.committed(&config);
    assert!(!certificates.is_ahead());
}

#[test]
fn a_torn_pair_keeps_the_last_good_one_until_it_fits_again() {
    let files = Files::new();
    files.issue("a", "a.example");
    files.issue("b", "b.example");
    let config = files.two_sites();
    let mut certificates = Certificates::default();
    certificates.look(&config);
    let before = good(&certificates, &config);
    let (cert, key) = files.issue("b", "b.example");
    for (cert, key) in [(cert.as_str(), ""), ("", key.as_str()), (&cert[..40], key.as_str())] {
        files.write("b.pem", cert);
        files.write("b.key", key);
        assert!(!certificates.look(&config));
        assert!(same(before[1].as_ref(), good(&certificates, &config)[1].as_ref()));
        assert_eq!(certificates.newly_unusable(&config, &Config::empty()), []);
    }
    fs::remove_file(files.0.path().join("b.pem")).unwrap();
    assert!(!certificates.look(&config));
    assert!(same(before[1].as_ref(), good(&certificates, &config)[1].as_ref()));
    files.write("b.pem", &cert);
    files.write("b.key", &key);
    assert!(certificates.look(&config));
    assert!(!same(before[1].as_ref(), good(&certificates, &config)[1].as_ref()));
}

#[test]
fn what_was_never_good_is_named_with_its_place() {
    let files = Files::new();
    files.issue("a", "a.example");
    let config = files.two_sites();
    let mut certificates = Certificates::default();
    certificates.look(&config);
    let problems = certificates.newly_unusable(&config, &Config::empty());
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    let text = problem.to_string();
    assert!(
        text.starts_with("gateway.yaml:1:") && text.contains("b.pem") && text.contains("cannot read"),
        "{text}"
    );
    assert_eq!(check_certificates(&config), problems);
    assert_eq!(certificates.newly_unusable(&config, &config), [], "it served before without it");
    let Transport::Tls(_) = &certificates.build(&config).listeners[0] else {
        panic!("the other site is good")
    };
}

#[test]
fn listeners_without_the_authorities_of_clients_are_closed() {
    let files = Files::new();
    files.issue("a", "a.example");
    let config =
        files.config("{bind: ':1', tls: {certificates: [{cert: a.pem, key: a.key}], clientCa: ca.pem}}", "");
    let mut certificates = Certificates::default();
    certificates.look(&config);
    assert!(matches!(certificates.build(&config).listeners[0], Transport::Unusable));
    files.issue("ca", "ca.example");
    assert!(certificates.look(&config));
    let first = tls(&certificates.build(&config).listeners[0]);
    let again = tls(&certificates.build(&config).listeners[0]);
    assert!(Arc::ptr_eq(&first.config.ticketer, &again.config.ticketer), "sessions survive a reload");
    files.issue("ca", "ca.example");
    certificates.look(&config);
    let other = tls(&certificates.build(&config).listeners[0]);
    assert!(
        !Arc::ptr_eq(&first.config.ticketer, &other.config.ticketer),
        "sessions of clients trusted before end"
    );
}

#[test]
fn upstreams_keep_their_tls_while_what_it_is_made_of_stays() {
    let files = Files::new();
    files.issue("ca", "ca.example");
    let upstream =
        |tls: &str| files.config("{bind: ':1'}", &format!("a: {{endpoints: [a.example:443], tls: {tls}}}"));
    let mut certificates = Certificates::default();
    let mut build = |config: &Config| {
        certificates.look(config);
        certificates.build(config).upstreams[0].clone()
    };
    let first = build(&upstream("{ca: ca.pem}"));
    assert!(first.is_same(&build(&upstream("{ca:   ca.pem}"))));
    assert!(!first.is_same(&build(&upstream("{ca: ca.pem, sni: b.example}"))));
    assert!(!first.is_same(&build(&upstream("{verify: false}"))));
    assert!(matches!(build(&upstream("{ca: missing.pem}")), Transport::Unusable));
    assert!(matches!(build(&upstream("{ca: ca.pem, cert: no.pem, key: no.key}")), Transport::Unusable));
}

#[test]
fn files_that_are_none_are_refused_and_do_not_block() {
    let files = Files::new();
    files.issue("a", "a.example");
    fs::create_dir(files.0.path().join("b.pem")).unwrap();
    let config = files.two_sites();
    let [problem] = check_certificates(&config).try_into().unwrap();
    assert!(problem.message.contains("not a regular file"), "{problem}");
    fs::remove_dir(files.0.path().join("b.pem")).unwrap();
    files.write("b.pem", &"x".repeat((1 << 20) + 1));
    let [problem] = check_certificates(&config).try_into().unwrap();
    assert!(problem.message.contains("larger than"), "{problem}");
}

#[test]
fn expiry_is_exported_for_each_certificate_and_for_the_first() {
    let files = Files::new();
    files.issue("a", "a.example");
    files.issue("b", "b.example");
    let config = files.two_sites();
    let registry = Registry::new();
    let mut certificates = Certificates::default();
    certificates.look(&config);
    certificates.measure(&registry);
    let text = registry.render();
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(series("gateway_certificate_expiry_timestamp_seconds{"), 2, "{text}");
    assert_eq!(series("envoy_server_days_until_first_cert_expiring "), 1, "{text}");
    certificates.committed(&Config::empty());
    certificates.measure(&registry);
    assert!(!registry.render().contains(&Path::new("a.pem").display().to_string()));
}

#[test]
fn a_certificate_out_of_its_time_serves_and_is_warned_about() {
    let files = Files::new();
    files.issue("a", "a.example");
    let config = files.config("{bind: ':1', tls: {certificates: [{cert: a.pem, key: a.key}]}}", "");
    let mut certificates = Certificates::default();
    certificates.look(&config);
    let good = good(&certificates, &config)[0].clone().unwrap();
    let second = std::time::Duration::from_secs(1);
    let warned = |now| warning(&good, now).unwrap_or("nothing").split(':').next().unwrap();
    assert_eq!(warned(good.not_before - second), "is not valid yet");
    assert_eq!(warned(good.not_before), "nothing");
    assert_eq!(warned(good.not_after), "nothing");
    assert_eq!(warned(good.not_after + second), "has expired");
}
