//! Which route takes which request, how traffic is split, and what routes do to headers.

use gateway_tests::{Gateway, Origin, Request, Response};

const TABLE: &str = r#"
routes:
  - {name: anything, respond: {status: 200, body: anything}}
  - {name: shop, hosts: [shop.example], respond: {status: 200, body: shop}}
  - {name: below, hosts: ["*.example"], respond: {status: 200, body: below}}
  - {name: deep, hosts: ["*.deep.example"], respond: {status: 200, body: deep}}
  - {name: api, match: {path: {prefix: /api}}, respond: {status: 200, body: api}}
  - {name: api-v2, match: {path: {prefix: /api/v2/}}, respond: {status: 200, body: api-v2}}
  - {name: exact, match: {path: {exact: /api/v2/status}}, respond: {status: 200, body: exact}}
  - {name: delete, match: {path: {prefix: /api}, method: DELETE}, respond: {status: 405, body: delete}}
  - {name: beta, match: {path: {prefix: /api}, headers: {x-beta: "yes"}}, respond: {status: 200, body: beta}}
  - {name: beta-jason, match: {path: {prefix: /api}, headers: {x-beta: "yes", end-user: jason}}, respond: {status: 200, body: beta-jason}}
  - {name: either, match: [{path: {exact: /one}}, {path: {exact: /two}}], respond: {status: 200, body: either}}
"#;

#[test]
fn the_most_specific_route_takes_a_request() {
    let gateway = Gateway::with(TABLE).start();
    let get = |target: &str| Request::get(target).host("unknown.test");
    for (request, expected) in [
        (get("/"), "anything"),
        (get("/").host("shop.example"), "shop"),
        (get("/").host("SHOP.example:8080"), "shop"),
        (get("/").host("a.example"), "below"),
        (get("/").host("a.b.example"), "below"),
        (get("/").host("a.deep.example"), "deep"),
        (get("/").host("example"), "anything"),
        (get("/api"), "api"),
        (get("/api/"), "api"),
        (get("/api/x?y=/api/v2/status"), "api"),
        (get("/apis"), "anything"),
        (get("/api/v2"), "api-v2"),
        (get("/api/v2/users"), "api-v2"),
        (get("/api/v20"), "api"),
        (get("/api/v2/status"), "exact"),
        (get("/api/v2/status/more"), "api-v2"),
        (get("/api").header("x-beta", "yes"), "beta"),
        (get("/api").header("x-beta", "no"), "api"),
        (get("/api").header("x-beta", "yes").header("end-user", "jason"), "beta-jason"),
        (Request::new("DELETE", "/api").host("unknown.test"), "delete"),
        (get("/one"), "either"),
        (get("/two"), "either"),
    ] {
        assert_eq!(gateway.send(&request).text(), expected, "{request:?}");
    }
}

#[test]
fn every_kind_of_condition_is_seen_on_the_wire() {
    let config = r#"
routes:
  - {name: other, respond: {status: 200, body: other}}
  - {name: regex, match: {path: {regex: '/items/[0-9]+'}}, respond: {status: 200, body: regex}}
  - {name: query, match: {query: {q: 'a b'}}, respond: {status: 200, body: query}}
  - {name: cookie, match: {cookie: {beta: {present: true}}}, respond: {status: 200, body: cookie}}
  - {name: here, match: {path: {prefix: /local}, client: [127.0.0.0/8, '::1']}, respond: {status: 200, body: here}}
  - {name: there, match: {path: {prefix: /local/x}, client: 192.0.2.0/24}, respond: {status: 200, body: there}}
  - {name: not, match: {path: {prefix: /not}, not: {headers: {x-debug: {present: true}}}}, respond: {status: 200, body: not}}
"#;
    let gateway = Gateway::with(config).start();
    for (request, expected) in [
        (Request::get("/items/12"), "regex"),
        (Request::get("/items/12/"), "other"),
        (Request::get("/?x=1&q=a%20b"), "query"),
        (Request::get("/").header("cookie", "a=1; beta="), "cookie"),
        (Request::get("/local/x"), "here"),
        (Request::get("/not"), "not"),
        (Request::get("/not").header("x-debug", "0"), "other"),
    ] {
        assert_eq!(gateway.send(&request).text(), expected, "{request:?}");
    }
}

#[test]
fn a_route_answers_by_itself() {
    let gateway = Gateway::with("routes: [{respond: {status: 418, body: \"short and stout\\n\"}}]").start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.text().as_str()), (418, "short and stout\n"));
    let head = gateway.send(&Request::new("HEAD", "/"));
    assert_eq!((head.status, head.header("content-length")), (418, Some("16")));
    gateway.await_replies("direct_response", 2);
    assert_eq!(gateway.await_access_lines(1)[0]["response_code_details"], "direct_response");
}

#[test]
fn weights_split_traffic_exactly() {
    let (old, new, unused) =
        (Origin::answering("old"), Origin::answering("new"), Origin::answering("unused"));
    let config = "
routes: [{to: [{upstream: old, weight: 90}, {upstream: new, weight: 10}, {upstream: unused, weight: 0}]}]
upstreams: {old: 'OLD', new: 'NEW', unused: 'UNUSED'}
";
    let setup = Gateway::with(config).set("OLD", old.address()).set("NEW", new.address());
    let gateway = setup.set("UNUSED", unused.address()).start();
    let mut client = gateway.connect();
    for _ in 0..1_000 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!((old.received().len(), new.received().len(), unused.received().len()), (900, 100, 0));
}

#[test]
fn endpoints_take_turns_by_weight() {
    let (heavy, light) = (Origin::answering("heavy"), Origin::answering("light"));
    let config = "
routes: [{to: both}]
upstreams: {both: {endpoints: [{address: 'HEAVY', weight: 3}, 'LIGHT']}}
";
    let gateway = Gateway::with(config).set("HEAVY", heavy.address()).set("LIGHT", light.address()).start();
    let mut client = gateway.connect();
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!((heavy.received().len(), light.received().len()), (75, 25));
}

#[test]
fn an_upstream_by_name_is_resolved() {
    let origin = Origin::answering("by name");
    let config = "routes: [{to: origin}]\nupstreams: {origin: 'localhost:PORT'}";
    let gateway = Gateway::with(config).set("PORT", origin.address().port()).start();
    // `localhost` may have an IPv6 address too, where nobody listens.
    let answers: Vec<Response> = (0..2).map(|_| gateway.get("/")).collect();
    assert!(answers.iter().any(|answer| answer.text() == "by name"), "{answers:?}");
}

#[test]
fn header_edits_remove_then_set_then_add() {
    let origin = Origin::start(|_| {
        gateway_tests::Answer::text("ok")
            .header("server", "secret")
            .header("x-kept", "1")
            .header("x-a", "origin")
    });
    let config = "
routes:
  - to: origin
    requestHeaders: {remove: [x-debug], set: {x-version: 2, x-client: gateway}, add: {x-seen-by: gateway}}
    responseHeaders: {remove: [server], set: {x-a: gateway}, add: {x-b: gateway}}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let request =
        Request::get("/").header("x-debug", "1").header("x-client", "me").header("x-seen-by", "client");
    let response = gateway.send(&request);
    let seen = origin.only_request();
    assert_eq!(
        (seen.header("x-debug"), seen.header("x-version"), seen.header("x-client")),
        (None, Some("2"), Some("gateway"))
    );
    assert_eq!(seen.headers.all("x-seen-by"), ["client", "gateway"]);
    assert_eq!((response.header("server"), response.header("x-kept")), (None, Some("1")));
    assert_eq!((response.header("x-a"), response.header("x-b")), (Some("gateway"), Some("gateway")));
}

#[test]
fn requests_are_counted_by_route_and_upstream() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::to(&origin).start();
    for _ in 0..3 {
        assert_eq!(gateway.get("/").status, 200);
    }
    gateway_tests::eventually("three requests counted", || {
        let metrics = gateway.metrics();
        let by_route =
            metrics.sum("gateway_route_requests_total", &[("route", "all"), ("code_class", "2xx")]);
        let by_upstream = metrics.sum("envoy_cluster_upstream_rq_total", &[("envoy_cluster_name", "origin")]);
        let by_listener =
            metrics.sum("envoy_http_downstream_rq_total", &[("envoy_http_conn_manager_prefix", "web")]);
        (by_route, by_upstream, by_listener) == (3.0, 3.0, 3.0)
    });
    let line = &gateway.await_access_lines(3)[0];
    assert_eq!((&line["route_name"], &line["upstream_cluster"]), (&"all".into(), &"origin".into()));
    assert_eq!(line["upstream_host"], origin.address().to_string());
}
