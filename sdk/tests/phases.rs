//! What the phases of a filter mean to its messages: verdicts, edits, waiting, bodies, failures.

use std::time::Duration;

use gateway_sdk::prelude::*;
use gateway_sdk::serde_json::{Value, json};
use gateway_sdk::testing::{CallAnswer, Outcome, TestHost, TestRequest, TestResponse, Tester, Verdict};
use gateway_sdk::{Either, Status, join, join_all, race};

/// Does what the message's `x-do` says.
struct Scripted;

#[filter(request_body, response_body, module = false)]
impl Filter for Scripted {
    type Config = NoConfig;

    async fn init(_: NoConfig, _cx: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let what = request.headers().get_str("x-do")?.unwrap_or_default().to_owned();
        match what.as_str() {
            "reply" => {
                return Ok(LocalReply::new(418).details("tea").header("x-a", "b").text("short").into());
            }
            "illegal reply" => return Ok(LocalReply::new(403).header("x-a", "b\r\nc: d").into()),
            "illegal status" => return Ok(LocalReply::new(99).into()),
            "illegal name" => request.headers_mut().set("bad name", "x")?,
            "illegal value" => request.headers_mut().add("x-a", "a\nb")?,
            "add pseudo" => request.headers_mut().add(":path", "/x")?,
            "remove pseudo" => request.headers_mut().remove(":path")?,
            "fail" => return Err(Error::new("out of luck")),
            "edit" => edit(request, cx)?,
            "chain" => chain(request, cx).await?,
            "both" => both(request, cx).await?,
            "first" => first(request, cx).await?,
            "sleep" => cx.sleep(Duration::from_millis(30)).await?,
            "body" => return decide_on_body(request).await,
            "late body" => {
                let body = request.body().await?;
                cx.sleep(Duration::from_millis(1)).await?;
                request.set_body(body.to_ascii_uppercase())?;
            }
            "short body" => drop(request.body_up_to(4).await?),
            "panic" => panic!("out of order"),
            _ => {}
        }
        cx.keep(what);
        Ok(Flow::Continue)
    }

    async fn on_response(&self, response: &mut Response, cx: &Context) -> Result<Flow> {
        let status = response.status()?;
        response.headers_mut().add("x-status", status.as_str())?;
        response.headers().get_str("x-text")?;
        if let Some(kept) = cx.kept::<String>() {
            response.headers_mut().set("x-kept", kept.as_str())?;
        }
        if response.headers().contains("x-upper") {
            let body = response.body().await?;
            response.set_body(body.to_ascii_uppercase())?;
        }
        Ok(Flow::Continue)
    }

    fn on_log(&self, exchange: &Exchange, _cx: &Context) {
        let status = exchange.status().map_or(0, |status| status.as_u16());
        let path = String::from_utf8_lossy(exchange.request().get(":path").unwrap_or_default()).into_owned();
        gateway_sdk::log::info!("{path} was answered {status}");
    }
}

fn edit(request: &mut Request, cx: &Context) -> Result<()> {
    let many: Vec<u8> = request.headers().get_all("X-Many").flatten().copied().collect();
    let headers = request.headers_mut();
    headers.set("x-Many", many)?;
    headers.add("x-new", [0xff])?;
    headers.add("x-more", "2")?;
    headers.remove("x-gone")?;
    headers.set("x-same", "same")?;
    request.set_path("/rewritten")?;
    let source = cx.client_ip().map_or("none".to_owned(), |ip| ip.to_string());
    request.headers_mut().set("x-source", source)?;
    assert_eq!(request.headers().get("x-gone"), None);
    let more = request.headers().get_all("x-more").count().to_string();
    request.headers_mut().set("x-count", more)?;
    Ok(())
}

async fn chain(request: &mut Request, cx: &Context) -> Result<()> {
    let calls = async {
        let user: Value = cx.http("accounts").get("/user").send().await?.json()?;
        Ok(cx.http("plans").post("/plan").json(&user["id"]).send().await?.text()?)
    };
    let plan = cx.within(Duration::from_millis(200), calls).await?;
    request.headers_mut().set("x-plan", plan)?;
    Ok(())
}

async fn both(request: &mut Request, cx: &Context) -> Result<()> {
    let (accounts, plans) =
        join(cx.http("accounts").get("/a").send(), cx.http("plans").get("/b").send()).await;
    let statuses = [accounts?.status(), plans?.status()].map(|status| status.as_u16().to_string());
    let more = join_all(["/1", "/2", "/3"].map(|path| cx.http("plans").get(path).send())).await;
    let bodies: Result<Vec<String>, _> = more.into_iter().map(|answer| answer?.text()).collect();
    request.headers_mut().set("x-statuses", statuses.join(" "))?;
    request.headers_mut().set("x-bodies", bodies?.join(" "))?;
    Ok(())
}

async fn first(request: &mut Request, cx: &Context) -> Result<()> {
    let winner = race(cx.http("accounts").get("/a").send(), cx.http("plans").get("/b").send()).await;
    let name = match winner {
        Either::First(_) => "accounts",
        Either::Second(_) => "plans",
    };
    request.headers_mut().set("x-first", name)?;
    Ok(())
}

async fn decide_on_body(request: &mut Request) -> Result<Flow> {
    let order: Value = request.body().await?.json()?;
    if order["amount"].as_u64().unwrap_or_default() > 100 {
        return Ok(LocalReply::new(402).text("too much\n").into());
    }
    request.headers_mut().set("x-amount", order["amount"].to_string())?;
    request.set_body(r#"{"approved":true}"#)?;
    Ok(Flow::Continue)
}

fn host() -> TestHost {
    TestHost::new()
        .on_call("accounts", |call| match call.target().as_str() {
            "GET /user" => CallAnswer::json(&json!({"id": 7})).after(Duration::from_millis(50)),
            _ => CallAnswer::new(201).after(Duration::from_millis(20)),
        })
        .on_call("plans", |call| {
            let body =
                if call.body.is_empty() { call.header(":path").into_bytes() } else { call.body.clone() };
            CallAnswer::new(200).body(body).after(Duration::from_millis(70))
        })
}

fn tester() -> Tester<Scripted> {
    host().start("").expect("no configuration is needed")
}

fn run(what: &str) -> Outcome {
    tester().request(TestRequest::get("/").header("x-do", what))
}

#[test]
fn edits_go_on_as_one_diff() {
    let request = TestRequest::new("POST", "/a?b=c")
        .header("x-do", "edit")
        .header("x-many", "1")
        .header("X-Gone", "here")
        .header("x-many", "2")
        .header("x-more", "1")
        .header("x-same", "same")
        .client("10.0.0.1:5");
    let outcome = tester().request(request);
    assert_eq!(outcome.verdict, Verdict::Continued, "{:?}", outcome.logs);
    assert_eq!(outcome.header_values("x-many"), ["12"]);
    assert_eq!(outcome.header_values("x-more"), ["1", "2"]);
    assert_eq!(outcome.header_values("x-count"), ["2"], "edits are seen at once by the filter itself");
    assert_eq!(outcome.header_values(":path"), ["/rewritten"]);
    assert_eq!(outcome.header_values("x-source"), ["10.0.0.1"]);
    assert!(outcome.header_values("x-gone").is_empty());
    assert!(outcome.headers.contains(&(b"x-new".to_vec(), vec![0xff])));
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
    let mut tester = tester();
    let mut stream = tester.stream();
    stream.request(TestRequest::get("/").header("x-do", "reply"));
    let outcome = stream.response(TestResponse::new(418));
    assert_eq!(outcome.verdict, Verdict::Continued);
    assert!(outcome.header_values("x-status").is_empty());
    stream.finish();

    let exchanged = tester.exchange(TestRequest::get("/").header("x-do", "this"), TestResponse::new(201));
    let response = exchanged.response.unwrap();
    assert_eq!(response.header_values("x-status"), ["201"]);
    assert_eq!(response.header_values("x-kept"), ["this"], "kept by the request's phase");
}

#[test]
fn the_log_phase_sees_both_messages() {
    let mut tester = tester();
    tester.exchange(TestRequest::get("/seen"), TestResponse::new(204));
    let lines: Vec<String> = tester.take_logs().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["/seen was answered 204"]);
}

#[test]
fn one_call_after_another_within_a_time() {
    let outcome = run("chain");
    assert_eq!(outcome.verdict, Verdict::Continued, "{:?}", outcome.logs);
    assert_eq!(outcome.header_values("x-plan"), ["7"]);
    assert_eq!(outcome.took, Duration::from_millis(120), "50 ms for the first, 70 ms for the second");

    let mut slow = tester();
    slow.on_call("plans", |_| CallAnswer::new(200).after(Duration::from_secs(2)));
    let outcome = slow.request(TestRequest::get("/").header("x-do", "chain"));
    assert_eq!(outcome.refusal(), (503, "filter_failed"));
    assert_eq!(outcome.logs[0].1, "filter failed: not finished within 200 ms");
    assert!((200..=201).contains(&outcome.took.as_millis()), "{:?}", outcome.took);
    // The answer comes later, and there is nobody left whom it could disturb.
    slow.advance(Duration::from_secs(5));
    assert_eq!(slow.request(TestRequest::get("/")).verdict, Verdict::Continued);
}

#[test]
fn calls_run_at_the_same_time() {
    let outcome = run("both");
    assert_eq!(outcome.header_values("x-statuses"), ["201 200"]);
    assert_eq!(outcome.header_values("x-bodies"), ["/1 /2 /3"]);
    assert_eq!(outcome.took, Duration::from_millis(140), "70 ms, twice");
    let outcome = run("first");
    assert_eq!(outcome.header_values("x-first"), ["accounts"]);
    assert_eq!(outcome.took, Duration::from_millis(20));
}

#[test]
fn a_callout_that_fails_is_an_error_with_its_reason() {
    type Script = fn() -> CallAnswer;
    let cases: [(Script, &str); 5] = [
        (CallAnswer::reset, "upstream `accounts` gave no answer"),
        (|| CallAnswer::new(500), "upstream `accounts` answered 500"),
        (|| CallAnswer::new(200).after(Duration::from_secs(6)), "not finished within 200 ms"),
        (|| CallAnswer::new(200).body("{"), "the answer of upstream `accounts` is not the expected JSON"),
        (|| CallAnswer::new(200).body([0xff]), "the answer of upstream `accounts` is not the expected JSON"),
    ];
    for (script, reason) in cases {
        let mut tester = tester();
        tester.on_call("accounts", move |_| script());
        let outcome = tester.request(TestRequest::get("/").header("x-do", "chain"));
        assert_eq!(outcome.refusal(), (503, "filter_failed"), "{reason}");
        assert!(outcome.logs[0].1.contains(reason), "{reason}: {:?}", outcome.logs);
    }
    let outcome = TestHost::new().start::<Scripted>("").unwrap();
    let mut nowhere = outcome;
    let outcome = nowhere.request(TestRequest::get("/").header("x-do", "chain"));
    assert!(outcome.logs[0].1.contains("cannot call upstream `accounts`"), "{:?}", outcome.logs);
}

#[test]
fn callouts_carry_the_requests_trace_context() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut tester = tester();
    tester.on_call("accounts", |call| CallAnswer::json(&json!({"id": call.header("traceparent")})));
    tester.on_call("plans", |call| CallAnswer::new(200).body(call.header("traceparent")));
    let request = TestRequest::get("/").header("x-do", "chain").header("traceparent", trace);
    assert_eq!(tester.request(request).header_values("x-plan"), [trace]);
    let outcome = tester.request(TestRequest::get("/").header("x-do", "chain"));
    assert_eq!(outcome.header_values("x-plan"), [""], "none is made up");
}

#[test]
fn many_streams_wait_at_once_and_each_gets_its_own() {
    let mut tester = tester();
    let mut streams = Vec::new();
    for index in 0..3 {
        let mut stream = tester.stream();
        let request = TestRequest::get(&format!("/{index}")).header("x-do", "sleep");
        streams.push(stream.request(request));
    }
    assert!(streams.iter().all(|outcome| outcome.verdict == Verdict::Continued));
    assert!(streams.iter().all(|outcome| (30..=31).contains(&outcome.took.as_millis())));
}

#[test]
fn the_whole_body_decides_while_the_head_is_held() {
    let order = |amount: u64| {
        let (start, end) = (r#"{"amount":"#, format!("{amount}}}"));
        TestRequest::new("POST", "/")
            .header("x-do", "body")
            .header("content-length", "14")
            .body(start)
            .body(end)
    };
    let outcome = tester().request(order(70));
    assert_eq!(outcome.verdict, Verdict::Continued, "{:?}", outcome.logs);
    assert_eq!(outcome.header_values("x-amount"), ["70"]);
    assert_eq!(outcome.body, br#"{"approved":true}"#);
    assert!(outcome.header_values("content-length").is_empty(), "the length holds no more");
    assert_eq!(tester().request(order(101)).reply().unwrap().status, 402);

    let trailers = order(70).trailer("x-sum", "1");
    let outcome = tester().request(trailers);
    assert_eq!(outcome.refusal().0, 503, "hosts take no new body with the trailers");
}

#[test]
fn a_body_that_cannot_be_used_is_refused() {
    let request = |what: &str| TestRequest::new("POST", "/").header("x-do", what);
    let outcome = tester().request(request("body").body("no JSON"));
    assert_eq!(outcome.refusal(), (400, "filter_error"));
    let outcome = tester().request(request("short body").body("1234"));
    assert_eq!(outcome.verdict, Verdict::Continued);
    assert_eq!(outcome.body, b"1234");
    let outcome = tester().request(request("short body").body("12").body("345"));
    assert_eq!(outcome.refusal(), (413, "filter_error"));
    let outcome = tester().request(request("late body").body("abc"));
    assert_eq!(outcome.refusal(), (503, "filter_failed"));
    assert!(outcome.logs[0].1.contains("the body cannot be changed any more"), "{:?}", outcome.logs);
}

#[test]
fn a_response_body_can_be_replaced() {
    let response = TestResponse::new(200).header("x-upper", "1").body("ab").body("c");
    let outcome = tester().response(response);
    assert_eq!(outcome.verdict, Verdict::Continued, "{:?}", outcome.logs);
    assert_eq!(outcome.body, b"ABC");
    let outcome = tester().response(TestResponse::new(200).body("ab"));
    assert_eq!(outcome.body, b"ab");
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
        assert_eq!(outcome.refusal().0, status, "{what}");
        assert!(outcome.logs[0].1.starts_with(line), "{what}: {:?}", outcome.logs);
    }
}

#[test]
fn an_error_is_for_the_operators_policy_where_the_host_has_one() {
    assert_eq!(run("fail").verdict, Verdict::Failed("out of luck".to_owned()));
    let elsewhere = tester().refusing("proxy_call_foreign_function", Status::NotFound);
    let outcome = { elsewhere }.request(TestRequest::get("/").header("x-do", "fail"));
    assert_eq!(outcome.reply().map(|reply| reply.status), Some(503), "as in Envoy");
    assert_eq!(outcome.refusal().1, "filter_error");
}

#[test]
fn bytes_where_text_is_asked_for_are_the_senders_fault() {
    let outcome = tester().request(TestRequest::get("/").header("x-do", [0xff]));
    assert_eq!(outcome.refusal().0, 400);
    let outcome = tester().response(TestResponse::new(200).header("x-text", [0xff]));
    assert_eq!(outcome.refusal().0, 502);
}

#[test]
fn no_answer_of_the_host_panics_or_lets_the_request_pass() {
    for call in ["proxy_get_header_map_pairs", "proxy_replace_header_map_value", "proxy_add_header_map_value"]
    {
        for status in [Status::InternalFailure, Status::BadArgument, Status::Other(99)] {
            let outcome =
                tester().refusing(call, status).request(TestRequest::get("/").header("x-do", "edit"));
            assert_eq!(outcome.refusal().0, 503, "{call} {status}");
        }
    }
    for call in ["proxy_http_call", "clock_time_get", "proxy_set_tick_period_milliseconds"] {
        let mut tester = tester().refusing(call, Status::InternalFailure);
        let outcome = tester.request(TestRequest::get("/").header("x-do", "chain"));
        assert_ne!(outcome.verdict, Verdict::Held, "{call}");
    }
    let silent = tester().refusing("proxy_log", Status::InternalFailure).request(TestRequest::get("/"));
    assert_eq!(silent.verdict, Verdict::Continued);
}

#[test]
fn a_client_is_never_left_waiting_while_the_host_offers_a_way_out() {
    let mut tester = tester().refusing("proxy_send_local_response", Status::InternalFailure);
    assert_eq!(tester.request(TestRequest::get("/").header("x-do", "reply")).verdict, Verdict::Closed);
    let mut tester = tester.refusing("proxy_close_stream", Status::Unimplemented);
    assert_eq!(tester.request(TestRequest::get("/").header("x-do", "reply")).verdict, Verdict::Held);
}

#[test]
fn a_configuration_for_a_filter_without_one_is_refused() {
    let error = Tester::<Scripted>::new(r#"{"x": 1}"#).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "configuration: this filter has none; leave it out");
    assert!(Tester::<Scripted>::new(" {} ").is_ok());
}
