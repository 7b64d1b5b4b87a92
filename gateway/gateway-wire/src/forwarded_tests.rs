//! Lists as proxies write them and as attackers do.

use std::net::IpAddr;

use super::*;

fn inside(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

type Expected = Option<(&'static str, Option<u16>, &'static str)>;

fn shown(origin: Option<Origin<'_>>) -> Option<(String, Option<u16>, String)> {
    origin.map(|origin| (origin.address.to_string(), origin.port, origin.believed.to_owned()))
}

fn owned(expected: Expected) -> Option<(String, Option<u16>, String)> {
    expected.map(|(address, port, believed)| (address.to_owned(), port, believed.to_owned()))
}

#[test]
fn x_forwarded_for_is_read_from_the_end_as_far_as_it_is_believed() {
    for (list, expected) in [
        ("192.0.2.1", Some(("192.0.2.1", None, "192.0.2.1"))),
        (" 192.0.2.1 ", Some(("192.0.2.1", None, "192.0.2.1"))),
        ("6.6.6.6, 192.0.2.1", Some(("192.0.2.1", None, "192.0.2.1"))),
        ("6.6.6.6, 192.0.2.1, 10.0.0.1", Some(("192.0.2.1", None, "192.0.2.1, 10.0.0.1"))),
        ("192.0.2.1,10.0.0.2,10.0.0.1", Some(("192.0.2.1", None, "192.0.2.1,10.0.0.2,10.0.0.1"))),
        ("10.0.0.2, 10.0.0.1", Some(("10.0.0.2", None, "10.0.0.2, 10.0.0.1"))),
        ("192.0.2.1:4000", Some(("192.0.2.1", Some(4000), "192.0.2.1:4000"))),
        ("2001:db8::1", Some(("2001:db8::1", None, "2001:db8::1"))),
        ("[2001:db8::1]:443", Some(("2001:db8::1", Some(443), "[2001:db8::1]:443"))),
        ("[2001:db8::1]", Some(("2001:db8::1", None, "[2001:db8::1]"))),
        ("::ffff:10.0.0.1", Some(("10.0.0.1", None, "::ffff:10.0.0.1"))),
        ("6.6.6.6, unknown, 10.0.0.1", Some(("10.0.0.1", None, "10.0.0.1"))),
        ("6.6.6.6, , 10.0.0.1", Some(("10.0.0.1", None, "10.0.0.1"))),
        ("6.6.6.6, 10.0.0.1:99999, 10.0.0.2", Some(("10.0.0.2", None, "10.0.0.2"))),
        ("", None),
        (",", None),
        ("192.0.2.1,", None),
        ("unknown", None),
        ("192.0.2.1, _hidden", None),
        ("example.com", None),
        ("192.0.2.1:", Some(("192.0.2.1", None, "192.0.2.1:"))),
        ("1.2.3", None),
        ("192.0.2.1:x", None),
    ] {
        assert_eq!(shown(x_forwarded_for(list, &Trust::Addresses(inside))), owned(expected), "{list:?}");
    }
}

#[test]
fn hops_count_proxies_from_the_sender_on() {
    let list = "6.6.6.6, 192.0.2.1, 10.0.0.1";
    for (hops, expected) in [
        (1, Some(("10.0.0.1", None, "10.0.0.1"))),
        (2, Some(("192.0.2.1", None, "192.0.2.1, 10.0.0.1"))),
        (3, Some(("6.6.6.6", None, list))),
        // Fewer entries than proxies: all of them were written by one.
        (9, Some(("6.6.6.6", None, list))),
    ] {
        let trust = Trust::<fn(IpAddr) -> bool>::Hops(hops);
        assert_eq!(shown(x_forwarded_for(list, &trust)), owned(expected), "{hops}");
    }
}

#[test]
fn forwarded_is_read_by_its_grammar() {
    for (list, expected) in [
        ("for=192.0.2.1", Some(("192.0.2.1", None, "for=192.0.2.1"))),
        (
            "For=\"192.0.2.1:4000\";proto=https",
            Some(("192.0.2.1", Some(4000), "For=\"192.0.2.1:4000\";proto=https")),
        ),
        ("for=\"[2001:db8::1]:47\"", Some(("2001:db8::1", Some(47), "for=\"[2001:db8::1]:47\""))),
        ("for=\"[2001:db8::1]:_x\"", Some(("2001:db8::1", None, "for=\"[2001:db8::1]:_x\""))),
        (
            "for=6.6.6.6, host=a;for=192.0.2.1 ; by=x , for=10.0.0.1",
            Some(("192.0.2.1", None, "host=a;for=192.0.2.1 ; by=x , for=10.0.0.1")),
        ),
        // A comma in quotes separates nothing.
        (
            "for=10.0.0.1, host=\"a, for=6.6.6.6\";for=192.0.2.1",
            Some(("192.0.2.1", None, "host=\"a, for=6.6.6.6\";for=192.0.2.1")),
        ),
        ("for=6.6.6.6, for=_hidden, for=10.0.0.1", Some(("10.0.0.1", None, "for=10.0.0.1"))),
        ("for=6.6.6.6, proto=http, for=10.0.0.1", Some(("10.0.0.1", None, "for=10.0.0.1"))),
        ("for=unknown", None),
        ("proto=http", None),
    ] {
        let origin = forwarded(list, &Trust::Addresses(inside)).unwrap();
        assert_eq!(shown(origin), owned(expected), "{list:?}");
    }
}

#[test]
fn a_malformed_list_is_an_error_and_not_the_senders_own_request() {
    for list in [
        "",
        "for",
        "for=",
        "for=192.0.2.1,",
        "for=192.0.2.1;",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1 x",
        "for=\"192.0.2.1",
        "for=\"192.0.2.1\\\"",
        "for=2001:db8::1",
        "for =192.0.2.1",
    ] {
        assert_eq!(forwarded(list, &Trust::Addresses(inside)), Err(Malformed), "{list:?}");
    }
}

#[test]
fn no_number_of_elements_in_front_hides_the_last_ones() {
    for count in [0, 1, MAX_ELEMENTS, 1000] {
        let list = format!("{}for=192.0.2.1, for=10.0.0.1", "for=6.6.6.6,".repeat(count));
        let origin = forwarded(&list, &Trust::Addresses(inside)).unwrap().unwrap();
        assert_eq!(origin.address.to_string(), "192.0.2.1", "{count}");
    }
}
