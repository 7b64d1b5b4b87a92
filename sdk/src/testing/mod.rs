//! Runs a filter without a proxy: build a request, script the answers to callouts, run, look at the verdict, the edited
//! message and the log. Time stands still but for what the filter waits for.
//!
//! Natively by default. With the path of a compiled module in `GATEWAY_SDK_WASM`, and of a program that runs it in
//! `GATEWAY_SDK_HOST`, the same tests run on that module in the gateway's own host.
//!
//! Owns the test's side: what a proxy would do with a message, a callout, a tick. It must never know the filter.

mod message;
mod native;
mod passage;
#[doc(hidden)]
pub mod protocol;
mod remote;
mod schedule;

use std::io::{BufRead, Write};
use std::marker::PhantomData;
use std::time::Duration;

use crate::error::Status;
use crate::filter::Filter;
use crate::host::LogLevel;

pub use message::{CallAnswer, Exchanged, Outcome, TestRequest, TestResponse, Verdict};
pub use protocol::{SentCall, SentReply};

use passage::{Passage, StreamEvents};
use protocol::{Answered, Callback, Op};
use schedule::{Schedule, Script};

/// A configured filter under test.
pub struct Tester<F> {
    runner: Box<dyn Runner>,
    schedule: Schedule,
    streams: Vec<StreamEvents>,
    configuration: Vec<u8>,
    properties: Vec<(Vec<u8>, Vec<u8>)>,
    logs: Vec<(LogLevel, String)>,
    worker: usize,
    filter: PhantomData<F>,
}

/// What a filter finds around itself: upstreams to call, and properties.
#[derive(Default)]
pub struct TestHost {
    scripts: Vec<(String, Script)>,
    properties: Vec<(Vec<u8>, Vec<u8>)>,
    remote: Option<remote::Remote>,
}

impl TestHost {
    /// With nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// An upstream, and how it answers.
    #[must_use]
    pub fn on_call(mut self, upstream: &str, answer: impl FnMut(&SentCall) -> CallAnswer + 'static) -> Self {
        self.scripts.push((upstream.to_owned(), Box::new(answer)));
        self
    }

    /// A property of the plugin.
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        self.properties.push((path.join("\0").into(), value.as_ref().into()));
        self
    }

    /// Whoever runs the compiled module, at the other end: `gateway-sdk-testing`'s `serve`, in the same version.
    #[must_use]
    pub fn over(mut self, requests: impl Write + 'static, answers: impl BufRead + 'static) -> Self {
        self.remote = Some(remote::Remote::new(Box::new(requests), Box::new(answers)));
        self
    }

    /// Configures the filter.
    ///
    /// # Errors
    /// The filter refuses the configuration.
    pub fn start<F: Filter>(self, config: &str) -> Result<Tester<F>, Refused> {
        let mut schedule = Schedule::new(START);
        for (upstream, script) in self.scripts {
            schedule.script(&upstream, script);
        }
        let given = self.remote.map(|remote| Box::new(remote) as Box<dyn Runner>);
        let asked_for = given.or_else(remote::from_environment);
        let mut tester = Tester {
            runner: asked_for.unwrap_or_else(|| Box::new(native::Native::<F>::new())),
            schedule,
            streams: Vec::new(),
            configuration: config.into(),
            properties: self.properties,
            logs: Vec::new(),
            worker: 0,
            filter: PhantomData,
        };
        tester.start_worker()?;
        Ok(tester)
    }
}

/// The filter does not accept its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .logs.last().map_or("refused without a reason", |(_, line)| line.as_str()))]
pub struct Refused {
    /// What it logged; the last line is the reason.
    pub logs: Vec<(LogLevel, String)>,
}

/// Where a filter runs.
trait Runner {
    /// One thing to do, on one worker.
    fn perform(&mut self, worker: usize, op: Op) -> Answered;
}

/// The clocks' value when a test starts: 2026-01-01T00:00:00Z.
pub const START: Duration = Duration::from_secs(1_767_225_600);

impl<F: Filter> Tester<F> {
    /// Configures the filter, as a host does, without upstreams to call; with them, see [`TestHost`].
    ///
    /// # Errors
    /// The filter refuses the configuration.
    pub fn new(config: &str) -> Result<Self, Refused> {
        TestHost::new().start(config)
    }

    /// Whether the filter runs in this process rather than as a compiled module.
    pub fn is_native() -> bool {
        !remote::is_asked_for()
    }

    /// From now on callouts to an upstream of the [`TestHost`] are answered like this.
    ///
    /// # Panics
    /// The host was made without that upstream.
    pub fn on_call(&mut self, upstream: &str, answer: impl FnMut(&SentCall) -> CallAnswer + 'static) {
        assert!(self.schedule.knows(upstream), "start the TestHost with the upstream `{upstream}`");
        self.schedule.script(upstream, Box::new(answer));
    }

    /// From now on the host answers this call, such as `proxy_replace_header_map_value`, with `status`. A compiled
    /// module does not notice: ask [`Self::is_native`] first.
    #[must_use]
    pub fn refusing(mut self, call: &str, status: Status) -> Self {
        self.perform(Op::Refuse(call.to_owned(), status.code()));
        self
    }

    /// Starts one more worker, which shares data and metrics with the others, and goes on with it.
    ///
    /// # Errors
    /// The filter refuses the configuration.
    pub fn add_worker(&mut self) -> Result<usize, Refused> {
        self.worker = self.schedule.workers();
        self.start_worker().map(|()| self.worker)
    }

    /// Goes on with this worker; the first one is 0.
    pub const fn switch_to(&mut self, worker: usize) {
        self.worker = worker;
    }

    /// Runs the request's phases on a stream of its own.
    pub fn request(&mut self, request: TestRequest) -> Outcome {
        self.stream().request(request)
    }

    /// Runs the response's phases on a stream of its own.
    pub fn response(&mut self, response: TestResponse) -> Outcome {
        self.stream().response(response)
    }

    /// Runs a whole exchange: the request, the response if the request goes on, and the log phase.
    pub fn exchange(&mut self, request: TestRequest, response: TestResponse) -> Exchanged {
        self.stream().exchange(request, response)
    }

    /// A stream, for tests that look in between.
    pub fn stream(&mut self) -> TestStream<'_, F> {
        let Answered::Stream(id) = self.perform(Op::CreateStream) else { unexpected("a stream") };
        let worker = self.worker;
        let index = self.streams.len();
        self.streams.push(StreamEvents::new(worker, id));
        TestStream { tester: self, index, request: None, response: None }
    }

    /// Lets time pass: ticks and answers that fall into it are delivered.
    pub fn advance(&mut self, time: Duration) {
        let end = self.schedule.now() + time;
        while let Some((worker, callback)) = self.schedule.next_until(end) {
            self.deliver(worker, callback);
        }
        self.set_now(end);
    }

    /// What was logged since the last time this was asked.
    pub fn take_logs(&mut self) -> Vec<(LogLevel, String)> {
        std::mem::take(&mut self.logs)
    }

    /// The value of a metric; the sum of its records if it is a histogram.
    pub fn metric(&mut self, name: &str) -> Option<u64> {
        let found = self.metrics().into_iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value)
    }

    /// All metrics by name.
    pub fn metrics(&mut self) -> Vec<(String, u64)> {
        let Answered::Metrics(metrics) = self.perform(Op::Metrics) else { unexpected("metrics") };
        metrics
    }

    /// A shared value.
    pub fn shared(&mut self, key: &str) -> Option<Vec<u8>> {
        let answered = self.perform(Op::Shared(key.into()));
        let Answered::Shared(value) = answered else { unexpected("a shared value") };
        value
    }

    fn start_worker(&mut self) -> Result<(), Refused> {
        self.schedule.add_worker();
        let op = Op::Start {
            configuration: self.configuration.clone(),
            properties: self.properties.clone(),
            upstreams: self.schedule.upstreams(),
            now_ns: nanoseconds(self.schedule.now()),
        };
        match self.perform(op) {
            Answered::Refused { logs } => Err(Refused { logs: levels(logs) }),
            called => {
                self.take_up(self.worker, called);
                Ok(())
            }
        }
    }

    fn perform(&mut self, op: Op) -> Answered {
        self.runner.perform(self.worker, op)
    }

    fn set_now(&mut self, now: Duration) {
        self.schedule.set_now(now);
        for worker in 0..self.schedule.workers() {
            self.runner.perform(worker, Op::SetNow(nanoseconds(now)));
        }
    }

    /// Calls the filter; whether it holds the message.
    fn call(&mut self, worker: usize, callback: Callback) -> bool {
        let called = self.runner.perform(worker, Op::Call(callback));
        self.take_up(worker, called)
    }

    /// Delivers the next answer or tick before `end`; false if there is none.
    fn wait(&mut self, end: Duration) -> bool {
        let Some((worker, callback)) = self.schedule.next_until(end) else { return false };
        self.deliver(worker, callback);
        true
    }

    fn deliver(&mut self, worker: usize, callback: Callback) {
        self.set_now(self.schedule.now());
        self.call(worker, callback);
    }

    fn take_up(&mut self, worker: usize, called: Answered) -> bool {
        let Answered::Called { pause, effects, logs, trap } = called else { unexpected("a verdict") };
        self.logs.extend(levels(logs));
        for effect in effects {
            match effect {
                protocol::Effect::Call { token, call } => self.schedule.called(worker, token, &call),
                protocol::Effect::TickPeriod(period) => self.schedule.set_tick(worker, period),
                of_stream => StreamEvents::take_up(&mut self.streams, worker, of_stream),
            }
        }
        if let Some(trap) = trap {
            StreamEvents::trapped(&mut self.streams, worker, &trap);
        }
        pause
    }
}

/// One request and its response.
pub struct TestStream<'a, F> {
    tester: &'a mut Tester<F>,
    index: usize,
    request: Option<crate::host::Pairs>,
    response: Option<crate::host::Pairs>,
}

impl<F: Filter> TestStream<'_, F> {
    /// Runs the request's phases.
    pub fn request(&mut self, request: TestRequest) -> Outcome {
        for (path, value) in &request.properties {
            let id = self.tester.streams[self.index].id;
            self.tester.perform(Op::SetProperty(id, path.clone(), value.clone()));
        }
        let outcome = Passage::request(request.message).run(self.tester, self.index);
        self.request = Some(outcome.headers.clone());
        outcome
    }

    /// Runs the response's phases.
    pub fn response(&mut self, response: TestResponse) -> Outcome {
        let outcome = Passage::response(response.message).run(self.tester, self.index);
        self.response = Some(outcome.headers.clone());
        outcome
    }

    /// The client is gone, or everything is over: log, done, delete.
    pub fn finish(self) {
        let id = self.tester.streams[self.index].id;
        let worker = self.tester.streams[self.index].worker;
        self.tester.runner.perform(worker, Op::SetMap(id, 0, self.request));
        self.tester.runner.perform(worker, Op::SetMap(id, 2, self.response));
        self.tester.call(worker, Callback::Finish(id));
    }

    fn exchange(mut self, request: TestRequest, response: TestResponse) -> Exchanged {
        let request = self.request(request);
        // A filter sees its own reply as a response, as in every host.
        let response = match &request.verdict {
            Verdict::Continued => Some(self.response(response)),
            Verdict::Replied(reply) => {
                let own = TestResponse::of_reply(reply);
                self.response(own);
                None
            }
            _ => None,
        };
        self.finish();
        Exchanged { request, response }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn levels(logs: Vec<(u32, String)>) -> Vec<(LogLevel, String)> {
    let level = |(level, line)| (LogLevel::from_number(level).unwrap_or(LogLevel::Critical), line);
    logs.into_iter().map(level).collect()
}

/// The runner is ours; a test may end here.
fn unexpected(what: &str) -> ! {
    panic!("the program that runs the filter did not answer with {what}")
}
