use gateway_wire::path::{Policy, Refusal};
use http::Method;
use http::uri::PathAndQuery;

use super::canonical;

#[test]
fn the_query_stays_as_it_is() {
    for (target, expected) in [
        ("/a?b=/../c%2f//", None),
        ("/a/../b?x=%zz", Some("/b?x=%zz")),
        ("/%61?", Some("/a?")),
        ("?x", Some("/?x")),
        ("/", None),
    ] {
        let parsed = PathAndQuery::try_from(target).unwrap();
        let form = canonical(&parsed, &Method::GET, Policy::STRICT).unwrap();
        assert_eq!(form.as_ref().map(PathAndQuery::as_str), expected, "{target}");
    }
}

#[test]
fn only_options_asks_about_the_server() {
    let asterisk = PathAndQuery::from_static("*");
    assert_eq!(canonical(&asterisk, &Method::OPTIONS, Policy::STRICT), Ok(None));
    assert_eq!(canonical(&asterisk, &Method::GET, Policy::STRICT), Err(Refusal::NotAbsolute));
}
