//! Runs cases against the host crate with the smallest embedder there can be: one plugin, one stream at a time, an origin
//! that is a function, and time that passes only when somebody waits.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use proxy_wasm_host::fake::Ticker;
use proxy_wasm_host::{
    Action, CallAnswer, CallError, CallToken, ContextId, Direction, Effect, Engine, HttpCall, LocalReply,
    Module, Plugin, PluginConfig, StartError, StreamBuffer, StreamMap,
};

use crate::bugs::Bug;
use crate::case::{Case, Exchange};
use crate::outcome::{AtOrigin, Outcome, Seen};
use crate::stream::KitStream;
use crate::world::World;

/// Runs a case; with a bug seeded if one is given.
#[must_use]
pub fn run(case: &Case, bug: Option<Bug>) -> Outcome {
    let world = Rc::new(World::new(bug));
    match start(case, &world) {
        Err(refused) => {
            Outcome { refused: Some(format!("{refused}\n{}", world.logged())), ..Outcome::default() }
        }
        Ok(Started { module, configs, plugins }) => {
            let mut proxy = Proxy::new(plugins, world, bug);
            proxy.restart = Some((module, configs));
            let exchanges = case.exchanges.iter().map(|exchange| proxy.exchange(exchange)).collect();
            proxy.settle();
            let record = proxy.exchange(&Exchange {
                method: "GET".into(),
                path: "/record".into(),
                ..Exchange::default()
            });
            Outcome { exchanges, record: record.body.lines().map(str::to_owned).collect(), refused: None }
        }
    }
}

pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<(Engine, Ticker)> = OnceLock::new();
    let (engine, _) = ENGINE.get_or_init(|| {
        let engine = Engine::new().expect("this machine runs WebAssembly");
        let ticker = Ticker::start(&engine);
        (engine, ticker)
    });
    engine
}

struct Started {
    module: Arc<Module>,
    configs: Vec<Arc<PluginConfig>>,
    plugins: Plugins,
}

fn start(case: &Case, world: &Rc<World>) -> Result<Started, String> {
    let module = compiled(case)?;
    let config = |name: &str, configuration: &str| {
        Arc::new(PluginConfig {
            name: name.to_owned(),
            root_id: "root".to_owned(),
            vm_id: "abi".to_owned(),
            configuration: configuration.as_bytes().to_vec(),
            vm_configuration: case.vm_config.clone().into_bytes(),
            env: case.env.clone(),
            callouts: vec!["origin".to_owned(), "refused".to_owned()],
            ..PluginConfig::default()
        })
    };
    let mut configs = vec![config("abi", &case.config)];
    configs.extend(case.beside.iter().map(|configuration| config("beside", configuration)));
    let plugins = Plugins::start(&module, &configs, world).map_err(|error| error.to_string())?;
    Ok(Started { module, configs, plugins })
}

/// The plugin that gets the streams, and one that may share its VM.
struct Plugins {
    first: Plugin,
    beside: Option<Plugin>,
}

impl Plugins {
    fn start(module: &Module, configs: &[Arc<PluginConfig>], world: &Rc<World>) -> Result<Self, StartError> {
        let first = Plugin::start(module, configs[0].clone(), world.clone())?;
        let beside = configs.get(1).map(|config| first.start_beside(config.clone(), world.clone()));
        Ok(Self { beside: beside.transpose()?, first })
    }
}

/// Real filters are large: each is compiled once.
fn compiled(case: &Case) -> Result<Arc<Module>, String> {
    static FILTERS: Mutex<BTreeMap<String, Arc<Module>>> = Mutex::new(BTreeMap::new());
    let mut filters = FILTERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = case.filter.as_ref().and_then(|name| filters.get(name)) {
        return Ok(module.clone());
    }
    let module = Module::compile(engine(), &crate::guest::module(case)).map_err(|error| error.to_string())?;
    let module = Arc::new(module);
    if let Some(name) = &case.filter {
        filters.insert(name.clone(), module.clone());
    }
    Ok(module)
}

/// The way a stream ended before its time.
enum End {
    Reply(LocalReply),
    Closed,
    Failed,
    /// Paused, and nobody is left who could resume it.
    Stuck,
}

struct Proxy {
    plugin: Plugin,
    beside: Option<Plugin>,
    restart: Option<(Arc<Module>, Vec<Arc<PluginConfig>>)>,
    world: Rc<World>,
    bug: Option<Bug>,
    pending: Vec<(CallToken, HttpCall)>,
    /// The first plugin, and the one beside it.
    is_ticking: [bool; 2],
    resumed: HashSet<(ContextId, Direction)>,
    closed: HashSet<ContextId>,
    failed: HashSet<ContextId>,
    replies: Vec<(ContextId, LocalReply)>,
}

/// Ticks that may pass while somebody waits, or after the last exchange.
const PATIENCE: usize = 5;

impl Proxy {
    fn new(plugins: Plugins, world: Rc<World>, bug: Option<Bug>) -> Self {
        let mut proxy = Self {
            plugin: plugins.first,
            beside: plugins.beside,
            restart: None,
            world,
            bug,
            pending: Vec::new(),
            is_ticking: [false; 2],
            resumed: HashSet::new(),
            closed: HashSet::new(),
            failed: HashSet::new(),
            replies: Vec::new(),
        };
        proxy.drain();
        proxy
    }

    fn drain(&mut self) {
        let mut next = || {
            let of_first = self.plugin.next_effect().map(|effect| (0, effect));
            of_first.or_else(|| self.beside.as_mut()?.next_effect().map(|effect| (1, effect)))
        };
        while let Some((plugin, effect)) = next() {
            match effect {
                Effect::Resume { stream, direction } => {
                    self.resumed.insert((stream, direction));
                }
                Effect::Close { stream, .. } => {
                    self.closed.insert(stream);
                }
                Effect::Fail { stream, .. } => {
                    self.failed.insert(stream);
                }
                Effect::LocalReply { stream, reply } => self.replies.push((stream, reply)),
                Effect::HttpCall { token, call, .. } => self.pending.push((token, call)),
                Effect::TickPeriod(period) => self.is_ticking[plugin] = period.is_some(),
                Effect::Done => {}
            }
        }
    }

    /// Lets happen whatever happens next outside of streams; false if nothing is left.
    fn step(&mut self) -> bool {
        if let Some((token, call)) = (!self.pending.is_empty()).then(|| self.pending.remove(0)) {
            let mut answer = answer_to(&call);
            if self.bug == Some(Bug::CalloutsLoseHeaders) {
                answer.headers.truncate(1);
            }
            let _ = self.plugin.on_http_call_response(token, answer);
        } else if let Some(queue) = self.next_queue() {
            let _ = self.plugin.on_queue_ready(queue);
        } else if self.is_ticking == [false; 2] {
            return false;
        } else {
            if self.is_ticking[0] {
                let _ = self.plugin.on_tick();
            }
            if let Some(beside) = self.beside.as_mut().filter(|_| self.is_ticking[1]) {
                let _ = beside.on_tick();
            }
        }
        self.drain();
        true
    }

    fn next_queue(&self) -> Option<u32> {
        let mut ready = self.world.ready.borrow_mut();
        (!ready.is_empty()).then(|| ready.remove(0))
    }

    /// What comes after the last exchange.
    fn settle(&mut self) {
        let mut steps = 0;
        while (steps < PATIENCE || !self.pending.is_empty()) && self.step() {
            steps += 1;
        }
    }

    fn exchange(&mut self, exchange: &Exchange) -> Seen {
        let stream = Rc::new(RefCell::new(KitStream { bug: self.bug, ..KitStream::default() }));
        stream.borrow_mut().maps[0] = Some(request_lines(exchange));
        let mut seen = Seen::default();
        let Ok(id) = self.plugin.create_stream(stream.clone()) else { return self.failed(seen) };
        self.drain();
        let asked = self.request(id, &stream, exchange, &mut seen);
        let (response, is_own) = match asked {
            Ok(()) => (from_origin(exchange), false),
            Err(End::Reply(reply)) => (from_filter(&reply), true),
            Err(end) => return self.over(id, &stream, end, seen),
        };
        let is_head = exchange.method == "HEAD";
        let delivered = match self.response(id, &stream, response, is_head) {
            // A reply to its own reply is none.
            Err(End::Reply(reply)) if !is_own => {
                let (headers, body, _) = from_filter(&reply);
                stream.borrow_mut().maps[StreamMap::ResponseHeaders as usize] = Some(headers);
                Ok(body.concat())
            }
            delivered => delivered,
        };
        match delivered {
            Ok(body) => {
                let headers = stream.borrow().lines(StreamMap::ResponseHeaders);
                seen.status = status_of(&headers);
                seen.headers = headers.into_iter().filter(|(name, _)| !name.starts_with(':')).collect();
                seen.body = String::from_utf8_lossy(&body).into_owned();
                seen.trailers = stream.borrow().lines(StreamMap::ResponseTrailers);
                self.finish(id, &stream);
                seen
            }
            Err(end) => self.over(id, &stream, end, seen),
        }
    }

    fn over(&mut self, id: ContextId, stream: &Rc<RefCell<KitStream>>, end: End, seen: Seen) -> Seen {
        if matches!(end, End::Failed) {
            return self.failed(seen);
        }
        self.finish(id, stream);
        let status = if matches!(end, End::Stuck) { 504 } else { 0 };
        Seen { status, ..seen }
    }

    /// A VM that failed is replaced.
    fn failed(&mut self, seen: Seen) -> Seen {
        if let Some((module, configs)) = &self.restart
            && let Ok(plugins) = Plugins::start(module, configs, &self.world)
        {
            (self.plugin, self.beside) = (plugins.first, plugins.beside);
            self.pending.clear();
            self.drain();
        }
        Seen { status: 503, ..seen }
    }

    fn finish(&mut self, id: ContextId, stream: &Rc<RefCell<KitStream>>) {
        stream.borrow_mut().writable = [false; 4];
        if self.bug == Some(Bug::StreamsEndSilently) {
            return;
        }
        if self.plugin.finish_stream(id).is_err() {
            self.failed(Seen::default());
        }
        self.drain();
    }

    fn request(
        &mut self,
        id: ContextId,
        stream: &Rc<RefCell<KitStream>>,
        exchange: &Exchange,
        seen: &mut Seen,
    ) -> Result<(), End> {
        let chunks: Vec<_> = exchange.body.iter().map(|chunk| chunk.clone().into_bytes()).collect();
        let trailers = lines(&exchange.trailers);
        let phase = Phase { id, stream, direction: Direction::Request, map: StreamMap::RequestHeaders };
        self.head(&phase, chunks.is_empty() && trailers.is_none())?;
        let sends_twice =
            self.bug == Some(Bug::ResumingForwardsTwice) && self.resumed.contains(&(id, Direction::Request));
        let body = self.body(&phase, chunks, trailers)?;
        let stream = stream.borrow();
        let value = |name| stream.value(StreamMap::RequestHeaders, name).unwrap_or_default();
        let request = AtOrigin {
            target: format!("{} {}", value(":method"), value(":path")),
            headers: stream
                .lines(StreamMap::RequestHeaders)
                .into_iter()
                .map(|(name, value)| (if name == ":authority" { "host".to_owned() } else { name }, value))
                .filter(|(name, _)| !name.starts_with(':'))
                .collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
            trailers: stream.lines(StreamMap::RequestTrailers),
        };
        seen.origin = if sends_twice { vec![request.clone(), request] } else { vec![request] };
        Ok(())
    }

    fn response(
        &mut self,
        id: ContextId,
        stream: &Rc<RefCell<KitStream>>,
        (headers, chunks, trailers): Message,
        is_head: bool,
    ) -> Result<Vec<u8>, End> {
        let chunks = if is_head { Vec::new() } else { chunks };
        stream.borrow_mut().writable = [false; 4];
        stream.borrow_mut().maps[StreamMap::ResponseHeaders as usize] = Some(headers);
        let phase = Phase { id, stream, direction: Direction::Response, map: StreamMap::ResponseHeaders };
        self.head(&phase, chunks.is_empty() && trailers.is_none())?;
        self.body(&phase, chunks, trailers)
    }

    fn head(&mut self, phase: &Phase<'_>, end: bool) -> Result<(), End> {
        phase.stream.borrow_mut().writable[phase.map as usize] = true;
        let count = phase.stream.borrow().lines(phase.map).len();
        self.resumed.remove(&(phase.id, phase.direction));
        let action = match phase.direction {
            Direction::Request => self.plugin.on_request_headers(phase.id, count, end),
            Direction::Response => self.plugin.on_response_headers(phase.id, count, end),
        };
        if self.decided(phase, action)? == Action::Pause {
            self.wait(phase)?;
        }
        phase.stream.borrow_mut().writable[phase.map as usize] = false;
        Ok(())
    }

    fn body(
        &mut self,
        phase: &Phase<'_>,
        chunks: Vec<Vec<u8>>,
        trailers: Option<Lines>,
    ) -> Result<Vec<u8>, End> {
        let trailer_map = phase.map as usize + 1;
        let buffer = match phase.direction {
            Direction::Request => StreamBuffer::RequestBody,
            Direction::Response => StreamBuffer::ResponseBody,
        } as usize;
        phase.stream.borrow_mut().writable[trailer_map] = true;
        let (mut passed, mut held) = (Vec::new(), Vec::new());
        let last = chunks.len();
        let mut is_paused = false;
        for (at, chunk) in chunks.into_iter().enumerate() {
            if is_paused && self.resumed.contains(&(phase.id, phase.direction)) {
                passed.append(&mut held);
            }
            held.extend_from_slice(&chunk);
            let end = at + 1 == last && trailers.is_none();
            let size = held.len();
            phase.stream.borrow_mut().bodies[buffer] = Some(std::mem::take(&mut held));
            self.resumed.remove(&(phase.id, phase.direction));
            let action = match phase.direction {
                Direction::Request => self.plugin.on_request_body(phase.id, size, end),
                Direction::Response => self.plugin.on_response_body(phase.id, size, end),
            };
            let action = self.decided(phase, action)?;
            let mut bytes = phase.stream.borrow_mut().bodies[buffer].take().unwrap_or_default();
            is_paused = action == Action::Pause;
            if !is_paused {
                passed.append(&mut bytes);
            } else if self.bug != Some(Bug::PausedBodiesAreForgotten) {
                held = bytes;
            }
        }
        if let Some(lines) = trailers {
            let count = lines.len();
            phase.stream.borrow_mut().maps[trailer_map] = Some(lines);
            self.resumed.remove(&(phase.id, phase.direction));
            let action = match phase.direction {
                Direction::Request => self.plugin.on_request_trailers(phase.id, count),
                Direction::Response => self.plugin.on_response_trailers(phase.id, count),
            };
            is_paused = self.decided(phase, action)? == Action::Pause;
        }
        if is_paused {
            self.wait(phase)?;
        }
        passed.append(&mut held);
        phase.stream.borrow_mut().writable[trailer_map] = false;
        Ok(passed)
    }

    /// What a callback answered, unless something else decided over the stream meanwhile.
    fn decided(&mut self, phase: &Phase<'_>, action: Result<Action, CallError>) -> Result<Action, End> {
        self.drain();
        let action = action.map_err(|_| End::Failed)?;
        if self.bug == Some(Bug::RepliesNeedAPause) && action == Action::Continue {
            self.replies.clear();
        }
        self.interrupted(phase.id)?;
        Ok(action)
    }

    fn interrupted(&mut self, id: ContextId) -> Result<(), End> {
        if self.plugin.failed() {
            return Err(End::Failed);
        }
        // The host crate queues one for each callback at most.
        let mut own: Vec<_> = self.replies.extract_if(.., |(stream, _)| *stream == id).collect();
        match own.pop() {
            Some((_, reply)) => Err(End::Reply(reply)),
            None if self.closed.remove(&id) => Err(End::Closed),
            None if self.failed.remove(&id) => Err(End::Failed),
            None => Ok(()),
        }
    }

    fn wait(&mut self, phase: &Phase<'_>) -> Result<(), End> {
        for _ in 0..PATIENCE * 20 {
            if self.resumed.remove(&(phase.id, phase.direction)) {
                return Ok(());
            }
            if !self.step() {
                break;
            }
            self.interrupted(phase.id)?;
        }
        if self.resumed.remove(&(phase.id, phase.direction)) { Ok(()) } else { Err(End::Stuck) }
    }
}

struct Phase<'a> {
    id: ContextId,
    stream: &'a Rc<RefCell<KitStream>>,
    direction: Direction,
    map: StreamMap,
}

type Lines = Vec<(Vec<u8>, Vec<u8>)>;
type Message = (Lines, Vec<Vec<u8>>, Option<Lines>);

fn line(name: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn lines(given: &[(String, String)]) -> Option<Lines> {
    (!given.is_empty()).then(|| given.iter().map(|(name, value)| line(name, value)).collect())
}

fn request_lines(exchange: &Exchange) -> Lines {
    let mut all = vec![
        line(":authority", "test.example"),
        line(":path", &exchange.path),
        line(":method", &exchange.method),
        line(":scheme", "http"),
    ];
    all.extend(exchange.headers.iter().map(|(name, value)| line(&name.to_ascii_lowercase(), value)));
    all
}

fn from_origin(exchange: &Exchange) -> Message {
    let answer = &exchange.answer;
    let mut headers = vec![line(":status", &answer.status.to_string())];
    headers.extend(lines(&answer.headers).unwrap_or_default());
    let body = answer.body.iter().map(|chunk| chunk.clone().into_bytes()).collect();
    (headers, body, lines(&answer.trailers))
}

fn from_filter(reply: &LocalReply) -> Message {
    let mut headers = vec![line(":status", &reply.status.to_string())];
    headers.extend(reply.headers.iter().filter(|(name, _)| name != b"content-length").cloned());
    if !reply.body.is_empty() && !headers.iter().any(|(name, _)| name == b"content-type") {
        headers.push(line("content-type", "text/plain"));
    }
    headers.push(line("content-length", &reply.body.len().to_string()));
    let body = if reply.body.is_empty() { Vec::new() } else { vec![reply.body.clone()] };
    (headers, body, None)
}

fn status_of(headers: &[(String, String)]) -> u16 {
    let status = headers.iter().find(|(name, _)| name == ":status").map(|(_, status)| status);
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// What the origin of the kit answers to callouts, by path; see `over_port`.
fn answer_to(call: &HttpCall) -> CallAnswer {
    let header = |name: &[u8]| {
        let found = call.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let answer = |status: &str, body: &str, trailers: Lines| CallAnswer {
        headers: vec![
            line(":status", status),
            line("x-call", "yes"),
            line("content-length", &body.len().to_string()),
        ],
        body: body.as_bytes().to_vec(),
        trailers,
    };
    match (&call.upstream[..], &header(b":path")[..]) {
        ("refused", _) => answer("503", "refused", Vec::new()),
        (_, "/callout-slow") => answer("504", "late", Vec::new()),
        (_, "/callout-trailers") => answer("200", "called", vec![line("x-end", "last")]),
        (_, "/callout-cut") => answer("503", "cut", Vec::new()),
        (_, "/callout-echo-trailers") => {
            let line = |(name, value): &(Vec<u8>, Vec<u8>)| {
                format!("{}={};", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
            };
            answer("200", &call.trailers.iter().map(line).collect::<String>(), Vec::new())
        }
        (_, "/callout-echo") => {
            let method = header(b":method");
            answer("200", &format!("{method} {}", String::from_utf8_lossy(&call.body)), Vec::new())
        }
        _ => answer("200", "called", Vec::new()),
    }
}
