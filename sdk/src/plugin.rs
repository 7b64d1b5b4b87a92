//! Owns one configured filter, from its initialization on, and the tasks it runs beside requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::config;
use crate::context::{Context, wait_for};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::logging;
use crate::reactor::Reactor;

/// How long requests wait for the filter to be initialized.
const INIT_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Plugin<F> {
    pub(crate) reactor: Rc<Reactor>,
    /// The one that serves; after another configuration, until its successor is initialized.
    filter: RefCell<Option<Rc<F>>>,
    state: Cell<State>,
    /// Requests that wait for the filter.
    waiting: RefCell<Vec<Waker>>,
    /// Tells an initialization that was overtaken by another one.
    generation: Cell<u32>,
    cx: Context,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Initializing,
    Ready,
    Failed,
}

impl<F: Filter> Plugin<F> {
    pub(crate) fn new(id: u32) -> Self {
        let reactor = Rc::new(Reactor::new(id));
        Self {
            cx: Context::new(reactor.clone(), false),
            reactor,
            filter: RefCell::default(),
            state: Cell::new(State::Failed),
            waiting: RefCell::default(),
            generation: Cell::new(0),
        }
    }

    /// Reads the configuration and initializes the filter; false refuses it. A filter that has to wait is taken at its
    /// word, and requests wait with it.
    pub(crate) fn configure(self: &Rc<Self>) -> bool {
        logging::follow_host_level();
        let config = match config::config::<F::Config>() {
            Ok(config) => config,
            Err(error) => {
                log::error!("{error}");
                return false;
            }
        };
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        self.state.set(State::Initializing);
        self.reactor.set_configuring(true);
        let plugin = self.clone();
        self.reactor.spawn(Box::pin(async move {
            let made = F::init(config, &plugin.cx).await;
            if plugin.generation.get() == generation {
                plugin.initialized(made);
            }
        }));
        self.run_tasks();
        // Without something to wait for there is nothing that a tick would have to start.
        if self.state.get() != State::Initializing {
            self.reactor.set_configuring(false);
            self.run_tasks();
        }
        self.state.get() != State::Failed
    }

    /// The filter, as soon as it is initialized.
    pub(crate) async fn ready(&self, cx: &Context) -> Result<Rc<F>> {
        if let Some(filter) = self.filter() {
            return Ok(filter);
        }
        let initialized = |task: &std::task::Context<'_>| {
            if self.state.get() != State::Initializing {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(task.waker().clone());
            Poll::Pending
        };
        wait_for(cx, INIT_WAIT, initialized).await;
        self.filter().ok_or(Error::NotReady)
    }

    pub(crate) fn filter(&self) -> Option<Rc<F>> {
        self.filter.borrow().clone()
    }

    fn initialized(self: &Rc<Self>, made: Result<F>) {
        match made {
            Ok(filter) => {
                let filter = Rc::new(filter);
                self.filter.replace(Some(filter.clone()));
                self.state.set(State::Ready);
                let cx = self.cx.clone();
                self.cx.spawn(async move { filter.background(&cx).await });
            }
            Err(error) => {
                log::error!("the filter cannot be initialized: {error}");
                self.state.set(State::Failed);
            }
        }
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// While it is configured there are no streams yet that could go on.
    fn run_tasks(&self) {
        while let Some(task) = self.reactor.next_woken() {
            if let crate::reactor::TaskId::Plugin(id) = task {
                self.reactor.run_task(id);
            }
        }
    }
}
