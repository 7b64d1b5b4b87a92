//! Precedence and matching by tables.

use super::{RouteIndex, RouteInput, RouteTable};

fn table(routes: &str) -> (RouteTable, Vec<String>) {
    let text = format!(
        "listeners: [{{name: web, bind: 127.0.0.1:0}}]\nupstreams: {{a: 127.0.0.1:1}}\nroutes:\n{routes}"
    );
    let config = gateway_config::parse_text(&text, "test.yaml", std::path::Path::new("."))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let names = config.routes.iter().map(|route| route.name.to_string()).collect();
    (RouteTable::new(&config.routes), names)
}

fn decide(
    (table, names): &(RouteTable, Vec<String>),
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> String {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    let input = RouteInput { host, path, method, headers: &map };
    table.decide(&input).map_or("none".into(), |RouteIndex(index)| names[index].clone())
}

#[test]
fn prefix_matches_whole_segments_only() {
    let routes = table("  - {name: a, match: {path: {prefix: /a}}, to: a}\n");
    for (path, expected) in
        [("/a", "a"), ("/a/", "a"), ("/a/b", "a"), ("/ab", "none"), ("/", "none"), ("/b/a", "none")]
    {
        assert_eq!(decide(&routes, "h", "GET", path, &[]), expected, "{path}");
    }
}

#[test]
fn the_most_specific_condition_wins_in_gateway_api_order() {
    let routes = table(
        "  - {name: any, to: a}
  - {name: headers, match: {path: {prefix: /x}, headers: {k: v, l: w}}, to: a}
  - {name: one-header, match: {path: {prefix: /x}, headers: {k: v}}, to: a}
  - {name: method, match: {path: {prefix: /x}, method: POST}, to: a}
  - {name: prefix, match: {path: {prefix: /x}}, to: a}
  - {name: longer, match: {path: {prefix: /x/y}}, to: a}
  - {name: exact, match: {path: {exact: /x/y/z}}, to: a}\n",
    );
    let kl = &[("k", "v"), ("l", "w")][..];
    for (method, path, headers, expected) in [
        ("GET", "/x/y/z", kl, "exact"),
        ("GET", "/x/y/q", kl, "longer"),
        ("POST", "/x/q", kl, "method"),
        ("GET", "/x/q", kl, "headers"),
        ("GET", "/x/q", &kl[..1], "one-header"),
        ("GET", "/x/q", &[], "prefix"),
        ("GET", "/other", &[], "any"),
    ] {
        assert_eq!(decide(&routes, "h", method, path, headers), expected, "{method} {path}");
    }
}

#[test]
fn hosts_go_from_exact_over_longest_wildcard_to_any() {
    let routes = table(
        "  - {name: any, to: a}
  - {name: wide, hosts: ['*.example.com'], to: a}
  - {name: narrow, hosts: ['*.shop.example.com'], to: a}
  - {name: exact, hosts: [www.example.com], match: {path: {prefix: /only}}, to: a}\n",
    );
    for (host, path, expected) in [
        ("www.example.com", "/only", "exact"),
        ("www.example.com", "/", "wide"),
        ("a.shop.example.com", "/", "narrow"),
        ("a.b.shop.example.com", "/", "narrow"),
        ("shop.example.com", "/", "wide"),
        ("example.com", "/", "any"),
        ("other.org", "/", "any"),
        ("", "/", "any"),
    ] {
        assert_eq!(decide(&routes, host, "GET", path, &[]), expected, "{host}");
    }
}

#[test]
fn ties_go_to_the_first_written_and_repeated_headers_join() {
    let routes = table(
        "  - {name: first, match: {headers: {k: 'a, b'}}, to: a}
  - {name: second, match: {headers: {l: x}}, to: a}\n",
    );
    assert_eq!(decide(&routes, "h", "GET", "/", &[("k", "a"), ("k", "b"), ("l", "x")]), "first");
    assert_eq!(decide(&routes, "h", "GET", "/", &[("l", "x")]), "second");
    assert_eq!(decide(&routes, "h", "GET", "/", &[("k", "b"), ("k", "a")]), "none");
}
