use std::path::Path;

use super::*;

const CONFIG: &str = "
listeners: [{bind: ':0'}]
routes:
  - respond: {status: 200}
    responseHeaders: {set: {x-peer: '%{downstream_peer}'}, add: {x-also: 'is %{downstream_peer}'}}
";

/// The headers after the edits, every variable being `value`.
fn applied(before: &[(&'static str, &'static str)], value: &[u8]) -> Vec<(String, String)> {
    let mut headers = HeaderMap::new();
    for (name, value) in before {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let config = gateway_config::parse_text(CONFIG, "gateway.yaml", Path::new("")).unwrap();
    let edits = Edits::new(&config.routes[0].response_headers);
    edits.apply(&mut headers, |_, out| out.extend_from_slice(value));
    let mut left: Vec<_> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    left.sort();
    left
}

#[test]
fn a_value_that_is_no_legal_one_leaves_nothing_of_what_the_sender_wrote() {
    let sent = [("x-peer", "CN=admin"), ("x-also", "sent")];
    let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(applied(&sent, b"CN=a\nb"), [entry("x-also", "sent")]);
    let also = |value: &str| entry("x-also", value);
    assert_eq!(applied(&sent, b"CN=a"), [also("is CN=a"), also("sent"), entry("x-peer", "CN=a")]);
    assert_eq!(applied(&sent, b""), [also("is "), also("sent"), entry("x-peer", "")]);
}
