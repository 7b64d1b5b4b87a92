//! What guests asked of a stream outside of the callback that is being awaited: resume, reply, close, or the death of
//! the virtual machine. Written by `wasm` when it drains effects, read by whoever waits.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use proxy_wasm_host::{Direction, LocalReply};
use smallvec::SmallVec;

use crate::request::Reason;

/// Filters of a chain that need no allocation of their own.
pub(super) const INLINE_MEMBERS: usize = 3;

/// The signals of one stream, shared by its chain and by the virtual machines of its filters.
pub(crate) struct Signals {
    members: SmallVec<[MemberSignals; INLINE_MEMBERS]>,
    /// Whoever waits in a direction; the two directions may be different tasks.
    wakers: [RefCell<Option<Waker>>; 2],
}

#[derive(Default)]
struct MemberSignals {
    resumed: [Cell<bool>; 2],
    /// Boxed: few streams have one.
    reply: RefCell<Option<Box<LocalReply>>>,
    closed: Cell<bool>,
    /// The guest failed the stream.
    failed: Cell<bool>,
    vm_failed: Cell<Option<Reason>>,
}

const fn slot(direction: Direction) -> usize {
    match direction {
        Direction::Request => 0,
        Direction::Response => 1,
    }
}

impl Signals {
    pub(crate) fn new(members: usize) -> Rc<Self> {
        let members = std::iter::repeat_with(MemberSignals::default).take(members).collect();
        Rc::new(Self { members, wakers: [RefCell::new(None), RefCell::new(None)] })
    }

    pub(crate) fn resume(&self, member: usize, direction: Direction) {
        self.members[member].resumed[slot(direction)].set(true);
        self.wake();
    }

    /// The first reply wins; a later one is dropped (no stream is answered twice).
    pub(crate) fn reply(&self, member: usize, reply: LocalReply) {
        self.members[member].reply.borrow_mut().get_or_insert_with(|| Box::new(reply));
        self.wake();
    }

    pub(crate) fn close(&self, member: usize) {
        self.members[member].closed.set(true);
        self.wake();
    }

    pub(crate) fn fail(&self, member: usize) {
        self.members[member].failed.set(true);
        self.wake();
    }

    pub(crate) fn vm_failed(&self, member: usize, reason: Reason) {
        self.members[member].vm_failed.set(Some(reason));
        self.wake();
    }

    /// Whether the guest resumed this direction since it was last asked.
    pub(crate) fn take_resumed(&self, member: usize, direction: Direction) -> bool {
        self.members[member].resumed[slot(direction)].replace(false)
    }

    pub(crate) fn has_reply(&self, member: usize) -> bool {
        self.members[member].reply.borrow().is_some()
    }

    pub(crate) fn take_reply(&self, member: usize) -> Option<LocalReply> {
        self.members[member].reply.borrow_mut().take().map(|reply| *reply)
    }

    pub(crate) fn is_closed(&self, member: usize) -> bool {
        self.members[member].closed.get()
    }

    /// Whether the guest failed the stream.
    pub(crate) fn is_failed(&self, member: usize) -> bool {
        self.members[member].failed.get()
    }

    /// Why the virtual machine died, if it did.
    pub(crate) fn vm_failure(&self, member: usize) -> Option<Reason> {
        self.members[member].vm_failed.get()
    }

    /// Remembers whom to wake when anything changes.
    pub(crate) fn register(&self, direction: Direction, context: &Context<'_>) {
        let mut waker = self.wakers[slot(direction)].borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }

    fn wake(&self) {
        for waker in &self.wakers {
            if let Some(waker) = waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}
