//! Access lines in a format of the operator's own, with Envoy's command operators.

use gateway_tests::{Answer, Authority, Gateway, Origin, RefusingAddress, Request, TlsClient, wasm};
use serde_json::json;

#[test]
fn operators_show_headers_as_they_left_and_facts_of_the_request() {
    let origin = Origin::start(|_| {
        Answer::chunked([b"12345".as_slice()]).header("x-origin", "\"quoted\"").trailer("x-sum", "42")
    });
    let config = "
accessLog:
  to: access.log
  format:
    json:
      method: '%REQ(:METHOD)%'
      path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%'
      agent: '%REQ(USER-AGENT):5%'
      id: '%REQ(X-REQUEST-ID)%'
      edited: '%REQ(X-EDITED?X-NONE)%'
      origin: '%RESP(X-ORIGIN)%'
      added: '%RESP(X-ADDED)%'
      sum: '%TRAILER(X-SUM)%'
      code: '%RESPONSE_CODE%'
      details: '%RESPONSE_CODE_DETAILS%'
      received: '%BYTES_RECEIVED%'
      sent: '%BYTES_SENT%'
      host: '%UPSTREAM_HOST%'
      cluster: '%UPSTREAM_CLUSTER%'
      route: '%ROUTE_NAME%'
      local: '%DOWNSTREAM_LOCAL_ADDRESS%'
      client: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'
      times: '%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%'
      tls: '%DOWNSTREAM_TLS_VERSION%'
routes: [{name: main, to: origin, requestHeaders: {set: {x-edited: new}}, responseHeaders: {set: {x-added: yes}}}]
upstreams: {origin: '<here>'}
";
    let gateway = Gateway::with(config).set("<here>", origin.address()).start();
    let request = Request::post("/a?b=c", "abc").header("user-agent", "test-agent").header("te", "trailers");
    assert_eq!(gateway.send(&request.header("x-edited", "old")).status, 200);
    let line = gateway.await_access_lines(1).remove(0);
    let id = origin.only_request().header("x-request-id").map(str::to_owned);
    for (key, expected) in [
        ("method", json!("POST")),
        ("path", json!("/a?b=c")),
        ("agent", json!("test-")),
        ("id", json!(id)),
        ("edited", json!("new")),
        ("origin", json!("\"quoted\"")),
        ("added", json!("yes")),
        ("sum", json!("42")),
        ("code", json!(200)),
        ("details", json!("via_upstream")),
        ("received", json!(3)),
        ("sent", json!(5)),
        ("host", json!(origin.address().to_string())),
        ("cluster", json!("origin")),
        ("route", json!("main")),
        ("local", json!(gateway.address().to_string())),
        ("client", json!("127.0.0.1")),
        ("tls", json!(null)),
    ] {
        assert_eq!(line[key], expected, "{key}");
    }
    let times = line["times"].as_str().expect("text");
    let times: Vec<u64> = times.split(' ').map(|time| time.parse().expect("milliseconds")).collect();
    assert!(times.len() == 4 && times[1] <= times[2] && times[2] <= times[0], "{times:?}");
}

#[test]
fn a_header_that_a_filter_sets_is_in_the_line() {
    let origin = Origin::answering("ok");
    let gateway = Gateway::with(
        "
accessLog: {to: access.log, format: {json: {request: '%REQ(X-STAMP-SEEN)%', response: '%RESP(X-STAMP)%'}}}
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN'}
",
    )
    .set("ORIGIN", origin.address())
    .filter("stamp", &wasm::guest("stamp"), "config: seal")
    .start();
    let response = gateway.get("/");
    let seen = origin.only_request();
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!([seen.header("x-stamp-seen"), response.header("x-stamp")], [Some("seal"); 2]);
    assert_eq!([&line["request"], &line["response"]], [&json!("seal"); 2]);
}

#[test]
fn a_failed_connection_says_why_and_a_refused_head_is_logged_too() {
    let refusing = RefusingAddress::new();
    let config = "
accessLog: {to: access.log, format: {json: {code: '%RESPONSE_CODE%', flags: '%RESPONSE_FLAGS%', long: '%RESPONSE_FLAGS_LONG%', details: '%RESPONSE_CODE_DETAILS%', why: '%UPSTREAM_TRANSPORT_FAILURE_REASON%', path: '%REQ(:PATH)%', x: '%REQ(X-A)%'}}}
routes: [{to: origin}]
upstreams: {origin: 'ORIGIN'}
";
    let gateway = Gateway::with(config).set("ORIGIN", refusing.address()).start();
    assert_eq!(gateway.send(&Request::get("/x").header("x-a", "1")).status, 502);
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!(
        [&line["code"], &line["flags"], &line["long"], &line["details"], &line["path"], &line["x"]],
        [
            &json!(502),
            &json!("UF"),
            &json!("UpstreamConnectionFailure"),
            &json!("connect_failed"),
            &json!("/x"),
            &json!("1")
        ]
    );
    assert!(line["why"].as_str().is_some_and(|why| why.contains("refused")), "{line}");
    let mut client = gateway.connect();
    client.write("GET / HTTP/1.1\r\nbad header\r\n\r\n");
    assert_eq!(client.read("GET").status, 400);
    let line = gateway.await_access_lines(2).remove(1);
    assert_eq!([&line["code"], &line["path"], &line["why"]], [&json!(400), &json!("/"), &json!(null)]);
}

#[test]
fn tls_connections_show_who_and_how() {
    let authority = Authority::new("ca");
    let config = "
accessLog: {to: access.log, format: {json: {tls: '%DOWNSTREAM_TLS_VERSION%', sni: '%REQUESTED_SERVER_NAME%', subject: '%DOWNSTREAM_PEER_SUBJECT%', uri: '%DOWNSTREAM_PEER_URI_SAN%', scheme: '%REQ(:SCHEME)%', id: '%CONNECTION_ID%'}}}
listeners:
  - name: web
    bind: '127.0.0.1:0'
    tls: {certificates: [{cert: site.pem, key: site.key}], clientCa: ca.pem}
routes: [{respond: {status: 200}}]
";
    let gateway = Gateway::with(config)
        .certificate("site", &authority.issue(&["shop.test"]))
        .file("ca.pem", &authority.pem())
        .start();
    let own = authority.issue_client("jane", Some("spiffe://test/jane"));
    let tunnel = TlsClient::with_certificate(&authority, &own)
        .connect(gateway.address(), "shop.test")
        .expect("a handshake");
    assert_eq!(tunnel.client().send(&Request::get("/").host("shop.test")).status, 200);
    let line = gateway.await_access_lines(1).remove(0);
    assert_eq!(
        [&line["tls"], &line["sni"], &line["uri"], &line["scheme"]],
        [&json!("TLSv1.3"), &json!("shop.test"), &json!("spiffe://test/jane"), &json!("https")]
    );
    assert!(line["subject"].as_str().is_some_and(|subject| subject.contains("CN=jane")), "{line}");
    assert!(line["id"].is_u64());
}

#[test]
fn a_format_changes_with_the_configuration_and_text_stays_one_line() {
    let with = |format: &str| {
        format!(
            "accessLog: {{to: other.log, format: {format}}}\nroutes: [{{name: all, respond: {{status: 204}}}}]"
        )
    };
    let gateway = Gateway::with(&with("{text: \"%REQ(X-A)% <%REQ(X-B)%> %RESPONSE_CODE%\\n\"}")).start();
    let log = || std::fs::read_to_string(gateway.directory().join("other.log")).unwrap_or_default();
    assert_eq!(gateway.send(&Request::get("/").header("x-a", "a\"\u{1f}b").header("x-b", "")).status, 400);
    assert_eq!(gateway.send(&Request::get("/").header("x-a", "a\" b\\").header("x-b", "")).status, 204);
    gateway_tests::eventually("two lines", || log() == "- <-> 400\na\\\" b\\\\ <> 204\n");
    gateway.configure(&with("{text: '%ROUTE_NAME%'}"));
    gateway_tests::eventually("the new format", || {
        let _ = gateway.get("/");
        log().ends_with("all\n")
    });
}
