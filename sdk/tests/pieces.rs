//! Lines, JSON lines and server-sent events, however the transport cuts them.

use gateway_sdk::Lines;
use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::Value;
use gateway_sdk::testing::{Outcome, TestRequest, TestResponse, Tester, Verdict};

/// Numbers the lines of a request; drops events of type `secret` from a response and changes the data of others.
struct Units;

#[filter(rewrites_request_body, rewrites_response_body, module = false)]
impl Filter for Units {
    type Config = NoConfig;

    async fn init(_: NoConfig, _cx: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        cx.keep(request.headers().contains("x-json"));
        Ok(Flow::Continue)
    }

    async fn on_request_body(&self, body: &mut BodyStream, cx: &Context) -> Result<()> {
        let mut lines = Lines::new(body);
        if cx.kept::<bool>().is_some_and(|json| *json) {
            while let Some(value) = lines.next_json::<Value>().await? {
                lines.write(format!("{}\n", value["n"]))?;
            }
            return Ok(());
        }
        let mut number = 1;
        while let Some(line) = lines.next().await? {
            lines.write(format!("{number}:"))?;
            lines.write(line)?;
            number += 1;
        }
        Ok(())
    }

    async fn on_response_body(&self, body: &mut BodyStream, _cx: &Context) -> Result<()> {
        let mut events = Lines::new(body);
        while let Some(mut event) = events.next_event().await? {
            match (event.name.as_deref(), &event.data) {
                (Some("secret"), _) => {}
                (Some("raw"), _) => events.write(&event.raw)?,
                (_, Some(data)) => {
                    event.data = Some(data.to_uppercase());
                    events.write(event.to_bytes())?;
                }
                (_, None) => {}
            }
        }
        Ok(())
    }
}

/// Cut at each place in turn: what comes out must not depend on it.
fn cut_everywhere(text: &str, run: impl Fn(&[u8], &[u8]) -> Outcome, expected: &str) {
    for place in 0..text.len() {
        let (start, end) = text.as_bytes().split_at(place);
        let outcome = run(start, end);
        assert_eq!(outcome.verdict, Verdict::Continued, "cut at {place}: {:?}", outcome.logs);
        assert_eq!(String::from_utf8_lossy(&outcome.body), expected, "cut at {place}");
    }
}

fn tester() -> Tester<Units> {
    Tester::new("").expect("no configuration is needed")
}

#[test]
fn lines_are_whole_however_they_come() {
    let run =
        |start: &[u8], end: &[u8]| tester().request(TestRequest::new("POST", "/").body(start).body(end));
    cut_everywhere("ab\n\ncd\r\nlast", run, "1:ab\n2:\n3:cd\r\n4:last");
    let json = |start: &[u8], end: &[u8]| {
        tester().request(TestRequest::new("POST", "/").header("x-json", "1").body(start).body(end))
    };
    cut_everywhere("{\"n\":1}\n\n{\"n\":[2]}", json, "1\n[2]\n");
    let outcome = json(b"{\"n\":1}\n", b"{secret\n");
    assert_eq!(outcome.refusal(), (503, "filter_failed"));
    assert!(!outcome.logs[0].1.contains("secret"), "{:?}", outcome.logs);
}

#[test]
fn events_are_whole_however_they_come() {
    let run = |start: &[u8], end: &[u8]| tester().response(TestResponse::new(200).body(start).body(end));
    let text = ": hello\n\nevent: secret\ndata: x\n\nid: 7\ndata: one\ndata:two\n\nevent: raw\r\ndata: three\r\n\r\ndata: lost";
    cut_everywhere(text, run, ": hello\n\nid: 7\ndata: ONE\ndata: TWO\n\nevent: raw\r\ndata: three\r\n\r\n");
}

#[test]
fn a_unit_without_end_is_refused() {
    let mut request = TestRequest::new("POST", "/");
    for _ in 0..5 {
        request = request.body(vec![b'x'; 300_000]);
    }
    let outcome = tester().request(request);
    assert_eq!(outcome.refusal(), (503, "filter_failed"));
    assert!(outcome.logs[0].1.contains("longer than"), "{:?}", outcome.logs);
}
