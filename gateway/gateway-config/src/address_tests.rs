use super::*;

fn help<T: Scalar + std::fmt::Debug>(text: &str) -> String {
    match T::parse(text).unwrap_err() {
        Problem::Mismatch { help } | Problem::Because { help, .. } => help.unwrap_or_default(),
    }
}

#[test]
fn a_bind_is_an_address_or_a_port_on_all_of_them() {
    let good = [
        ("127.0.0.1:80", "127.0.0.1:80"),
        (":8080", "0.0.0.0:8080"),
        ("[::]:0", "[::]:0"),
        ("[::1]:65535", "[::1]:65535"),
    ];
    for (text, address) in good {
        assert_eq!(Bind::parse(text).unwrap().0.to_string(), address);
    }
    for text in [
        "",
        ":",
        ":x",
        "127.0.0.1",
        "8080",
        "localhost:8080",
        "127.0.0.1:65536",
        "1.2.3:80",
        "[::1]",
        "::1:8080",
        "*:80",
    ] {
        assert!(Bind::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_wrong_bind_says_how_to_write_it() {
    assert_eq!(help::<Bind>("localhost:80"), "an address, not a name: `127.0.0.1:80`");
    assert_eq!(help::<Bind>("::1:8080"), "IPv6 addresses stand in brackets: `[::1]:8080`");
    assert_eq!(help::<Bind>("127.0.0.1"), "a port is missing: `127.0.0.1:8080`");
    assert_eq!(help::<Bind>("[::1]"), "a port is missing: `[::1]:8080`");
    assert_eq!(help::<Bind>("0.0.0.0:99999"), "ports go from 0 to 65535");
}

#[test]
fn an_endpoint_is_an_address_or_a_name() {
    let socket = |text: &str| EndpointAddress::Socket(text.parse().unwrap());
    let name = |host: &str, port| EndpointAddress::Name { host: host.into(), port };
    assert_eq!(Address::parse("10.0.0.1:80").unwrap().0, socket("10.0.0.1:80"));
    assert_eq!(Address::parse("[::1]:80").unwrap().0, socket("[::1]:80"));
    assert_eq!(Address::parse("localhost:3000").unwrap().0, name("localhost", 3000));
    assert_eq!(Address::parse("my_service.ns.svc.:3000").unwrap().0, name("my_service.ns.svc.", 3000));
    for text in [
        "",
        ":80",
        "host",
        "host:",
        "host:0",
        "host:65536",
        "http://host:80",
        "ho st:80",
        "[::x]:80",
        "::1",
        "a..b:80",
        ".:80",
    ] {
        assert!(Address::parse(text).is_err(), "{text}");
    }
    assert_eq!(help::<Address>("http://[::1]/x"), "an endpoint is host and port, not a URL: `[::1]:80`");
    assert_eq!(
        help::<Address>("https://a.example:8443/x"),
        "an endpoint is host and port, not a URL: `a.example:8443`"
    );
}

#[test]
fn a_host_is_lower_case_and_without_port() {
    let exact = |host: &str| HostPattern::Exact(host.into());
    assert_eq!(Host::parse("Shop.Example.com").unwrap().0, exact("shop.example.com"));
    assert_eq!(Host::parse("*.Example.com").unwrap().0, HostPattern::Suffix(".example.com".into()));
    assert_eq!(Host::parse("10.0.0.1").unwrap().0, exact("10.0.0.1"));
    assert_eq!(Host::parse("[0::1]").unwrap().0, exact("[::1]"));
    let long_label = format!("{}.example", "x".repeat(64));
    let long_name = ["x"; 128].join(".");
    for text in [
        "",
        "*",
        "*.",
        "a.*",
        "**.a",
        "*a.b",
        "a.b:80",
        "a:",
        "a..b",
        "-a.b",
        "a b",
        "ä.b",
        "[::x]",
        "[",
        long_label.as_str(),
        long_name.as_str(),
    ] {
        assert!(Host::parse(text).is_err(), "{text}");
    }
}
