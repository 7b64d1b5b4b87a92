use super::*;

fn target(text: &str) -> Target {
    text.parse().unwrap()
}

#[test]
fn the_text_behind_to_is_a_valid_configuration() {
    let admin = Admin(Some(DEFAULT_ADMIN.to_owned()));
    let text =
        config_text(&target("localhost:3000"), DEFAULT_LISTEN, &admin, Some(Path::new("my \"filters\"")));
    let config = gateway_config::parse_text(&text, "the command line", Path::new("/base")).unwrap();
    assert_eq!(config.listeners[0].bind.to_string(), DEFAULT_LISTEN);
    assert_eq!(config.admin.unwrap().to_string(), DEFAULT_ADMIN);
    assert_eq!(config.upstreams.len(), 1);
    assert_eq!(config.filters.directory.as_deref(), Some(Path::new("/base/my \"filters\"")));
}

#[test]
fn admin_can_be_switched_off_and_filters_left_out() {
    let text = config_text(&target("[::1]:3000"), "127.0.0.1:0", &"off".parse().unwrap(), None);
    let config = gateway_config::parse_text(&text, "the command line", Path::new("/base")).unwrap();
    assert_eq!(config.admin, None);
    assert_eq!(config.filters.directory, None);
}

#[test]
fn a_slip_in_the_target_says_what_to_write() {
    for (text, message) in [
        ("http://localhost:3000", "a scheme or a path has no place here"),
        ("localhost", "the port is missing"),
        (":3000", "the host is missing"),
        ("localhost:0", "the port must be a number"),
        ("localhost:web", "the port must be a number"),
        ("localhost:70000", "the port must be a number"),
    ] {
        let error = text.parse::<Target>().unwrap_err();
        assert!(error.contains(message) && error.contains("HOST:PORT"), "{text}: {error}");
    }
}

#[test]
fn every_address_is_announced_on_a_line_of_its_own() {
    let listener = |name: &str, address: &str, is_tls| OpenListener {
        name: name.to_owned(),
        address: address.parse().unwrap(),
        is_tls,
    };
    let listeners = [listener("web", "127.0.0.1:8080", false), listener("secure", "127.0.0.1:8443", true)];
    let text = announcement(&listeners, Some("127.0.0.1:9901".parse().unwrap()));
    assert_eq!(
        text,
        "listening http://127.0.0.1:8080 (web)\nlistening https://127.0.0.1:8443 (secure)\n\
         admin     http://127.0.0.1:9901 (/ready, /metrics, /filters)\n"
    );
}
