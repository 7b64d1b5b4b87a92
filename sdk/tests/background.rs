//! Initialization that waits, work beside requests, and bodies that pass in pieces.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use gateway_sdk::prelude::*;
use gateway_sdk::testing::{CallAnswer, TestHost, TestRequest, TestResponse, Tester, Verdict};

/// Fetches a word before it serves, and again each minute.
struct Keeper {
    word: RefCell<String>,
    refreshed: Cell<u32>,
}

#[filter(module = false)]
impl Filter for Keeper {
    type Config = NoConfig;

    async fn init(_: NoConfig, cx: &Context) -> Result<Self> {
        let word = cx.http("keys").get("/first").send().await?.text()?;
        Ok(Self { word: RefCell::new(word), refreshed: Cell::new(0) })
    }

    async fn on_request(&self, request: &mut Request, _cx: &Context) -> Result<Flow> {
        request.headers_mut().set("x-word", self.word.borrow().as_str())?;
        Ok(Flow::Continue)
    }

    async fn background(&self, cx: &Context) -> Result<()> {
        let refresh = async || {
            if self.refreshed.get() > 0 {
                let word = cx.http("keys").get("/next").send().await?.text()?;
                self.word.replace(word);
            }
            self.refreshed.set(self.refreshed.get() + 1);
            Ok(())
        };
        cx.every(Duration::from_secs(60), refresh).await
    }
}

fn keeper(first: CallAnswer) -> Tester<Keeper> {
    let mut next = 0;
    let host = TestHost::new().on_call("keys", move |call| match call.header(":path").as_str() {
        "/first" => first.clone(),
        _ => {
            next += 1;
            if next == 2 { CallAnswer::new(500) } else { CallAnswer::new(200).body(format!("next {next}")) }
        }
    });
    host.start("").expect("no configuration is needed")
}

#[test]
fn requests_wait_for_an_initialization_that_waits() {
    let mut tester = keeper(CallAnswer::new(200).body("one").after(Duration::from_secs(2)));
    let outcome = tester.request(TestRequest::get("/"));
    assert_eq!(outcome.verdict, Verdict::Continued, "{:?}", outcome.logs);
    assert_eq!(outcome.header_values("x-word"), ["one"]);
    assert!((2_000..2_010).contains(&outcome.took.as_millis()), "{:?}", outcome.took);
    assert_eq!(tester.request(TestRequest::get("/")).took, Duration::ZERO);
}

#[test]
fn they_wait_five_seconds_at_most() {
    let mut tester = keeper(CallAnswer::new(200).body("one").after(Duration::from_millis(5_000)));
    tester.advance(Duration::from_secs(1));
    assert_eq!(tester.request(TestRequest::get("/")).header_values("x-word"), ["one"]);

    let mut tester = keeper(CallAnswer::new(500).after(Duration::from_millis(10)));
    let outcome = tester.request(TestRequest::get("/"));
    assert_eq!(outcome.refusal(), (503, "filter_failed"));
    let lines: Vec<&str> = outcome.logs.iter().map(|(_, line)| line.as_str()).collect();
    let expected = [
        "the filter cannot be initialized: upstream `keys` answered 500",
        "filter failed: the filter is not initialized; its earlier log lines say why",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn background_work_goes_on_when_it_fails_once() {
    let mut tester = keeper(CallAnswer::new(200).body("one"));
    let mut words = Vec::new();
    for _ in 0..4 {
        let outcome = tester.request(TestRequest::get("/"));
        words.extend(outcome.header_values("x-word"));
        tester.advance(Duration::from_secs(61));
    }
    assert_eq!(words, ["one", "next 1", "next 1", "next 3"]);
    let failed = tester.take_logs().into_iter().map(|(_, line)| line);
    let expected = "background work failed, next attempt in 60000 ms: upstream `keys` answered 500";
    assert_eq!(failed.collect::<Vec<_>>(), [expected]);
}

/// Counts a request's bytes, and turns a response's into upper case.
struct Pieces;

#[filter(rewrites_response_body, module = false)]
impl Filter for Pieces {
    type Config = NoConfig;

    async fn init(_: NoConfig, _cx: &Context) -> Result<Self> {
        Ok(Self)
    }

    async fn on_request_body(&self, body: &mut BodyStream, cx: &Context) -> Result<()> {
        let mut sizes = Vec::new();
        while let Some(piece) = body.observe().await {
            if piece == b"wait" {
                cx.sleep(Duration::from_millis(5)).await?;
            }
            if piece == b"take" {
                body.take().await?;
            }
            sizes.push(piece.len());
        }
        gateway_sdk::log::info!("pieces of {sizes:?}");
        Ok(())
    }

    async fn on_response_body(&self, body: &mut BodyStream, _cx: &Context) -> Result<()> {
        while let Some(piece) = body.take().await? {
            if piece == b"rest as it is" {
                body.write(&piece)?;
                return Ok(());
            }
            if piece == b"bad" {
                return Err(Error::new("a bad piece"));
            }
            body.write(piece.to_ascii_uppercase())?;
        }
        body.write("!")
    }
}

fn pieces() -> Tester<Pieces> {
    Tester::new("").expect("no configuration is needed")
}

#[test]
fn observed_pieces_pass_as_they_are() {
    let outcome = pieces().request(TestRequest::new("POST", "/").body("abc").body("de"));
    assert_eq!((outcome.verdict, outcome.body.as_slice()), (Verdict::Continued, &b"abcde"[..]));
    assert_eq!(outcome.logs[0].1, "pieces of [3, 2]");
    let request = TestRequest::new("POST", "/").body("wait").body("de").trailer("x", "y");
    let outcome = pieces().request(request);
    assert_eq!((outcome.verdict, outcome.body.as_slice()), (Verdict::Continued, &b"waitde"[..]));
    assert_eq!(outcome.logs[0].1, "pieces of [4, 2]");
    let outcome = pieces().request(TestRequest::new("POST", "/").body("abc").body("wait"));
    assert_eq!((outcome.verdict, outcome.body.as_slice()), (Verdict::Continued, &b"abcwait"[..]));
}

#[test]
fn pieces_are_taken_only_where_that_is_declared() {
    let outcome = pieces().request(TestRequest::new("POST", "/").body("take").body("de"));
    assert_eq!(outcome.refusal(), (503, "filter_failed"));
    assert!(outcome.logs[0].1.contains("rewrites_request_body"), "{:?}", outcome.logs);
}

#[test]
fn written_bytes_take_the_place_of_those_that_were_taken() {
    let response = TestResponse::new(200).header("content-length", "5").body("abc").body("de");
    let outcome = pieces().response(response);
    assert_eq!((outcome.verdict.clone(), outcome.body.as_slice()), (Verdict::Continued, &b"ABCDE!"[..]));
    assert!(outcome.header_values("content-length").is_empty(), "the length holds no more");
    let outcome = pieces().response(TestResponse::new(200).body("abc").body("rest as it is").body("de"));
    assert_eq!(outcome.body, b"ABCrest as it isde");
    let outcome = pieces().response(TestResponse::new(200).body("abc").body("bad").body("de"));
    assert_eq!(outcome.refusal(), (503, "filter_failed"));
}
