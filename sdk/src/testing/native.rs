//! Runs a filter in the test's own process.

use std::cell::RefCell;
use std::rc::Rc;

use super::Runner;
use super::protocol::{Answered, Callback, Op, ROOT};
use crate::filter::Filter;
use crate::host::native::{self, Process, State};
use crate::vm::Vm;

pub(super) struct Native<F> {
    workers: Vec<Worker<F>>,
    process: Rc<RefCell<Process>>,
}

struct Worker<F> {
    vm: Vm<F>,
    state: State,
    next_stream: u32,
}

impl<F: Filter> Native<F> {
    pub(super) fn new() -> Self {
        Self { workers: Vec::new(), process: Rc::default() }
    }

    fn start(&mut self, state: State) -> Answered {
        let mut worker = Worker { vm: Vm::new(), state, next_stream: ROOT + 1 };
        let accepted = worker.run(|vm| {
            vm.initialize();
            vm.on_context_create(ROOT, 0);
            vm.on_configure(ROOT)
        });
        let answered = if accepted == 0 {
            let logs = std::mem::take(&mut worker.state.logs);
            Answered::Refused { logs: logs.into_iter().map(|(level, line)| (level as u32, line)).collect() }
        } else {
            worker.called(0)
        };
        self.workers.push(worker);
        answered
    }
}

impl<F: Filter> Runner for Native<F> {
    fn perform(&mut self, worker: usize, op: Op) -> Answered {
        if let Op::Start { configuration, properties, upstreams, now_ns } = op {
            let state = State {
                configuration,
                properties: properties.into_iter().collect(),
                upstreams,
                now_ns,
                process: self.process.clone(),
                effective: ROOT,
                ..State::default()
            };
            return self.start(state);
        }
        let worker = &mut self.workers[worker];
        let state = &mut worker.state;
        match op {
            Op::Start { .. } => {}
            Op::SetNow(now_ns) => state.now_ns = now_ns,
            Op::CreateStream => {
                let id = worker.next_stream;
                worker.next_stream += 1;
                worker.state.streams.insert(id, native::StreamState::default());
                worker.run(|vm| vm.on_context_create(id, ROOT));
                return Answered::Stream(id);
            }
            Op::SetMap(stream, map, Some(headers)) => {
                state.streams.entry(stream).or_default().maps.insert(map, headers);
            }
            Op::SetMap(stream, map, None) => {
                state.streams.entry(stream).or_default().maps.remove(&map);
            }
            Op::SetBody(stream, buffer, Some(body)) => {
                state.streams.entry(stream).or_default().bodies.insert(buffer, body);
            }
            Op::SetBody(stream, buffer, None) => {
                state.streams.entry(stream).or_default().bodies.remove(&buffer);
            }
            Op::SetProperty(stream, path, value) => {
                state.streams.entry(stream).or_default().properties.insert(path, value);
            }
            Op::Refuse(call, status) => drop(state.refusals.insert(call, status)),
            Op::Map(stream, map) => {
                let maps = state.streams.get(&stream).map(|stream| &stream.maps);
                return Answered::Map(maps.and_then(|maps| maps.get(&map)).cloned().unwrap_or_default());
            }
            Op::Body(stream, buffer) => {
                let bodies = state.streams.get(&stream).map(|stream| &stream.bodies);
                let body = bodies.and_then(|bodies| bodies.get(&buffer)).cloned();
                return Answered::Bytes(body.unwrap_or_default());
            }
            Op::Shared(key) => {
                let value = self.process.borrow().shared.get(&key).map(|(value, _)| value.clone());
                return Answered::Shared(value);
            }
            Op::Metrics => {
                let metrics = &self.process.borrow().metrics;
                let named = metrics.iter().map(|(_, name, value)| (name.clone(), *value));
                return Answered::Metrics(named.collect());
            }
            Op::Call(callback) => return worker.call(callback),
        }
        Answered::Done
    }
}

impl<F: Filter> Worker<F> {
    fn call(&mut self, callback: Callback) -> Answered {
        let phases = F::PHASES;
        let end = u32::from;
        let verdict = match callback {
            Callback::Headers(id, map, eos) => self.of_stream(id, |vm| match map {
                0 => vm.on_request_headers(id, end(eos)),
                _ => vm.on_response_headers(id, end(eos)),
            }),
            Callback::Body(id, 0, ..) | Callback::Trailers(id, 1)
                if !(phases.reads_request || phases.streams_request) =>
            {
                self.of_stream(id, |_| 0)
            }
            Callback::Body(id, 1, ..) | Callback::Trailers(id, 3)
                if !(phases.reads_response || phases.streams_response) =>
            {
                self.of_stream(id, |_| 0)
            }
            Callback::Body(id, 0, size, eos) => {
                self.of_stream(id, |vm| vm.on_request_body(id, size, end(eos)))
            }
            Callback::Body(id, _, size, eos) => {
                self.of_stream(id, |vm| vm.on_response_body(id, size, end(eos)))
            }
            Callback::Trailers(id, 1) => self.of_stream(id, |vm| vm.on_request_trailers(id)),
            Callback::Trailers(id, _) => self.of_stream(id, |vm| vm.on_response_trailers(id)),
            Callback::CallAnswered(token, answer) => {
                let (size, trailers) = (answer.body.len(), u32::from(!answer.trailers.is_empty()));
                self.state.answer = Some(answer);
                let verdict = self.of_stream(ROOT, |vm| {
                    vm.on_http_call_response(ROOT, token, size, trailers);
                    0
                });
                self.state.answer = None;
                verdict
            }
            Callback::Tick => self.of_stream(ROOT, |vm| {
                vm.on_tick(ROOT);
                0
            }),
            Callback::Finish(id) => {
                let verdict = self.of_stream(id, |vm| {
                    vm.on_log(id);
                    vm.on_delete(id);
                    0
                });
                self.state.streams.remove(&id);
                verdict
            }
        };
        self.called(verdict)
    }

    fn called(&mut self, verdict: u32) -> Answered {
        let logs = std::mem::take(&mut self.state.logs);
        Answered::Called {
            pause: verdict != 0,
            effects: std::mem::take(&mut self.state.effects),
            logs: logs.into_iter().map(|(level, line)| (level as u32, line)).collect(),
            trap: None,
        }
    }

    fn of_stream(&mut self, context: u32, callback: impl FnOnce(&Vm<F>) -> u32) -> u32 {
        self.state.effective = context;
        self.run(callback)
    }

    fn run<T>(&mut self, callback: impl FnOnce(&Vm<F>) -> T) -> T {
        let (result, state) = native::run(std::mem::take(&mut self.state), || callback(&self.vm));
        self.state = state;
        result
    }
}
