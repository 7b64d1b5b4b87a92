use std::path::Path;

use super::*;

fn config() -> Config {
    let text = "
listeners: [{name: web, bind: '127.0.0.1:0'}]
routes: [{to: a}]
upstreams: {a: 'shop.test:80', b: {endpoints: ['10.0.0.1:80', 'shop.test:80']}, c: 'other.test:80'}
";
    gateway_config::parse_text(text, "gateway.yaml", Path::new("")).unwrap()
}

fn name(host: &str) -> Name {
    (host.into(), 80)
}

#[test]
fn a_failure_names_the_upstreams_and_is_told_once() {
    let (mut names, config) = (Names::default(), config());
    let mut fail = |host: &str, error: &str| names.fail(&config, name(host), error.to_owned());
    let warning = fail("shop.test", "no such host").unwrap();
    assert!(
        warning.starts_with("shop.test of upstreams a, b cannot be resolved: no such host; "),
        "{warning}"
    );
    assert!(!warning.contains("last known"), "{warning}");
    assert_eq!(fail("shop.test", "no such host"), None);
    assert!(fail("shop.test", "no answer").unwrap().contains("no answer"));
    assert!(fail("other.test", "no answer").unwrap().starts_with("other.test of upstream c "));
}

#[test]
fn a_name_that_was_known_keeps_its_addresses_and_says_so_after_each_recovery() {
    let (mut names, config) = (Names::default(), config());
    let address: SocketAddr = "10.0.0.7:80".parse().unwrap();
    for _ in 0..2 {
        names.learn(&config, name("shop.test"), Ok(vec![address]));
        let warning = names.fail(&config, name("shop.test"), "gone".to_owned()).unwrap();
        assert!(warning.contains("its last known addresses stay in use"), "{warning}");
    }
    names.learn(&config, name("shop.test"), Ok(Vec::new()));
    let addresses = names.addresses(&config);
    assert_eq!(addresses[0].iter().map(|endpoint| endpoint.address).collect::<Vec<_>>(), [address]);
}
