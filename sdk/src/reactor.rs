//! Owns everything that a filter may wait for: callouts, timers, and the tasks that wait. One per plugin; the host's
//! callbacks drive it, and nothing runs between them.
//!
//! It must never know the filter's type: [`crate::stream`] and [`crate::plugin`] do.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use crate::call::CallCell;
use crate::error::HostError;
use crate::host;

/// A future of any type, owned.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// When, and which.
pub(crate) type TimerKey = (Duration, u64);

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskId {
    /// A task of the plugin.
    Plugin(u64),
    /// A phase of a stream.
    Stream(u32, Slot),
}

/// The phases of a stream that can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    RequestHead,
    RequestBody,
    ResponseHead,
    ResponseBody,
}

pub(crate) struct Reactor {
    /// The plugin's context.
    root: u32,
    woken: Arc<Woken>,
    /// Few; one that runs is not among them.
    tasks: RefCell<Vec<(u64, BoxFuture<()>)>>,
    next_id: Cell<u64>,
    /// Callouts without an answer, by token.
    calls: RefCell<Vec<(u32, Rc<CallCell>)>>,
    /// In order of time, and of a number that keeps them apart.
    timers: RefCell<Vec<(TimerKey, Waker)>>,
    /// When the host will tick.
    armed: Cell<Option<Duration>>,
    /// The context that host calls are about.
    effective: Cell<u32>,
    /// Hosts do not take callouts while they configure a plugin; those wait for the first tick.
    configuring: Cell<bool>,
    on_first_tick: RefCell<Vec<Waker>>,
}

/// Wakers must be `Send`, which a lock achieves; there is one thread, so it is never waited for.
#[derive(Default)]
struct Woken(Mutex<Vec<TaskId>>);

struct Signal {
    task: TaskId,
    woken: Arc<Woken>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.woken.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
    }
}

impl Reactor {
    pub(crate) fn new(root: u32) -> Self {
        Self {
            root,
            woken: Arc::default(),
            tasks: RefCell::default(),
            next_id: Cell::new(0),
            calls: RefCell::default(),
            timers: RefCell::default(),
            armed: Cell::new(None),
            effective: Cell::new(root),
            configuring: Cell::new(false),
            on_first_tick: RefCell::default(),
        }
    }

    /// The host made a callback, which is about this context.
    pub(crate) fn entered(&self, context: u32) {
        self.effective.set(context);
    }

    /// Makes host calls be about this context; an error if it is gone.
    pub(crate) fn enter(&self, context: u32) -> Result<(), HostError> {
        if self.effective.get() != context {
            host::set_effective_context(context)?;
            self.effective.set(context);
        }
        Ok(())
    }

    pub(crate) fn effective(&self) -> u32 {
        self.effective.get()
    }

    pub(crate) fn waker(&self, task: TaskId) -> Waker {
        Arc::new(Signal { task, woken: self.woken.clone() }).into()
    }

    /// The next task that can go on.
    pub(crate) fn next_woken(&self) -> Option<TaskId> {
        let mut woken = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
        if woken.is_empty() { None } else { Some(woken.remove(0)) }
    }

    /// Whether there is a task that can go on: it was too many for one callback, or was woken by the end of another one.
    fn has_woken(&self) -> bool {
        !self.woken.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Starts a task of the plugin; it runs when the callback under way is over.
    pub(crate) fn spawn(&self, task: BoxFuture<()>) {
        let id = self.unique();
        self.tasks.borrow_mut().push((id, task));
        self.waker(TaskId::Plugin(id)).wake();
    }

    /// Lets a task of the plugin go on.
    pub(crate) fn run_task(&self, id: u64) {
        let Some(mut task) = take(&self.tasks, |(known, _)| *known == id) else { return };
        if let Err(error) = self.enter(self.root) {
            log::error!("a background task cannot go on: {error}");
            return;
        }
        let waker = self.waker(TaskId::Plugin(id));
        if task.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending() {
            self.tasks.borrow_mut().push((id, task));
        }
    }

    pub(crate) fn set_configuring(&self, configuring: bool) {
        self.configuring.set(configuring);
    }

    /// Resolves when the host takes callouts.
    pub(crate) fn poll_callable(&self, cx: &TaskContext<'_>) -> Poll<()> {
        if !self.configuring.get() {
            return Poll::Ready(());
        }
        self.on_first_tick.borrow_mut().push(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn register_call(&self, token: u32, cell: Rc<CallCell>) {
        self.calls.borrow_mut().push((token, cell));
    }

    /// The callout with this token, which nobody waits for afterwards.
    pub(crate) fn take_call(&self, token: u32) -> Option<Rc<CallCell>> {
        take(&self.calls, |(known, _)| *known == token)
    }

    /// Wakes at that time; the key cancels it.
    pub(crate) fn add_timer(&self, at: Duration, waker: Waker) -> TimerKey {
        let key = (at, self.unique());
        let mut timers = self.timers.borrow_mut();
        let place = timers.partition_point(|(other, _)| *other < key);
        timers.insert(place, (key, waker));
        key
    }

    pub(crate) fn remove_timer(&self, key: TimerKey) {
        let mut timers = self.timers.borrow_mut();
        if let Ok(place) = timers.binary_search_by_key(&key, |(other, _)| *other) {
            timers.remove(place);
        }
    }

    /// The host ticked.
    pub(crate) fn on_tick(&self) {
        self.armed.set(None);
        self.configuring.set(false);
        for waker in self.on_first_tick.take() {
            waker.wake();
        }
        // Without a clock every timer is due: late and wrong would be worse than early.
        let now = host::monotonic().unwrap_or(Duration::MAX);
        let due = now.saturating_add(TIMER_SLACK);
        let due = self.timers.borrow().partition_point(|((at, _), _)| *at <= due);
        let woken: Vec<_> = self.timers.borrow_mut().drain(..due).collect();
        for (_, waker) in woken {
            waker.wake();
        }
    }

    /// Has the host tick when the next timer is due. To be called when a callback ends.
    pub(crate) fn arm(&self) {
        let next = if self.on_first_tick.borrow().is_empty() && !self.has_woken() {
            self.timers.borrow().first().map(|((at, _), _)| *at)
        } else {
            Some(Duration::ZERO)
        };
        if next == self.armed.get() {
            return;
        }
        let period = next.map(|at| at.saturating_sub(host::monotonic().unwrap_or_default()));
        match host::set_tick_period(period) {
            Ok(()) => self.armed.set(next),
            Err(error) => log::error!("timers do not run: {error}"),
        }
    }

    fn unique(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }
}

/// A host that ticks this much early is not asked for another tick.
const TIMER_SLACK: Duration = Duration::from_micros(500);

/// Takes the entry out; their order does not matter.
fn take<K, V>(entries: &RefCell<Vec<(K, V)>>, is_meant: impl FnMut(&(K, V)) -> bool) -> Option<V> {
    let mut entries = entries.borrow_mut();
    let place = entries.iter().position(is_meant)?;
    Some(entries.swap_remove(place).1)
}
