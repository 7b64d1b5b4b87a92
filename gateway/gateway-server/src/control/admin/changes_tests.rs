//! Which heads may ask for a change, and what they ask for.

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn status(outcome: Result<(), Denied>) -> Option<u16> {
    outcome.err().map(|denied| denied.status.as_u16())
}

#[test]
fn the_host_must_be_the_address_itself() {
    let local: SocketAddr = "127.0.0.1:9901".parse().unwrap();
    let cases: [(&[&str], Option<u16>); 10] = [
        (&["127.0.0.1:9901"], None),
        (&["localhost:9901"], None),
        (&["localhost"], Some(421)),
        (&["127.0.0.1"], Some(421)),
        (&["127.0.0.1:9902"], Some(421)),
        (&["attacker.example:9901"], Some(421)),
        (&["localhost.attacker.example:9901"], Some(421)),
        (&[""], Some(421)),
        (&[], Some(400)),
        (&["127.0.0.1:9901", "127.0.0.1:9901"], Some(400)),
    ];
    for (hosts, expected) in cases {
        let lines: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        assert_eq!(status(has_host(&headers(&lines), local)), expected, "{hosts:?}");
    }
    let public: SocketAddr = "10.0.0.1:9901".parse().unwrap();
    assert_eq!(status(has_host(&headers(&[("host", "localhost:9901")]), public)), Some(421));
    let six: SocketAddr = "[::1]:9901".parse().unwrap();
    assert_eq!(status(has_host(&headers(&[("host", "[::1]:9901")]), six)), None);
}

#[test]
fn pages_are_told_by_what_browsers_add() {
    assert_eq!(status(is_no_page(&headers(&[("host", "localhost:9901")]))), None);
    for (name, value) in [("origin", "http://localhost:9901"), ("origin", "null"), ("sec-fetch-site", "none")]
    {
        assert_eq!(status(is_no_page(&headers(&[(name, value)]))), Some(403), "{name}: {value}");
    }
}

#[test]
fn the_token_is_given_once_and_as_bearer() {
    let given = |lines: &[(&'static str, &str)]| bearer(&headers(lines)).map(<[u8]>::to_vec);
    assert_eq!(given(&[("authorization", "Bearer abc")]), Some(b"abc".to_vec()));
    assert_eq!(given(&[("authorization", "bearer abc")]), Some(b"abc".to_vec()));
    for wrong in ["abc", "Basic abc", "Bearerabc", "Bearer"] {
        assert_eq!(given(&[("authorization", wrong)]), None, "{wrong}");
    }
    assert_eq!(given(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]), None);
}

#[test]
fn paths_name_the_filter_the_change_and_the_version() {
    let asked = |path, query| change_of(path, query);
    let of = |change, version: Option<&str>| Some((change, "auth".to_owned(), version.map(str::to_owned)));
    assert_eq!(asked("/filters/auth/rollback", None), of(Change::Rollback, None));
    assert_eq!(asked("/filters/auth/rollback", Some("version=ab-1")), of(Change::Rollback, Some("ab-1")));
    assert_eq!(asked("/filters/auth/promote", Some("x=1&version=")), of(Change::Promote, None));
    assert_eq!(asked("/filters/auth/pin", Some("a&version=c&version=d")), of(Change::Pin, Some("c")));
    assert_eq!(asked("/filters/auth/unpin", None), of(Change::Unpin, None));
    for other in ["/filters", "/filters/auth", "/filters/auth/history", "/filters/auth/delete", "/rollback"] {
        assert_eq!(asked(other, None), None, "{other}");
    }
}
