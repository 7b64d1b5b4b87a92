//! What connections are doing, and which have been doing it for too long.
//!
//! Time is counted in housekeeping ticks, so that the request path reads no clock for it: a phase change is one store.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use gateway_config::ListenerLimits;
use tokio::sync::Notify;

use super::HOUSEKEEPING_INTERVAL;
use super::between::Between;
use super::door::Notes;

/// All client connections of one worker.
#[derive(Default)]
pub(crate) struct Connections {
    open: RefCell<HashMap<u64, Rc<ConnectionHandle>>>,
    tick: Arc<AtomicU32>,
    emptied: Notify,
}

/// The worker's view of one connection.
pub(crate) struct ConnectionHandle {
    activity: Activity,
    idle_ticks: u32,
    head_ticks: u32,
    is_http2: Cell<bool>,
    order: Cell<Option<Order>>,
    waker: RefCell<Option<Waker>>,
    pub(super) between: Between,
    pub(super) notes: Notes,
}

/// What a connection is told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Finish the request under way, accept no further one, close.
    CloseGracefully,
    /// The head took too long: say so and close.
    HeadTimeout,
    /// Close now.
    Cut,
}

/// What one connection is doing; written by its I/O and by its requests.
pub(crate) struct Activity {
    phase: AtomicU8,
    since: AtomicU32,
    tick: Arc<AtomicU32>,
}

/// Ticks from a graceful close of an idle connection to its end by force.
const FAREWELL_TICKS: u32 = 20;
/// Longest wait for connections that were told to end at once.
const CUT_TIME: Duration = Duration::from_secs(1);
/// Ticks after which a request counts as slow. Two, since the first may have been nearly over.
const SLOW_REQUEST_TICKS: u32 = 2;

const READING_HEAD: u8 = 0;
const IDLE: u8 = 1;
const BUSY: u8 = 2;

impl Connections {
    pub(crate) fn open(&self, id: u64, limits: &ListenerLimits) -> Rc<ConnectionHandle> {
        let activity = Activity {
            phase: AtomicU8::new(READING_HEAD),
            since: AtomicU32::new(self.tick.load(Ordering::Relaxed)),
            tick: self.tick.clone(),
        };
        let handle = Rc::new(ConnectionHandle {
            activity,
            idle_ticks: ticks(limits.idle),
            head_ticks: ticks(limits.head_read),
            is_http2: Cell::new(false),
            order: Cell::new(None),
            waker: RefCell::new(None),
            between: Between::default(),
            notes: Notes::default(),
        });
        self.open.borrow_mut().insert(id, handle.clone());
        handle
    }

    pub(crate) fn closed(&self, id: u64) {
        let mut open = self.open.borrow_mut();
        open.remove(&id);
        if open.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// One housekeeping tick: connections that are over one of their times are told to close.
    pub(crate) fn close_overdue(&self) {
        let now = self.tick.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        for handle in self.open.borrow().values() {
            let waited = now.wrapping_sub(handle.activity.since.load(Ordering::Relaxed));
            match handle.activity.phase.load(Ordering::Relaxed) {
                // An HTTP/2 client that does not answer the farewell is cut. HTTP/1 needs no answer, and may still be
                // reading the end of its last response.
                IDLE if handle.is_http2.get() && waited > handle.idle_ticks + FAREWELL_TICKS => {
                    handle.tell(Order::Cut);
                }
                IDLE if waited > handle.idle_ticks => handle.tell(Order::CloseGracefully),
                // Requests that are not done by now set their timers when they are woken: see `request::send`.
                BUSY if waited == SLOW_REQUEST_TICKS => handle.wake(),
                READING_HEAD if waited > handle.head_ticks => handle.tell(Order::HeadTimeout),
                _ => {}
            }
        }
    }

    pub(crate) fn close_all_gracefully(&self) {
        for handle in self.open.borrow().values() {
            handle.tell(Order::CloseGracefully);
        }
    }

    /// Waits for the last connection to close; at `deadline` cuts those left and says how many.
    pub(crate) async fn wait_until_empty(&self, deadline: Instant) -> usize {
        if tokio::time::timeout_at(deadline.into(), self.all_closed()).await.is_ok() {
            return 0;
        }
        let left: Vec<_> = self.open.borrow().values().cloned().collect();
        for handle in &left {
            handle.tell(Order::Cut);
        }
        // They end by themselves as soon as they run: what they were doing is logged as what it was.
        let _ = tokio::time::timeout(CUT_TIME, self.all_closed()).await;
        left.len()
    }

    async fn all_closed(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.open.borrow().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

impl ConnectionHandle {
    pub(crate) fn activity_ref(&self) -> &Activity {
        &self.activity
    }

    /// Resolves when the connection is told to do anything.
    pub(crate) async fn ordered(&self) {
        poll_fn(|context| if self.poll_order(context).is_some() { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }

    /// Resolves when the connection is told to do anything, and leaves that to be done.
    pub(crate) async fn told_to_close(&self) {
        poll_fn(|context| match self.poll_order(context) {
            Some(order) => {
                self.order.set(Some(order));
                Poll::Ready(())
            }
            None => Poll::Pending,
        })
        .await;
    }

    pub(crate) fn speaks_http2(&self) {
        self.is_http2.set(true);
        self.activity.idle();
    }

    /// Remembers whom to wake for an order, and takes the order if there is one.
    pub(crate) fn poll_order(&self, context: &Context<'_>) -> Option<Order> {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
        self.order.take()
    }

    fn tell(&self, order: Order) {
        self.order.set(Some(order));
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Activity {
    /// Bytes arrived.
    pub(crate) fn received(&self) {
        if self.phase.load(Ordering::Relaxed) == IDLE {
            self.enter(READING_HEAD);
        }
    }

    pub(crate) fn request_started(&self) {
        self.enter(BUSY);
    }

    pub(crate) fn idle(&self) {
        self.enter(IDLE);
    }

    fn enter(&self, phase: u8) {
        self.since.store(self.tick.load(Ordering::Relaxed), Ordering::Relaxed);
        self.phase.store(phase, Ordering::Relaxed);
    }
}

fn ticks(time: Duration) -> u32 {
    u32::try_from(time.as_nanos().div_ceil(HOUSEKEEPING_INTERVAL.as_nanos())).unwrap_or(u32::MAX / 2)
}
