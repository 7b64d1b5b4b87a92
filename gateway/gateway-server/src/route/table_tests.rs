//! Precedence and matching by tables.

use super::{Decision, RouteInput, RouteTable};

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
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let input = RouteInput {
        host,
        path,
        query,
        method,
        preflight_method: None,
        headers: &map,
        filter_state: &[],
        client: [10, 1, 2, 3].into(),
    };
    table.decide(&input).map_or("none".into(), |Decision { route, .. }| names[route.0].clone())
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

#[test]
fn regular_expressions_match_whole_paths_and_go_between_exact_and_prefix() {
    let routes = table(
        "  - {name: root, to: a}
  - {name: prefix, match: {path: {prefix: /items/long/prefix}}, to: a}
  - {name: short, match: {path: {regex: '/items/.*'}}, to: a}
  - {name: long, match: {path: {regex: '/items/[0-9]+|/things'}}, to: a}
  - {name: exact, match: {path: {exact: /items/7}}, to: a}\n",
    );
    for (path, expected) in [
        ("/items/7", "exact"),
        ("/items/8", "long"),
        ("/things", "long"),
        ("/things/8", "root"),
        ("/x/items/8", "root"),
        ("/items/8x", "short"),
        ("/items/long/prefix", "short"),
        ("/items", "root"),
    ] {
        assert_eq!(decide(&routes, "h", "GET", path, &[]), expected, "{path}");
    }
}

#[test]
fn values_are_compared_as_a_whole_in_every_form() {
    let routes = table(
        r"  - {name: h-regex, match: {headers: {k: {regex: 'a+'}}}, to: a}
  - {name: h-absent, match: {headers: {k: {present: false}, on: {present: true}}}, to: a}
  - {name: q-exact, match: {query: {q: 'a b'}}, to: a}
  - {name: q-regex, match: {query: {r: {regex: '[0-9]+'}}}, to: a}
  - {name: cookie, match: {cookie: {session: {exact: 'x=y'}}}, to: a}
",
    );
    for (target, headers, expected) in [
        ("/", &[("k", "aaa")][..], "h-regex"),
        ("/", &[("k", "aab")], "none"),
        ("/", &[("k", "a"), ("k", "a")], "none"),
        ("/", &[("on", "")], "h-absent"),
        ("/", &[("on", "1"), ("k", "b")], "none"),
        ("/?q=a+b", &[], "q-exact"),
        ("/?x=1&%71=a%20b&q=c", &[], "q-exact"),
        ("/?q=c&q=a+b", &[], "none"),
        ("/?r=%31%32", &[], "q-regex"),
        ("/?r=12%", &[], "none"),
        ("/?r", &[], "none"),
        ("/", &[("cookie", "a=b; session=x=y")], "cookie"),
        ("/", &[("cookie", "a=b"), ("cookie", "session=x=y")], "cookie"),
        ("/", &[("cookie", "session=z; session=x=y")], "none"),
        ("/", &[("cookie", "Session=x=y; session")], "none"),
    ] {
        assert_eq!(decide(&routes, "h", "GET", target, headers), expected, "{target} {headers:?}");
    }
}

#[test]
fn clients_and_exclusions_narrow_a_match() {
    let routes = table(
        "  - {name: elsewhere, match: {client: [192.0.2.0/24, '::1']}, to: a}
  - {name: inside, match: {path: {prefix: /in}, client: 10.0.0.0/8}, to: a}
  - {name: not, match: {path: {prefix: /not}, not: [{method: POST, headers: {k: v}}, {path: {prefix: /not/this}}]}, to: a}\n",
    );
    for (method, path, headers, expected) in [
        ("GET", "/", &[][..], "none"),
        ("GET", "/in", &[], "inside"),
        ("GET", "/not", &[("k", "v")], "not"),
        ("POST", "/not", &[], "not"),
        ("POST", "/not", &[("k", "v")], "none"),
        ("GET", "/not/this/one", &[], "none"),
        ("GET", "/not/thisone", &[], "not"),
    ] {
        assert_eq!(decide(&routes, "h", method, path, headers), expected, "{method} {path}");
    }
}

#[test]
fn after_the_path_method_headers_query_cookies_client_and_not_decide() {
    let routes = table(
        "  - {name: plain, to: a}
  - {name: not, match: {not: {method: PUT}}, to: a}
  - {name: client, match: {client: 10.1.2.3}, to: a}
  - {name: cookie, match: {cookie: {c: '1'}}, to: a}
  - {name: query, match: {query: {q: '1'}}, to: a}
  - {name: header, match: {headers: {h: '1'}}, to: a}
  - {name: method, match: {method: POST}, to: a}\n",
    );
    let all = &[("h", "1"), ("cookie", "c=1")][..];
    for (method, target, headers, expected) in [
        ("POST", "/?q=1", all, "method"),
        ("GET", "/?q=1", all, "header"),
        ("GET", "/?q=1", &all[1..], "query"),
        ("GET", "/", &all[1..], "cookie"),
        ("GET", "/", &[], "client"),
    ] {
        assert_eq!(decide(&routes, "h", method, target, headers), expected, "{method} {target}");
    }
}
