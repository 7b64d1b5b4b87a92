//! Callbacks into a plugin in any order, and what must hold after each of them.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm_host::{
    CallAnswer, CallError, CallToken, ContextId, Effect, Module, Plugin, PluginConfig, StartError,
    StreamBuffer, StreamMap,
};

use proxy_wasm_host::limits::FAILURE_BYTES;

use super::scripted::BROKEN;
use crate::stream::KitStream;
use crate::world::World;

/// Linear memory that a hostile guest may have.
pub(super) const MEMORY_BYTES: usize = 4 << 20;
/// Callouts that it may have without an answer.
pub(super) const PENDING_CALLS: usize = 8;
/// Streams at the same time.
const STREAMS: usize = 3;

/// One callback, or what leads to one. Those of streams are for the oldest, or the one after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    Create,
    RequestHeaders(usize),
    RequestBody(usize),
    RequestTrailers(usize),
    ResponseHeaders(usize),
    ResponseBody(usize),
    ResponseTrailers(usize),
    Finish(usize),
    Tick,
    QueueReady,
    Answer,
    Abort,
    Unknown,
    /// Another plugin in the same VM.
    Beside,
    /// The last one is dropped.
    Leave,
}

impl Event {
    /// What a stream sees that nobody disturbs, twice.
    pub(super) const ORDINARY: [Self; 16] = [
        Self::Create,
        Self::RequestHeaders(0),
        Self::RequestBody(0),
        Self::RequestTrailers(0),
        Self::Answer,
        Self::ResponseHeaders(0),
        Self::ResponseBody(0),
        Self::ResponseTrailers(0),
        Self::Tick,
        Self::QueueReady,
        Self::Finish(0),
        Self::Create,
        Self::RequestHeaders(0),
        Self::ResponseHeaders(0),
        Self::Finish(0),
        Self::Tick,
    ];

    pub(super) fn from_byte(byte: u8) -> Self {
        let stream = usize::from(byte >> 4) % STREAMS;
        match byte & 15 {
            0 | 15 => Self::Create,
            1 => Self::RequestHeaders(stream),
            2 => Self::RequestBody(stream),
            3 => Self::RequestTrailers(stream),
            4 => Self::ResponseHeaders(stream),
            5 => Self::ResponseBody(stream),
            6 => Self::ResponseTrailers(stream),
            7 => Self::Finish(stream),
            8 => Self::Tick,
            9 => Self::QueueReady,
            10 => Self::Answer,
            11 => Self::Abort,
            12 => Self::Unknown,
            13 => Self::Beside,
            _ => Self::Leave,
        }
    }
}

/// Starts a plugin and lets these events happen to it. A failed plugin is never called again, and stays in its limits;
/// effects concern streams that there are, and calls that it may make. Answers how many effects there were.
pub(super) fn drive(module: &Module, config: Arc<PluginConfig>, events: &[Event]) -> usize {
    let world = Rc::new(World::new(None));
    let plugin = match Plugin::start(module, config.clone(), world.clone()) {
        Ok(plugin) => plugin,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            if let StartError::Call(error) = &error {
                assert_no_broken_promise(error);
            }
            return 0;
        }
    };
    let mut driven = Driven {
        plugins: vec![plugin],
        config,
        world,
        streams: VecDeque::new(),
        pending: Vec::new(),
        seen: HashSet::new(),
        effects: 0,
    };
    driven.drain();
    for event in events {
        driven.step(*event);
    }
    while !driven.streams.is_empty() {
        driven.step(Event::Finish(0));
    }
    for plugin in &mut driven.plugins {
        plugin.shutdown();
    }
    driven.drain();
    let memory = driven.plugins[0].memory_bytes();
    assert!(memory <= MEMORY_BYTES, "{memory} bytes");
    driven.effects
}

/// A stream and the plugin that it belongs to, by number.
type Stream = (ContextId, usize);

struct Driven {
    /// One, and perhaps another in its VM.
    plugins: Vec<Plugin>,
    config: Arc<PluginConfig>,
    world: Rc<World>,
    streams: VecDeque<Stream>,
    pending: Vec<(CallToken, usize)>,
    /// Every context that there ever was.
    seen: HashSet<ContextId>,
    effects: usize,
}

impl Driven {
    fn step(&mut self, event: Event) {
        let had_failed = self.plugins[0].failed();
        let outcome = match event {
            Event::Create => self.create(),
            Event::RequestHeaders(n) => {
                self.on(n, |plugin, id| plugin.on_request_headers(id, 2, false).map(drop))
            }
            Event::RequestBody(n) => self.on(n, |plugin, id| plugin.on_request_body(id, 10, false).map(drop)),
            Event::RequestTrailers(n) => self.on(n, |plugin, id| plugin.on_request_trailers(id, 2).map(drop)),
            Event::ResponseHeaders(n) => {
                self.on(n, |plugin, id| plugin.on_response_headers(id, 2, false).map(drop))
            }
            Event::ResponseBody(n) => self.on(n, |plugin, id| plugin.on_response_body(id, 0, true).map(drop)),
            Event::ResponseTrailers(n) => {
                self.on(n, |plugin, id| plugin.on_response_trailers(id, 0).map(drop))
            }
            Event::Finish(n) => self.on(n, Plugin::finish_stream),
            Event::Tick => Some(self.plugins.iter_mut().try_for_each(Plugin::on_tick)),
            Event::QueueReady => {
                let queue = self.world.ready.borrow_mut().pop().unwrap_or(1);
                Some(self.plugins[0].on_queue_ready(queue))
            }
            Event::Answer => self.answer(answer()),
            Event::Abort => self.answer(CallAnswer::aborted()),
            Event::Unknown => Some(self.unknown()),
            Event::Beside => self.beside(),
            Event::Leave => {
                self.leave();
                None
            }
        };
        self.drain();
        if let Event::Finish(n) = event
            && let Some((id, _)) = nth(&self.streams, n)
        {
            self.streams.retain(|(other, _)| *other != id);
        }
        match outcome {
            Some(Err(CallError::UnknownContext(_))) | None => {}
            Some(Err(error)) => {
                assert!(self.plugins.iter().all(Plugin::failed), "{error}");
                assert!(!had_failed || error == CallError::Failed, "a failed VM was called: {error}");
                assert_no_broken_promise(&error);
            }
            Some(Ok(())) => assert!(!self.plugins[0].failed(), "{event:?} failed in silence"),
        }
    }

    fn on(
        &mut self,
        number: usize,
        call: impl FnOnce(&mut Plugin, ContextId) -> Result<(), CallError>,
    ) -> Option<Result<(), CallError>> {
        let (id, plugin) = nth(&self.streams, number)?;
        Some(call(&mut self.plugins[plugin], id))
    }

    fn create(&mut self) -> Option<Result<(), CallError>> {
        if self.streams.len() >= STREAMS {
            return None;
        }
        let plugin = self.streams.len() % self.plugins.len();
        let created = self.plugins[plugin].create_stream(Rc::new(RefCell::new(stream())));
        Some(created.map(|id| {
            assert!(self.seen.insert(id), "{id:?} was there before");
            self.streams.push_back((id, plugin));
        }))
    }

    fn answer(&mut self, answer: CallAnswer) -> Option<Result<(), CallError>> {
        let (token, plugin) = self.pending.pop()?;
        Some(self.plugins[plugin].on_http_call_response(token, answer))
    }

    fn beside(&mut self) -> Option<Result<(), CallError>> {
        if self.plugins.len() > 1 {
            return None;
        }
        match self.plugins[0].start_beside(self.config.clone(), self.world.clone()) {
            Ok(plugin) => self.plugins.push(plugin),
            Err(StartError::Call(error)) => return Some(Err(error)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        None
    }

    /// Its streams and callouts go with it.
    fn leave(&mut self) {
        if self.plugins.len() > 1 {
            self.plugins.pop();
            self.streams.retain(|(_, plugin)| *plugin == 0);
            self.pending.retain(|(_, plugin)| *plugin == 0);
        }
    }

    /// Contexts and calls that there are not.
    fn unknown(&mut self) -> Result<(), CallError> {
        let id = ContextId(1_000_000);
        assert!(self.plugins[0].on_request_headers(id, 0, true).is_err());
        self.plugins[0].on_http_call_response(CallToken(1_000_000), answer())?;
        self.plugins[0].on_queue_ready(1_000_000)
    }

    fn drain(&mut self) {
        for plugin in 0..self.plugins.len() {
            while let Some(effect) = self.plugins[plugin].next_effect() {
                self.effects += 1;
                self.check(plugin, effect);
            }
        }
    }

    fn check(&mut self, plugin: usize, effect: Effect) {
        match effect {
            Effect::Resume { stream, .. } | Effect::Close { stream, .. } => self.assert_alive(stream),
            Effect::Fail { stream, reason } => {
                self.assert_alive(stream);
                assert!(reason.len() <= FAILURE_BYTES);
            }
            Effect::LocalReply { stream, reply } => {
                self.assert_alive(stream);
                assert!((200..=599).contains(&reply.status), "{reply:?}");
            }
            Effect::HttpCall { token, stream, call } => {
                if let Some(stream) = stream {
                    self.assert_alive(stream);
                }
                assert!(self.config.callouts.contains(&call.upstream), "{call:?}");
                assert!(self.pending.iter().all(|(other, _)| *other != token), "{token:?} is pending");
                self.pending.push((token, plugin));
                assert!(self.pending.len() <= PENDING_CALLS);
            }
            Effect::TickPeriod(period) => assert_ne!(period, Some(Duration::ZERO)),
            Effect::Done => {}
        }
    }

    /// Of streams that are being ended, effects may still come.
    fn assert_alive(&self, stream: ContextId) {
        assert!(self.streams.iter().any(|(id, _)| *id == stream), "there is no {stream:?}");
    }
}

/// The stream of that number, or the oldest.
fn nth(streams: &VecDeque<Stream>, number: usize) -> Option<Stream> {
    streams.get(number).or(streams.front()).copied()
}

fn assert_no_broken_promise(error: &CallError) {
    assert!(!error.to_string().contains(BROKEN), "{error}");
}

fn line(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn answer() -> CallAnswer {
    CallAnswer {
        headers: vec![line(":status", "200"), line("x-a", "one")],
        body: b"answer".to_vec(),
        trailers: vec![line("x-end", "last")],
    }
}

fn stream() -> KitStream {
    let mut stream = KitStream::default();
    for map in [StreamMap::RequestHeaders, StreamMap::RequestTrailers, StreamMap::ResponseHeaders] {
        stream.maps[map as usize] =
            Some(vec![line(":path", "/"), line("x-a", "one"), line("x-hidden", "secret")]);
    }
    stream.writable = [true; 4];
    stream.bodies[StreamBuffer::RequestBody as usize] = Some(b"0123456789".to_vec());
    stream
}
