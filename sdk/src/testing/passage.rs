//! Owns how a message passes a filter, as a host does it that brings bodies while a head is held.

use std::collections::VecDeque;
use std::time::Duration;

use super::Tester;
use super::message::{Outcome, TestMessage, Verdict};
use super::protocol::{Answered, Callback, Effect, Op, SentReply};
use crate::filter::Filter;
use crate::host::{MapType, Pairs};

/// After this long a host gives up on a message that a filter holds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a filter asked for about one stream.
pub(super) struct StreamEvents {
    pub(super) worker: usize,
    pub(super) id: u32,
    resumed: [bool; 2],
    reply: Option<SentReply>,
    closed: bool,
    failed: Option<String>,
    trap: Option<String>,
}

impl StreamEvents {
    pub(super) const fn new(worker: usize, id: u32) -> Self {
        Self { worker, id, resumed: [false; 2], reply: None, closed: false, failed: None, trap: None }
    }

    pub(super) fn take_up(streams: &mut [Self], worker: usize, effect: Effect) {
        let (Effect::Resume { stream, .. }
        | Effect::Close { stream }
        | Effect::Fail { stream, .. }
        | Effect::Reply { stream, .. }) = &effect
        else {
            return;
        };
        let meant = streams.iter_mut().find(|events| events.worker == worker && events.id == *stream);
        let Some(events) = meant else { return };
        match effect {
            Effect::Resume { direction, .. } => events.resumed[usize::from(direction != 0)] = true,
            Effect::Close { .. } => events.closed = true,
            Effect::Fail { reason, .. } => events.failed = Some(reason),
            // The first one counts.
            Effect::Reply { reply, .. } => drop(events.reply.get_or_insert(reply)),
            Effect::Call { .. } | Effect::TickPeriod(_) => {}
        }
    }

    pub(super) fn trapped(streams: &mut [Self], worker: usize, trap: &str) {
        for events in streams.iter_mut().filter(|events| events.worker == worker) {
            events.trap = Some(trap.to_owned());
        }
    }

    /// A verdict other than to go on, which is told once.
    fn verdict(&mut self) -> Option<Verdict> {
        if let Some(trap) = &self.trap {
            return Some(Verdict::Trapped(trap.clone()));
        }
        if self.closed {
            return Some(Verdict::Closed);
        }
        if let Some(reason) = self.failed.take() {
            return Some(Verdict::Failed(reason));
        }
        self.reply.take().map(Verdict::Replied)
    }
}

/// A message on its way.
pub(super) struct Passage {
    /// 0 is the request; also the number of its body's buffer.
    way: u32,
    map: u32,
    trailers_map: u32,
    headers: Pairs,
    pieces: VecDeque<Vec<u8>>,
    trailers: Option<Pairs>,
    /// What the host keeps of the body while the filter holds it.
    held: Vec<u8>,
    sent: Vec<u8>,
    head_gone: bool,
    paused: bool,
}

impl Passage {
    pub(super) fn request(message: TestMessage) -> Self {
        Self::new(0, MapType::RequestHeaders, MapType::RequestTrailers, message)
    }

    pub(super) fn response(message: TestMessage) -> Self {
        Self::new(1, MapType::ResponseHeaders, MapType::ResponseTrailers, message)
    }

    fn new(way: u32, map: MapType, trailers_map: MapType, message: TestMessage) -> Self {
        Self {
            way,
            map: map as u32,
            trailers_map: trailers_map as u32,
            headers: message.headers,
            pieces: message.pieces.into(),
            trailers: message.trailers,
            held: Vec::new(),
            sent: Vec::new(),
            head_gone: false,
            paused: false,
        }
    }

    pub(super) fn run<F: Filter>(mut self, tester: &mut Tester<F>, index: usize) -> Outcome {
        let (worker, id) = (tester.streams[index].worker, tester.streams[index].id);
        let earlier_logs = std::mem::take(&mut tester.logs);
        let began = tester.schedule.now();
        let whole = self.pieces.is_empty() && self.trailers.is_none();
        tester.runner.perform(worker, Op::SetMap(id, self.map, Some(self.headers.clone())));
        self.paused = tester.call(worker, Callback::Headers(id, self.map, whole));
        self.head_gone = !self.paused;
        let verdict = self.until_decided(tester, index, began + PATIENCE);
        let Answered::Map(headers) = tester.runner.perform(worker, Op::Map(id, self.map)) else {
            super::unexpected("a map")
        };
        tester.runner.perform(worker, Op::SetMap(id, self.map, None));
        tester.runner.perform(worker, Op::SetBody(id, self.way, None));
        let logs = std::mem::replace(&mut tester.logs, earlier_logs);
        Outcome { verdict, headers, body: self.sent, logs, took: tester.schedule.now() - began }
    }

    fn until_decided<F: Filter>(&mut self, tester: &mut Tester<F>, index: usize, end: Duration) -> Verdict {
        let gets_body = match self.way {
            0 => F::PHASES.reads_request || F::PHASES.streams_request,
            _ => F::PHASES.reads_response || F::PHASES.streams_response,
        };
        loop {
            if let Some(verdict) = tester.streams[index].verdict() {
                return verdict;
            }
            if std::mem::take(&mut tester.streams[index].resumed[self.way as usize]) {
                self.paused = false;
                self.head_gone = true;
                self.sent.append(&mut self.held);
            }
            if gets_body && (!self.pieces.is_empty() || self.trailers.is_some()) {
                self.bring_next(tester, index);
                continue;
            }
            if self.head_gone && !self.paused {
                self.sent.extend(std::mem::take(&mut self.pieces).into_iter().flatten());
                return Verdict::Continued;
            }
            if !tester.wait(end) {
                return Verdict::Held;
            }
        }
    }

    /// The next piece, with what is held back; or the trailers.
    fn bring_next<F: Filter>(&mut self, tester: &mut Tester<F>, index: usize) {
        let (worker, id) = (tester.streams[index].worker, tester.streams[index].id);
        if let Some(piece) = self.pieces.pop_front() {
            self.held.extend(piece);
            let last = self.pieces.is_empty() && self.trailers.is_none();
            tester.runner.perform(worker, Op::SetBody(id, self.way, Some(self.held.clone())));
            self.paused = tester.call(worker, Callback::Body(id, self.way, self.held.len(), last));
            let Answered::Bytes(body) = tester.runner.perform(worker, Op::Body(id, self.way)) else {
                super::unexpected("a body")
            };
            self.held = body;
            tester.runner.perform(worker, Op::SetBody(id, self.way, None));
        } else if let Some(trailers) = self.trailers.take() {
            tester.runner.perform(worker, Op::SetMap(id, self.trailers_map, Some(trailers)));
            self.paused = tester.call(worker, Callback::Trailers(id, self.trailers_map));
        }
        if !self.paused {
            self.head_gone = true;
            self.sent.append(&mut self.held);
        }
    }
}
