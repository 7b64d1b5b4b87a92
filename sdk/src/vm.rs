//! Owns all contexts of one Wasm instance, and brings the host's callbacks to them. Contexts that it does not know are
//! none of its business: hosts may be late, or make more than it has.

use std::cell::RefCell;
use std::rc::Rc;

use crate::filter::Filter;
use crate::logging;
use crate::plugin::Plugin;
use crate::reactor::TaskId;
use crate::stream::{Action, Stream, Way};

/// Tasks that go on in one callback: hosts bound its time, and one answer may be what a thousand requests wait for. The
/// others go on a tick later.
const MAX_RESUMED: usize = 100;

/// Streams that are over are kept for the next ones, as many as most instances have at a time.
const MAX_SPARE: usize = 8;

/// In order of ids, which hosts give out in that order, so that a stream is added at the end and found by halving. Unlike a
/// tree it keeps its memory: most instances have one stream at a time, again and again.
type Streams<F> = Vec<(u32, Rc<RefCell<Stream<F>>>)>;

/// One instance of a module with filter `F`.
#[doc(hidden)]
pub struct Vm<F> {
    /// Few.
    plugins: RefCell<Vec<(u32, Rc<Plugin<F>>)>>,
    streams: RefCell<Streams<F>>,
    spare: RefCell<Vec<Rc<RefCell<Stream<F>>>>>,
}

impl<F: Filter> Default for Vm<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// `proxy_on_...` as the ABI has them: numbers in, numbers out.
#[allow(missing_docs, reason = "named and described by the ABI")]
impl<F: Filter> Vm<F> {
    pub const fn new() -> Self {
        Self {
            plugins: RefCell::new(Vec::new()),
            streams: RefCell::new(Vec::new()),
            spare: RefCell::new(Vec::new()),
        }
    }

    pub fn initialize(&self) {
        logging::install();
    }

    pub fn on_context_create(&self, id: u32, parent: u32) {
        if parent == 0 {
            self.plugins.borrow_mut().push((id, Rc::new(Plugin::new(id))));
        } else if let Some(plugin) = self.plugin(parent) {
            let stream = match self.spare.borrow_mut().pop() {
                Some(spare) => {
                    spare.borrow_mut().begin(id, plugin);
                    spare
                }
                None => Rc::new(RefCell::new(Stream::new(id, plugin))),
            };
            let mut streams = self.streams.borrow_mut();
            let place = streams.partition_point(|(known, _)| *known < id);
            streams.insert(place, (id, stream));
        }
    }

    pub fn on_configure(&self, id: u32) -> u32 {
        let Some(plugin) = self.plugin(id) else { return 0 };
        plugin.reactor.entered(id);
        let accepted = plugin.configure();
        plugin.reactor.arm();
        u32::from(accepted)
    }

    pub fn on_tick(&self, id: u32) {
        let Some(plugin) = self.plugin(id) else { return };
        plugin.reactor.entered(id);
        plugin.reactor.on_tick();
        self.run(&plugin);
    }

    pub fn on_http_call_response(&self, id: u32, token: u32, body_bytes: usize, trailers: u32) {
        let Some(plugin) = self.plugin(id) else { return };
        plugin.reactor.entered(id);
        if let Some(call) = plugin.reactor.take_call(token) {
            call.receive(body_bytes, trailers > 0);
            self.run(&plugin);
        }
    }

    pub fn on_request_headers(&self, id: u32, end_of_stream: u32) -> u32 {
        self.of_stream(id, |stream| stream.on_headers(Way::Request, end_of_stream != 0))
    }

    pub fn on_request_body(&self, id: u32, bytes: usize, end_of_stream: u32) -> u32 {
        self.of_stream(id, |stream| stream.on_body(Way::Request, bytes, end_of_stream != 0))
    }

    pub fn on_request_trailers(&self, id: u32) -> u32 {
        self.of_stream(id, |stream| stream.on_trailers(Way::Request))
    }

    pub fn on_response_headers(&self, id: u32, end_of_stream: u32) -> u32 {
        self.of_stream(id, |stream| stream.on_headers(Way::Response, end_of_stream != 0))
    }

    pub fn on_response_body(&self, id: u32, bytes: usize, end_of_stream: u32) -> u32 {
        self.of_stream(id, |stream| stream.on_body(Way::Response, bytes, end_of_stream != 0))
    }

    pub fn on_response_trailers(&self, id: u32) -> u32 {
        self.of_stream(id, |stream| stream.on_trailers(Way::Response))
    }

    pub fn on_log(&self, id: u32) {
        self.of_stream(id, |stream| {
            stream.on_log();
            Action::Continue
        });
    }

    /// Whatever the context waited for is dropped with it.
    pub fn on_delete(&self, id: u32) {
        let place = self.streams.borrow().binary_search_by_key(&id, |(known, _)| *known);
        let Ok(place) = place else {
            self.plugins.borrow_mut().retain(|(known, _)| *known != id);
            // Each has its plugin, which is to go now.
            return self.spare.borrow_mut().clear();
        };
        let (_, stream) = self.streams.borrow_mut().remove(place);
        let plugin = stream.borrow().plugin().clone();
        stream.borrow_mut().end();
        plugin.reactor.arm();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MAX_SPARE {
            spare.push(stream);
        }
    }

    fn of_stream(&self, id: u32, callback: impl FnOnce(&mut Stream<F>) -> Action) -> u32 {
        let Some(stream) = self.stream(id) else { return 0 };
        let plugin = stream.borrow().plugin().clone();
        plugin.reactor.entered(id);
        let action = callback(&mut stream.borrow_mut());
        self.run(&plugin);
        match action {
            Action::Continue => 0,
            Action::Pause => 1,
        }
    }

    /// Lets everything go on that can, then returns to the context that the host is at.
    fn run(&self, plugin: &Rc<Plugin<F>>) {
        let reactor = &plugin.reactor;
        let called = reactor.effective();
        for _ in 0..MAX_RESUMED {
            let Some(task) = reactor.next_woken() else { break };
            match task {
                TaskId::Plugin(id) => reactor.run_task(id),
                TaskId::Stream(id, slot) => {
                    if let Some(stream) = self.stream(id)
                        && reactor.enter(id).is_ok()
                    {
                        stream.borrow_mut().resume(slot);
                    }
                }
            }
        }
        reactor.arm();
        // The context may be gone; then there is nothing to return to.
        let _ = reactor.enter(called);
    }

    fn stream(&self, id: u32) -> Option<Rc<RefCell<Stream<F>>>> {
        let streams = self.streams.borrow();
        let place = streams.binary_search_by_key(&id, |(known, _)| *known).ok()?;
        streams.get(place).map(|(_, stream)| stream.clone())
    }

    fn plugin(&self, id: u32) -> Option<Rc<Plugin<F>>> {
        self.plugins.borrow().iter().find(|(known, _)| *known == id).map(|(_, plugin)| plugin.clone())
    }
}

#[cfg(test)]
#[path = "vm_tests.rs"]
mod tests;
