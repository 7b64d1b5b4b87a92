//! Owns one worker's instance of the module and the streams that the test made on it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use gateway_sdk::testing::protocol::{self as test, Answered, Callback, Op};
use proxy_wasm_host::fake::{FakeServices, FakeStream};
use proxy_wasm_host::{
    Action, CallAnswer, CallError, CallToken, ContextId, Direction, Effect, Plugin, StreamBuffer, StreamMap,
};

pub(crate) struct Worker {
    plugin: Plugin,
    services: Rc<FakeServices>,
    streams: HashMap<u32, Rc<RefCell<FakeStream>>>,
}

impl Worker {
    pub(crate) fn new(plugin: Plugin, services: Rc<FakeServices>) -> Self {
        Self { plugin, services, streams: HashMap::new() }
    }

    pub(crate) fn perform(&mut self, op: Op) -> Answered {
        match op {
            // A host cannot be made to refuse here; tests ask before.
            Op::Start { .. } | Op::Refuse(..) => {}
            Op::SetNow(now_ns) => self.services.now_ns.set(now_ns),
            Op::CreateStream => return self.create_stream(),
            Op::SetMap(stream, map, headers) => {
                self.with(stream, |stream| stream.maps[slot(map, 4)] = headers);
            }
            Op::SetBody(stream, buffer, body) => {
                self.with(stream, |stream| stream.bodies[slot(buffer, 2)] = body);
            }
            Op::SetProperty(stream, path, value) => {
                let path = String::from_utf8_lossy(&path).replace('\0', ".");
                self.with(stream, |stream| drop(stream.properties.insert(path, value)));
            }
            Op::Map(stream, map) => {
                let headers = self.with(stream, |stream| stream.maps[slot(map, 4)].clone());
                return Answered::Map(headers.flatten().unwrap_or_default());
            }
            Op::Body(stream, buffer) => {
                let body = self.with(stream, |stream| stream.bodies[slot(buffer, 2)].clone());
                return Answered::Bytes(body.flatten().unwrap_or_default());
            }
            Op::Shared(key) => {
                let shared = self.services.shared.borrow();
                return Answered::Shared(shared.get(&key).map(|value| value.bytes.clone()));
            }
            Op::Metrics => return self.metrics(),
            Op::Call(callback) => {
                let result = self.call(callback);
                return self.called(result);
            }
        }
        Answered::Done
    }

    /// What a call came to, and everything that the filter asked for in it.
    pub(crate) fn called(&mut self, result: Result<bool, CallError>) -> Answered {
        let mut effects = Vec::new();
        while let Some(effect) = self.plugin.next_effect() {
            effects.extend(translated(effect));
        }
        let (pause, trap) = match result {
            Ok(pause) => (pause, None),
            Err(error) => (true, Some(error.to_string())),
        };
        Answered::Called { pause, effects, logs: take_logs(&self.services), trap }
    }

    fn create_stream(&mut self) -> Answered {
        let stream = Rc::new(RefCell::new(FakeStream::default()));
        match self.plugin.create_stream(stream.clone()) {
            Ok(ContextId(id)) => {
                self.streams.insert(id, stream);
                Answered::Stream(id)
            }
            Err(error) => self.called(Err(error)),
        }
    }

    fn call(&mut self, callback: Callback) -> Result<bool, CallError> {
        let plugin = &mut self.plugin;
        let action = match callback {
            Callback::Headers(id, map, end) => {
                let count = self
                    .streams
                    .get(&id)
                    .and_then(|stream| stream.borrow().maps[slot(map, 4)].as_ref().map(Vec::len));
                let count = count.unwrap_or_default();
                if map == StreamMap::RequestHeaders as u32 {
                    plugin.on_request_headers(ContextId(id), count, end)?
                } else {
                    plugin.on_response_headers(ContextId(id), count, end)?
                }
            }
            Callback::Body(id, buffer, size, end) if buffer == StreamBuffer::RequestBody as u32 => {
                plugin.on_request_body(ContextId(id), size, end)?
            }
            Callback::Body(id, _, size, end) => plugin.on_response_body(ContextId(id), size, end)?,
            Callback::Trailers(id, map) if map == StreamMap::RequestTrailers as u32 => {
                plugin.on_request_trailers(ContextId(id), 1)?
            }
            Callback::Trailers(id, _) => plugin.on_response_trailers(ContextId(id), 1)?,
            Callback::CallAnswered(token, answer) => {
                let test::Answer { headers, body, trailers } = answer;
                let answer = CallAnswer { headers, body, trailers };
                plugin.on_http_call_response(CallToken(token), answer)?;
                Action::Continue
            }
            Callback::Tick => {
                plugin.on_tick()?;
                Action::Continue
            }
            Callback::Finish(id) => {
                self.streams.remove(&id);
                plugin.finish_stream(ContextId(id))?;
                Action::Continue
            }
        };
        Ok(action != Action::Continue)
    }

    fn metrics(&self) -> Answered {
        let mut sums: Vec<(String, u64)> = Vec::new();
        for (_, name, value) in self.services.metrics.borrow().iter() {
            match sums.iter_mut().find(|(other, _)| other == name) {
                Some((_, sum)) => *sum += value,
                None => sums.push((name.clone(), *value)),
            }
        }
        Answered::Metrics(sums)
    }

    fn with<T>(&self, stream: u32, act: impl FnOnce(&mut FakeStream) -> T) -> Option<T> {
        self.streams.get(&stream).map(|stream| act(&mut stream.borrow_mut()))
    }
}

pub(crate) fn take_logs(services: &FakeServices) -> Vec<(u32, String)> {
    let logs = services.logs.take();
    logs.into_iter().map(|(level, line)| (level as u32, line)).collect()
}

/// A number that a test made up is none of ours; the last place is as good as any.
fn slot(number: u32, places: usize) -> usize {
    (number as usize).min(places - 1)
}

fn translated(effect: Effect) -> Option<test::Effect> {
    Some(match effect {
        Effect::Resume { stream, direction } => {
            test::Effect::Resume { stream: stream.0, direction: u32::from(direction != Direction::Request) }
        }
        Effect::Close { stream, .. } => test::Effect::Close { stream: stream.0 },
        Effect::Fail { stream, reason } => {
            test::Effect::Fail { stream: stream.0, reason: String::from_utf8_lossy(&reason).into_owned() }
        }
        Effect::LocalReply { stream, reply } => test::Effect::Reply {
            stream: stream.0,
            reply: test::SentReply {
                status: reply.status.into(),
                details: String::from_utf8_lossy(&reply.details).into_owned(),
                headers: reply.headers,
                body: reply.body,
            },
        },
        Effect::HttpCall { token, call, .. } => test::Effect::Call {
            token: token.0,
            call: test::SentCall {
                upstream: call.upstream,
                headers: call.headers,
                body: call.body,
                timeout_milliseconds: milliseconds(call.timeout.unwrap_or(Duration::MAX)),
            },
        },
        Effect::TickPeriod(period) => {
            let period = period.map_or(0, milliseconds);
            test::Effect::TickPeriod(u32::try_from(period).unwrap_or(u32::MAX))
        }
        Effect::Done => return None,
    })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
