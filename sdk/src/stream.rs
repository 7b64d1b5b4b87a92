//! Owns one stream: which phase it is in, what it waits for, and what the host hears when a phase is over.
//!
//! It must never know how callbacks arrive: [`crate::vm`] brings them.

use std::rc::Rc;
use std::task::{Context as TaskContext, Waker};

use crate::body::{Collected, StreamCell};
use crate::context::Context;
use crate::error::{BodyError, Error, Result};
use crate::filter::{self, Filter, Flow};
use crate::host::{self, BufferType, MapType, StreamType};
use crate::message::{Exchange, Message, Request, Response};
use crate::plugin::Plugin;
use crate::reactor::{BoxFuture, Slot, TaskId};
use crate::reply::LocalReply;

/// What the host shall do after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Continue,
    Pause,
}

/// One of the two messages of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Request,
    Response,
}

impl Way {
    const fn map(self) -> MapType {
        match self {
            Self::Request => MapType::RequestHeaders,
            Self::Response => MapType::ResponseHeaders,
        }
    }

    const fn buffer(self) -> BufferType {
        match self {
            Self::Request => BufferType::RequestBody,
            Self::Response => BufferType::ResponseBody,
        }
    }

    const fn stream(self) -> StreamType {
        match self {
            Self::Request => StreamType::Request,
            Self::Response => StreamType::Response,
        }
    }

    const fn slots(self) -> (Slot, Slot) {
        match self {
            Self::Request => (Slot::RequestHead, Slot::RequestBody),
            Self::Response => (Slot::ResponseHead, Slot::ResponseBody),
        }
    }
}

/// Where a phase is over: in a callback that brings this much of a body, or elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    Body { size: usize },
    Elsewhere,
}

/// One request and its response.
pub(crate) struct Stream<F> {
    id: u32,
    plugin: Rc<Plugin<F>>,
    cx: Context,
    replied: bool,
    request: Half,
    response: Half,
}

/// What is known of one message.
#[derive(Default)]
struct Half {
    head: Option<BoxFuture<HeadDone>>,
    collected: Option<Rc<Collected>>,
    body: Option<BodyTask>,
    body_over: bool,
    /// How much of the body that the host holds back has been looked at.
    seen_bytes: usize,
}

struct HeadDone {
    message: Message,
    result: Result<Flow>,
}

struct BodyTask {
    cell: Rc<StreamCell>,
    task: BoxFuture<Result<()>>,
    ended: bool,
}

impl<F: Filter> Stream<F> {
    pub(crate) fn new(id: u32, plugin: Rc<Plugin<F>>) -> Self {
        let cx = Context::new(plugin.reactor.clone(), true);
        Self { id, plugin, cx, replied: false, request: Half::default(), response: Half::default() }
    }

    /// Makes another stream of one that has ended.
    pub(crate) fn begin(&mut self, id: u32, plugin: Rc<Plugin<F>>) {
        self.cx.renew(&plugin.reactor);
        (self.id, self.plugin, self.replied) = (id, plugin, false);
    }

    /// Drops whatever the stream waits for, and what its phases kept.
    pub(crate) fn end(&mut self) {
        (self.request, self.response) = Default::default();
        self.cx.forget();
    }

    pub(crate) const fn plugin(&self) -> &Rc<Plugin<F>> {
        &self.plugin
    }

    pub(crate) fn on_headers(&mut self, way: Way, end_of_stream: bool) -> Action {
        if way == Way::Response && self.replied {
            return Action::Continue;
        }
        let (reads, rewrites) = match way {
            Way::Request => (F::PHASES.reads_request, F::PHASES.rewrites_request),
            Way::Response => (F::PHASES.reads_response, F::PHASES.rewrites_response),
        };
        let collected = reads.then(Rc::<Collected>::default);
        let mut message = Message::new(way.map(), !end_of_stream, collected.clone());
        let (plugin, cx) = (self.plugin.clone(), self.cx.clone());
        let head: BoxFuture<HeadDone> = Box::pin(async move {
            if rewrites
                && !end_of_stream
                && let Err(error) = message.headers.remove("content-length")
            {
                return HeadDone { message, result: Err(error.into()) };
            }
            match plugin.ready(&cx).await {
                Err(error) => HeadDone { message, result: Err(error) },
                Ok(filter) if way == Way::Request => {
                    let mut request = Request::new(message);
                    let result = filter.on_request(&mut request, &cx).await;
                    HeadDone { message: request.message, result }
                }
                Ok(filter) => {
                    let mut response = Response::new(message);
                    let result = filter.on_response(&mut response, &cx).await;
                    HeadDone { message: response.message, result }
                }
            }
        });
        let half = self.half(way);
        half.collected = collected;
        half.head = Some(head);
        self.poll_head(way, Place::Head).unwrap_or(Action::Pause)
    }

    /// `size` is what the host holds back, and what is new.
    pub(crate) fn on_body(&mut self, way: Way, size: usize, end_of_stream: bool) -> Action {
        if self.replied {
            return Action::Continue;
        }
        let half = self.half(way);
        if half.head.is_some() {
            let Some(collected) = half.collected.clone() else { return Action::Pause };
            return match self.new_bytes(way, size) {
                Ok(bytes) => {
                    collected.append(&bytes, end_of_stream);
                    self.poll_head(way, Place::Body { size }).unwrap_or(Action::Pause)
                }
                Err(error) => self.fail(&error),
            };
        }
        self.on_piece(way, size, end_of_stream)
    }

    /// Trailers end a body whose callbacks did not.
    pub(crate) fn on_trailers(&mut self, way: Way) -> Action {
        if self.replied {
            return Action::Continue;
        }
        let half = self.half(way);
        if half.head.is_some() {
            let Some(collected) = half.collected.clone() else { return Action::Pause };
            collected.append(&[], true);
            return self.poll_head(way, Place::Elsewhere).map_or(Action::Pause, |_| Action::Continue);
        }
        let Some(body) = &mut half.body else { return Action::Continue };
        body.ended = true;
        body.cell.feed(&[], true);
        self.poll_body(way, Place::Elsewhere)
    }

    pub(crate) fn on_log(&self) {
        if let Some(filter) = self.plugin.filter() {
            filter.on_log(&Exchange::new(), &self.cx);
        }
    }

    /// What a phase waited for has come.
    pub(crate) fn resume(&mut self, slot: Slot) {
        let way = match slot {
            Slot::RequestHead | Slot::RequestBody => Way::Request,
            Slot::ResponseHead | Slot::ResponseBody => Way::Response,
        };
        let action = if slot == way.slots().0 {
            self.poll_head(way, Place::Elsewhere).unwrap_or(Action::Pause)
        } else {
            self.poll_body(way, Place::Elsewhere)
        };
        if action == Action::Continue
            && let Err(error) = host::continue_stream(way.stream())
        {
            log::error!("a message that was held cannot go on: {error}");
        }
    }

    /// `None` while the phase is not over.
    fn poll_head(&mut self, way: Way, place: Place) -> Option<Action> {
        let slot = way.slots().0;
        let mut head = self.half(way).head.take()?;
        // Most phases are over at once and need no waker; one that waits is asked again with a real one.
        let done = match head.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            std::task::Poll::Ready(done) => done,
            std::task::Poll::Pending => {
                let waker = self.plugin.reactor.waker(TaskId::Stream(self.id, slot));
                match head.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
                    std::task::Poll::Ready(done) => done,
                    std::task::Poll::Pending => {
                        self.half(way).head = Some(head);
                        return None;
                    }
                }
            }
        };
        drop(head);
        let HeadDone { mut message, result } = done;
        let result = message.headers.failure().map_or(result, |failure| Err(failure.into()));
        let result = result.and_then(|flow| {
            if flow == Flow::Continue {
                self.pass(way, place, &mut message)?;
            }
            Ok(flow)
        });
        Some(match result {
            Ok(Flow::Continue) => Action::Continue,
            Ok(Flow::Respond(reply)) => self.reply(&reply),
            Err(error) => self.fail(&error),
        })
    }

    /// The message goes on, with the edits made.
    fn pass(&mut self, way: Way, place: Place, message: &mut Message) -> Result<()> {
        let body = message.new_body.take();
        if body.is_some() && !matches!(place, Place::Body { .. }) {
            return Err(BodyError::TooLate.into());
        }
        message.headers.flush()?;
        if let (Some(body), Place::Body { size }) = (body, place) {
            host::replace_buffer(way.buffer(), size, &body)?;
        }
        let half = self.half(way);
        half.body_over = half.collected.take().is_some_and(|collected| collected.len() > 0);
        half.seen_bytes = 0;
        Ok(())
    }

    fn on_piece(&mut self, way: Way, size: usize, end_of_stream: bool) -> Action {
        let streams = match way {
            Way::Request => F::PHASES.streams_request,
            Way::Response => F::PHASES.streams_response,
        };
        if !streams || self.half(way).body_over {
            return Action::Continue;
        }
        let bytes = match self.new_bytes(way, size) {
            Ok(bytes) => bytes,
            Err(error) => return self.fail(&error),
        };
        if self.half(way).body.is_none() {
            let task = self.body_task(way);
            self.half(way).body = Some(task);
        }
        if let Some(body) = &mut self.half(way).body {
            body.ended = end_of_stream;
            body.cell.feed(&bytes, end_of_stream);
        }
        self.poll_body(way, Place::Body { size })
    }

    fn body_task(&self, way: Way) -> BodyTask {
        let rewrites = match way {
            Way::Request => F::PHASES.rewrites_request,
            Way::Response => F::PHASES.rewrites_response,
        };
        let cell = Rc::new(StreamCell::new(rewrites));
        let (plugin, cx, mut body) = (self.plugin.clone(), self.cx.clone(), cell.stream());
        let task = Box::pin(async move {
            let filter = plugin.ready(&cx).await?;
            match way {
                Way::Request => filter.on_request_body(&mut body, &cx).await,
                Way::Response => filter.on_response_body(&mut body, &cx).await,
            }
        });
        BodyTask { cell, task, ended: false }
    }

    /// Lets the filter look at the pieces that have come, and sends on what it made of them.
    fn poll_body(&mut self, way: Way, place: Place) -> Action {
        let slot = way.slots().1;
        let Some(mut body) = self.half(way).body.take() else { return Action::Continue };
        let waker = self.plugin.reactor.waker(TaskId::Stream(self.id, slot));
        let polled = body.task.as_mut().poll(&mut TaskContext::from_waker(&waker));
        let finished = match polled {
            std::task::Poll::Ready(Err(error)) => return self.fail_body(way, &error),
            std::task::Poll::Ready(Ok(())) => true,
            std::task::Poll::Pending => false,
        };
        let passes = finished || body.cell.is_hungry();
        let action = match place {
            _ if !passes => Action::Pause,
            Place::Body { size } => match body.cell.emit(finished) {
                Some(output) => match host::replace_buffer(way.buffer(), size, &output) {
                    Ok(()) => Action::Continue,
                    Err(error) => return self.fail(&error.into()),
                },
                None => Action::Continue,
            },
            // What has been changed can only be handed over with the next piece.
            _ if body.cell.is_changed() && !body.ended => Action::Pause,
            _ if body.cell.is_changed() => return self.fail(&BodyError::TooLate.into()),
            _ => {
                body.cell.emit(finished);
                Action::Continue
            }
        };
        let half = self.half(way);
        if action == Action::Continue {
            half.seen_bytes = 0;
        }
        if finished && action == Action::Continue {
            half.body_over = true;
        } else {
            half.body = Some(body);
        }
        action
    }

    /// A rest that was not looked at must not pass behind a failure.
    fn fail_body(&mut self, way: Way, error: &Error) -> Action {
        self.half(way).body_over = true;
        self.fail(error)
    }

    /// The part of the buffer that was not there before.
    fn new_bytes(&mut self, way: Way, size: usize) -> Result<Vec<u8>> {
        let half = self.half(way);
        let seen = half.seen_bytes.min(size);
        half.seen_bytes = size;
        if size == seen { Ok(Vec::new()) } else { Ok(host::buffer(way.buffer(), seen, size - seen)?) }
    }

    /// A failure is in the log before anything else happens. Where the filter leaves it open what follows, the host knows
    /// the operator's policy best; what a peer did wrong is answered as such.
    fn fail(&mut self, error: &Error) -> Action {
        log::error!("filter failed: {error}");
        let undecided = filter::failed(error);
        let flow = self.plugin.filter().map_or_else(|| undecided.clone(), |filter| filter.on_error(error));
        let is_open = error.peer_status().is_none() && flow == undecided;
        if is_open && host::fail_stream(&error.to_string()) {
            self.replied = true;
            return Action::Pause;
        }
        match flow {
            Flow::Continue => Action::Continue,
            Flow::Respond(reply) => self.reply(&reply),
        }
    }

    /// A reply that the host refuses must neither let the request pass nor leave the client waiting.
    fn reply(&mut self, reply: &LocalReply) -> Action {
        self.replied = true;
        if let Err(error) = reply.send() {
            log::error!("local reply refused, answering 500 instead: {error}");
            let bare = LocalReply::new(500).details("filter_reply_refused");
            if let Err(error) = bare.send().or_else(|_| host::close_request()) {
                log::error!("the request can neither be answered nor closed: {error}");
            }
        }
        Action::Pause
    }

    const fn half(&mut self, way: Way) -> &mut Half {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }
}
