//! Values that are fetched once for everybody.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gateway_sdk::Cache;
use gateway_sdk::prelude::*;
use gateway_sdk::testing::{CallAnswer, TestHost, TestRequest, Tester};

/// Looks its caller up, for ten seconds each.
struct Lookup {
    cache: Cache<String>,
}

#[derive(serde::Deserialize)]
struct Settings {
    slots: u32,
}

#[filter(module = false)]
impl Filter for Lookup {
    type Config = Settings;

    async fn init(settings: Settings, _cx: &Context) -> Result<Self> {
        Ok(Self { cache: Cache::new("users").slots(settings.slots).load_within(Duration::from_secs(1)) })
    }

    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let user = request.headers().get_str("x-user")?.unwrap_or_default().to_owned();
        let load = async || {
            Ok(cx
                .http("users")
                .get(&format!("/{user}"))
                .timeout(Duration::from_secs(9))
                .send()
                .await?
                .text()?)
        };
        let known = self.cache.get_or_load(cx, &user, Duration::from_secs(10), load).await?;
        request.headers_mut().set("x-known", known)?;
        Ok(Flow::Continue)
    }
}

/// A tester, and how often the upstream was called.
fn lookup(slots: u32, answer: impl Fn(u32) -> CallAnswer + 'static) -> (Tester<Lookup>, Rc<Cell<u32>>) {
    let calls = Rc::new(Cell::new(0));
    let counted = calls.clone();
    let host = TestHost::new().on_call("users", move |_| {
        counted.set(counted.get() + 1);
        answer(counted.get())
    });
    (host.start(&format!("{{\"slots\": {slots}}}")).expect("a legal configuration"), calls)
}

fn ask(tester: &mut Tester<Lookup>, user: &str) -> Vec<String> {
    tester.request(TestRequest::get("/").header("x-user", user)).header_values("x-known")
}

fn numbered(number: u32) -> CallAnswer {
    CallAnswer::new(200).body(format!("answer {number}")).after(Duration::from_millis(50))
}

#[test]
fn a_value_is_fetched_once_for_all_workers_and_again_when_its_time_is_over() {
    let (mut tester, calls) = lookup(1_024, numbered);
    assert_eq!(ask(&mut tester, "ann"), ["answer 1"]);
    tester.add_worker().expect("a second worker");
    assert_eq!(ask(&mut tester, "ann"), ["answer 1"]);
    assert_eq!(ask(&mut tester, "bob"), ["answer 2"]);
    assert_eq!(calls.get(), 2);
    tester.advance(Duration::from_secs(11));
    assert_eq!(ask(&mut tester, "ann"), ["answer 3"]);
    assert_eq!(calls.get(), 3);
}

#[test]
fn a_failure_is_told_and_not_kept() {
    let (mut tester, calls) =
        lookup(1_024, |number| if number == 1 { CallAnswer::new(500) } else { numbered(number) });
    let failed = tester.request(TestRequest::get("/").header("x-user", "ann"));
    assert_eq!(failed.refusal(), (503, "filter_failed"));
    assert_eq!(ask(&mut tester, "ann"), ["answer 2"]);
    assert_eq!(calls.get(), 2);
}

#[test]
fn a_fetch_that_takes_too_long_fails_and_makes_way() {
    let slow = |number| {
        CallAnswer::new(200).body(format!("answer {number}")).after(Duration::from_secs(if number == 1 {
            5
        } else {
            0
        }))
    };
    let (mut tester, _) = lookup(1_024, slow);
    let failed = tester.request(TestRequest::get("/").header("x-user", "ann"));
    assert_eq!(failed.refusal(), (503, "filter_failed"));
    assert!((1_000..1_010).contains(&failed.took.as_millis()), "{:?}", failed.took);
    assert_eq!(ask(&mut tester, "ann"), ["answer 2"]);
}

#[test]
fn keys_with_the_same_slot_displace_each_other_and_are_never_mixed_up() {
    let (mut tester, calls) = lookup(1, numbered);
    for round in 0..3 {
        assert_eq!(ask(&mut tester, "ann"), [format!("answer {}", 2 * round + 1)]);
        assert_eq!(ask(&mut tester, "bob"), [format!("answer {}", 2 * round + 2)]);
    }
    assert_eq!(calls.get(), 6);
}

/// Two requests of the same instance, the first of which leaves.
struct Pair {
    cache: Cache<String>,
    log: RefCell<Vec<String>>,
}

#[filter(module = false)]
impl Filter for Pair {
    type Config = NoConfig;

    async fn init(_: NoConfig, _cx: &Context) -> Result<Self> {
        Ok(Self { cache: Cache::new("pair"), log: RefCell::default() })
    }

    /// Many at once, in one request: what one instance has on its hands under load.
    async fn on_request(&self, request: &mut Request, cx: &Context) -> Result<Flow> {
        let load = async || Ok(cx.http("users").get("/").send().await?.text()?);
        let long = Duration::from_secs(10);
        let one = || self.cache.get_or_load(cx, "k", long, load);
        // The first is given up while it fetches; the others must not wait for it in vain.
        let first = gateway_sdk::race(one(), cx.sleep(Duration::from_millis(10)));
        let others = gateway_sdk::join_all((0..20).map(|_| one()));
        let (_, others) = gateway_sdk::join(first, others).await;
        for other in others {
            self.log.borrow_mut().push(other?);
        }
        request.headers_mut().set("x-known", self.log.borrow().join(","))?;
        Ok(Flow::Continue)
    }
}

#[test]
fn whoever_waits_goes_on_when_the_one_who_fetched_has_left() {
    let calls = Rc::new(Cell::new(0));
    let counted = calls.clone();
    let host = TestHost::new().on_call("users", move |_| {
        counted.set(counted.get() + 1);
        numbered(counted.get())
    });
    let mut tester = host.start::<Pair>("").expect("no configuration is needed");
    let outcome = tester.request(TestRequest::get("/"));
    assert_eq!(outcome.header_values("x-known"), [["answer 2"; 20].join(",")], "{:?}", outcome.logs);
    assert_eq!(calls.get(), 2);
}
