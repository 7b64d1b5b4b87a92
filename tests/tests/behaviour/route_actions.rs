//! What routes do besides forwarding as it is: redirects, rewrites, files, body limits, variables, CORS.

use gateway_tests::{Answer, Gateway, Origin, Request};

#[test]
fn redirects_change_what_they_name_and_keep_the_rest() {
    let gateway = Gateway::with(
        "
routes:
  - {hosts: [scheme.test], redirect: {scheme: https}}
  - {hosts: [host.test], redirect: {host: new.test, status: 301}}
  - {hosts: [port.test], redirect: {scheme: https, port: 8443, status: 308}}
  - {hosts: [full.test], redirect: {path: {full: /moved}, status: 303}}
  - {hosts: [prefix.test], match: {path: {prefix: /old}}, redirect: {path: {prefix: /new/}, status: 307}}
  - {hosts: [root.test], match: {path: {prefix: /old}}, redirect: {path: {prefix: /}}}
  - {hosts: [regex.test], redirect: {path: {regex: {match: '/user/([0-9]+)(/.*)?', with: '/u$2/$1'}}}}
",
    )
    .start();
    for (host, target, status, location) in [
        ("scheme.test:8080", "/a?b=c", 302, "https://scheme.test/a?b=c"),
        ("host.test", "/a", 301, "http://new.test/a"),
        ("host.test:8080", "/a", 301, "http://new.test:8080/a"),
        ("host.test:80", "/a", 301, "http://new.test/a"),
        ("port.test", "/", 308, "https://port.test:8443/"),
        ("full.test", "/x/y?z", 303, "http://full.test/moved?z"),
        ("prefix.test", "/old/a", 307, "http://prefix.test/new/a"),
        ("prefix.test", "/old", 307, "http://prefix.test/new"),
        ("prefix.test", "/old/", 307, "http://prefix.test/new/"),
        ("root.test", "/old", 302, "http://root.test/"),
        ("root.test", "/old/a", 302, "http://root.test/a"),
        ("regex.test", "/user/7/posts", 302, "http://regex.test/u/posts/7"),
        ("regex.test", "/other", 302, "http://regex.test/other"),
    ] {
        let response = gateway.send(&Request::get(target).host(host));
        assert_eq!(
            (response.status, response.header("location")),
            (status, Some(location)),
            "{host}{target}"
        );
        assert_eq!(response.body.len(), 0);
    }
    gateway.await_replies("redirect", 13);
}

#[test]
fn rewrites_change_what_the_upstream_is_asked_for() {
    let origin = Origin::answering("ok");
    let config = "
routes:
  - {match: {path: {prefix: /api}}, to: origin, rewrite: {path: {prefix: /}}}
  - {match: {path: {prefix: /deep}}, to: origin, rewrite: {host: inner.test, path: {prefix: /v2/x}}}
  - {match: {path: {prefix: /full}}, to: origin, rewrite: {path: {full: /one}}}
  - {match: {path: {prefix: /user}}, to: origin, rewrite: {path: {regex: {match: '/user/(?P<id>[a-z]+)', with: '/u/${id}/$$'}}}}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    for (target, expected, host) in [
        ("/api/a?q=1", "/a?q=1", "test.example"),
        ("/api", "/", "test.example"),
        ("/deep/a/b", "/v2/x/a/b", "inner.test"),
        ("/full/a?q", "/one?q", "test.example"),
        ("/user/jane?q", "/u/jane/$?q", "test.example"),
        ("/user/42", "/user/42", "test.example"),
    ] {
        assert_eq!(gateway.get(target).status, 200, "{target}");
        let seen = origin.last_request();
        assert_eq!((seen.target.as_str(), seen.header("host")), (expected, Some(host)), "{target}");
        assert_eq!(seen.header("x-forwarded-host"), Some("test.example"));
    }
    assert_eq!(gateway.await_access_lines(6)[0]["path"], "/api/a?q=1", "the log has what the client sent");
}

#[test]
fn a_rewritten_path_that_does_not_fit_gets_414() {
    let origin = Origin::answering("ok");
    let config = "
routes: [{to: origin, rewrite: {path: {regex: {match: '/(.*)', with: '/$1$1$1$1$1$1$1$1'}}}}]
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    assert_eq!(gateway.get(&format!("/{}", "x".repeat(15_000))).status, 414);
    assert!(origin.received().is_empty());
}

#[test]
fn a_file_is_an_answer_and_is_read_again_with_the_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.html");
    std::fs::write(&page, "<p>one</p>").expect("a writable folder");
    let config = format!("routes: [{{respond: {{status: 503, file: '{}'}}}}]", page.display());
    let gateway = Gateway::with(&config).start();
    let response = gateway.get("/");
    assert_eq!((response.status, response.text().as_str()), (503, "<p>one</p>"));
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    std::fs::write(&page, "<p>two</p>").expect("a writable folder");
    gateway.configure(&format!("{config} # again"));
    gateway_tests::eventually("the new page", || gateway.get("/").text() == "<p>two</p>");
}

#[test]
fn a_request_body_over_the_limit_of_its_route_gets_413() {
    let origin = Origin::answering("ok");
    let config = "
routes:
  - {match: {path: {prefix: /small}}, to: origin, maxBody: 10B}
  - {match: {path: {prefix: /none}}, to: origin, maxBody: 0B}
  - {to: origin}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let ten = [b'x'; 10];
    let eleven = [b'x'; 11];
    for (request, status) in [
        (Request::post("/small", ten), 200),
        (Request::post("/small", eleven), 413),
        (Request::post("/small", "").chunked([&ten[..6], &ten[..4]]), 200),
        (Request::post("/small", "").chunked([&ten[..6], &ten[..5]]), 413),
        (Request::get("/none"), 200),
        (Request::post("/none", ""), 200),
        (Request::post("/none", "x"), 413),
        (Request::post("/free", eleven), 200),
    ] {
        assert_eq!(gateway.send(&request).status, status, "{request:?}");
    }
    gateway.await_replies("body_too_large", 3);
    assert_eq!(origin.count("/small"), 2, "no request over the limit arrived whole");
}

#[test]
fn variables_say_what_the_request_was() {
    let origin = Origin::answering("ok");
    let config = "
routes:
  - name: main
    match: {path: {prefix: /in}}
    to: origin
    rewrite: {host: inner.test, path: {full: /out}}
    requestHeaders:
      set: {x-all: '%{method} %{scheme}://%{host}%{path}?%{query} %{route} %{upstream} %{listener}', x-plain: '100%%{x} %'}
      add: {x-who: '%{client_ip}', x-id: '%{request_id}'}
    responseHeaders: {set: {x-trace: '%{request_id}/%{route}'}}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let response = gateway.send(&Request::get("/in/a?b=c").host("Shop.test:81"));
    let seen = origin.only_request();
    assert_eq!(seen.header("x-all"), Some("GET http://Shop.test:81/in/a?b=c main origin web"));
    assert_eq!(seen.header("x-plain"), Some("100%{x} %"));
    assert_eq!(seen.header("x-who"), Some("127.0.0.1"));
    let id = seen.header("x-request-id").expect("a request id");
    assert_eq!(seen.header("x-id"), Some(id));
    assert_eq!(response.header("x-trace"), Some(format!("{id}/main").as_str()));
}

#[test]
fn the_host_of_an_absolute_target_is_the_one_that_was_asked_for() {
    let config = "routes: [{respond: {status: 200}, responseHeaders: {set: {x-host: '%{host}'}}}]";
    let gateway = Gateway::with(config).start();
    let mut client = gateway.connect();
    client.write("GET http://a.test:81/ HTTP/1.1\r\nhost: b.test\r\n\r\n");
    assert_eq!(client.read("GET").header("x-host"), Some("a.test:81"));
    assert_eq!(gateway.await_access_lines(1)[0]["authority"], "a.test:81");
}

#[test]
fn destinations_have_edits_of_their_own() {
    let (old, new) = (Origin::answering("old"), Origin::answering("new"));
    let config = "
routes:
  - requestHeaders: {set: {x-version: none}}
    responseHeaders: {add: {x-by: route}}
    to:
      - {upstream: old, requestHeaders: {set: {x-version: 1}}, responseHeaders: {set: {x-by: old}}}
      - {upstream: new}
upstreams: {old: 'OLD', new: 'NEW'}
";
    let gateway = Gateway::with(config).set("OLD", old.address()).set("NEW", new.address()).start();
    for _ in 0..2 {
        let response = gateway.get("/");
        let by = response.headers.all("x-by");
        match response.text().as_str() {
            "old" => assert_eq!(by, ["old", "route"]),
            _ => assert_eq!(by, ["route"]),
        }
    }
    assert_eq!(old.only_request().header("x-version"), Some("1"));
    assert_eq!(new.only_request().header("x-version"), Some("none"));
}

#[test]
fn preflights_are_answered_and_responses_opened_to_allowed_sites() {
    let origin =
        Origin::start(|_| Answer::text("ok").header("access-control-allow-origin", "https://wrong.test"));
    let config = "
routes:
  - match: {path: {prefix: /api}, method: PUT}
    to: origin
    cors:
      allowOrigins: [https://app.test, 'https://*.apps.test']
      allowMethods: [PUT]
      allowHeaders: ['*']
      exposeHeaders: [x-total]
      allowCredentials: true
      maxAge: 10m
  - {match: {path: {prefix: /open}}, to: origin, cors: {allowOrigins: ['*']}}
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", origin.address()).start();
    let preflight = |target: &str, site: &str| {
        let asking = Request::new("OPTIONS", target).header("origin", site);
        gateway.send(
            &asking
                .header("access-control-request-method", "PUT")
                .header("access-control-request-headers", "x-a, x-b"),
        )
    };
    let allowed = preflight("/api", "https://app.test");
    assert_eq!(allowed.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://app.test"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "x-a, x-b"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(allowed.header(name), Some(value), "{name}");
    }
    assert_eq!(preflight("/api", "https://a.b.apps.test").header("access-control-max-age"), Some("600"));
    for site in ["https://evil.test", "http://app.test", "https://apps.test", "https://x/.apps.test", "null"]
    {
        let refused = preflight("/api", site);
        assert_eq!((refused.status, refused.header("access-control-allow-origin")), (204, None), "{site}");
    }
    assert_eq!(preflight("/open", "https://any.test").header("access-control-allow-origin"), Some("*"));
    assert!(origin.received().is_empty(), "no preflight goes upstream");
    gateway.await_replies("cors_preflight", 8);

    let from = |site: &str| gateway.send(&Request::new("PUT", "/api").header("origin", site));
    let read = from("https://app.test");
    assert_eq!(read.headers.all("access-control-allow-origin"), ["https://app.test"]);
    assert_eq!(read.header("access-control-expose-headers"), Some("x-total"));
    assert_eq!(read.header("vary"), Some("origin"));
    assert_eq!(from("https://evil.test").header("access-control-expose-headers"), None);
    assert_eq!(gateway.send(&Request::new("OPTIONS", "/api")).status, 404, "no preflight, no such route");
}
