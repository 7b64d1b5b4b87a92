use super::*;
use crate::NoConfig;
use crate::error::Status;
use crate::host::LogLevel;
use crate::testing::{Outcome, TestRequest, TestResponse, Tester, Verdict};

/// Does what the request's `x-do` says.
struct Scripted;

impl Filter for Scripted {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self, ConfigError> {
        Ok(Self)
    }

    fn on_request(&self, request: &mut Request) -> Result<Flow, FilterError> {
        match request.headers().get_str("x-do")?.as_deref() {
            Some("reply") => Ok(LocalReply::new(418).details("tea").header("x-a", "b").text("short").into()),
            Some("illegal reply") => Ok(LocalReply::new(403).header("x-a", "b\r\nc: d").into()),
            Some("illegal status") => Ok(LocalReply::new(99).into()),
            Some("illegal name") => {
                Ok(request.headers_mut().set("bad name", "x").map(|()| Flow::Continue)?)
            }
            Some("illegal value") => Ok(request.headers_mut().add("x-a", "a\nb").map(|()| Flow::Continue)?),
            Some("add pseudo") => Ok(request.headers_mut().add(":path", "/x").map(|()| Flow::Continue)?),
            Some("remove pseudo") => Ok(request.headers_mut().remove(":path").map(|()| Flow::Continue)?),
            Some("fail") => Err(FilterError::new("out of luck")),
            _ => {
                log::info!("{} {} body={}", request.method()?, request.path()?, request.has_body());
                let values = request.headers().get_all("X-Many")?.concat();
                request.headers_mut().set("x-Many", values)?;
                request.headers_mut().add("x-new", [0xff])?;
                request.headers_mut().remove("x-gone")?;
                request.set_path("/rewritten")?;
                let source = request.property(&["source", "address"])?;
                request.headers_mut().set("x-source", source.unwrap_or_else(|| b"none".into()))?;
                Ok(Flow::Continue)
            }
        }
    }

    fn on_response(&self, response: &mut Response) -> Result<Flow, FilterError> {
        let status = response.status()?;
        response.headers_mut().add("x-status", status.to_string())?;
        response.headers().get_str("x-text")?;
        Ok(Flow::Continue)
    }
}

fn tester() -> Tester<Scripted> {
    Tester::new("").unwrap()
}

fn run(what: &str) -> Outcome {
    tester().request(TestRequest::get("/").header("x-do", what))
}

#[test]
fn edits_reach_the_host() {
    let request = TestRequest::new("POST", "/a?b=c")
        .header("x-many", "1")
        .header("X-Gone", "here")
        .header("x-many", "2")
        .with_body()
        .property(&["source", "address"], "10.0.0.1:5");
    let outcome = tester().request(request);
    assert_eq!(outcome.verdict, Verdict::Continued);
    assert_eq!(outcome.header_values("x-many"), ["12"]);
    assert_eq!(outcome.header_values(":path"), ["/rewritten"]);
    assert_eq!(outcome.header_values("x-source"), ["10.0.0.1:5"]);
    assert!(outcome.header_values("x-gone").is_empty());
    assert!(outcome.headers.contains(&(b"x-new".to_vec(), vec![0xff])));
    assert_eq!(outcome.logs, [(LogLevel::Info, "POST /a?b=c body=true".to_owned())]);
}

#[test]
fn a_missing_property_is_none() {
    assert_eq!(run("").header_values("x-source"), ["none"]);
}

#[test]
fn a_reply_carries_status_details_headers_and_body() {
    let outcome = run("reply");
    let reply = outcome.reply().unwrap();
    assert_eq!((reply.status, reply.details.as_str(), reply.body.as_slice()), (418, "tea", &b"short"[..]));
    assert_eq!(reply.header_values("x-a"), ["b"]);
    assert_eq!(reply.header_values("content-type"), ["text/plain; charset=utf-8"]);
}

#[test]
fn the_own_reply_does_not_come_back_as_a_response() {
    let mut stream = tester().stream();
    stream.request(TestRequest::get("/").header("x-do", "reply"));
    let outcome = stream.response(TestResponse::new(418));
    assert_eq!(outcome.verdict, Verdict::Continued);
    assert!(outcome.header_values("x-status").is_empty());

    let mut stream = tester().stream();
    stream.request(TestRequest::get("/"));
    assert_eq!(stream.response(TestResponse::new(201)).header_values("x-status"), ["201"]);
}

#[test]
fn errors_keep_the_request_from_passing_and_are_logged() {
    let cases = [
        ("fail", 503, "filter failed: out of luck"),
        ("illegal name", 503, "filter failed: host call proxy_replace_header_map_value failed: bad argument"),
        ("illegal value", 503, "filter failed: host call proxy_add_header_map_value failed: bad argument"),
        ("add pseudo", 503, "filter failed: host call proxy_add_header_map_value failed: bad argument"),
        ("remove pseudo", 503, "filter failed: host call proxy_remove_header_map_value failed: bad argument"),
        ("illegal reply", 500, "local reply refused, answering 500 instead"),
        ("illegal status", 500, "local reply refused, answering 500 instead"),
    ];
    for (what, status, line) in cases {
        let outcome = run(what);
        assert_eq!(outcome.reply().unwrap().status, status, "{what}");
        assert!(outcome.logs[0].1.starts_with(line), "{what}: {:?}", outcome.logs);
        assert_eq!(outcome.logs[0].0, LogLevel::Error);
    }
}

#[test]
fn bytes_where_text_is_asked_for_are_the_senders_fault() {
    let outcome = tester().request(TestRequest::get("/").header("x-do", [0xff]));
    assert_eq!(outcome.reply().unwrap().status, 400);
    let outcome = tester().response(TestResponse::new(200).header("x-text", [0xff]));
    assert_eq!(outcome.reply().unwrap().status, 502);
}

#[test]
fn no_answer_of_the_host_panics_or_lets_the_request_pass() {
    for call in ["proxy_get_header_map_value", "proxy_get_header_map_pairs", "proxy_replace_header_map_value"]
    {
        for status in [Status::InternalFailure, Status::BadArgument, Status::Other(99)] {
            let outcome = tester().refusing(call, status).request(TestRequest::get("/"));
            assert_eq!(outcome.reply().unwrap().status, 503, "{call} {status}");
        }
    }
    let silent = tester().refusing("proxy_log", Status::InternalFailure).request(TestRequest::get("/"));
    assert_eq!(silent.verdict, Verdict::Continued);
}

#[test]
fn a_client_is_never_left_waiting_while_the_host_offers_a_way_out() {
    let tester = tester().refusing("proxy_send_local_response", Status::InternalFailure);
    assert_eq!(tester.request(TestRequest::get("/").header("x-do", "reply")).verdict, Verdict::Closed);
    let tester = tester.refusing("proxy_close_stream", Status::Unimplemented);
    assert_eq!(tester.request(TestRequest::get("/").header("x-do", "reply")).verdict, Verdict::Held);
}

#[test]
fn a_stream_without_a_filter_is_refused() {
    let state = host::native::State::default();
    let mut stream = Stream::<Scripted>::new(None);
    let (action, state) = host::native::run(state, || stream.on_request_headers(true));
    assert_eq!(action, Action::Pause);
    assert_eq!(state.reply.unwrap().status, 503);
}

#[test]
fn a_configuration_is_refused_with_its_reason() {
    let error = Tester::<Scripted>::new(r#"{"x": 1}"#).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "configuration: `x`: unknown field `x`, there are no fields");
}
