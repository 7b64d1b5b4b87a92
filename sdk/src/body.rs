//! Owns what a filter sees of bodies: whole, while the head is held, or piece by piece behind it.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use serde::de::DeserializeOwned;

use crate::error::{BodyError, Error, Result};
use crate::host::MapType;

/// How much of a body [`crate::Request::body`] and [`crate::Response::body`] hold.
pub const DEFAULT_BODY_BYTES: usize = 1024 * 1024;

/// A whole body.
#[derive(Clone, Debug)]
pub struct Body {
    map: MapType,
    bytes: Rc<Vec<u8>>,
}

impl Body {
    pub(crate) fn empty(map: MapType) -> Self {
        Self { map, bytes: Rc::default() }
    }

    /// From JSON.
    ///
    /// # Errors
    /// It is not JSON, or not of this type: by default 400 for a request and 502 for a response.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let problem = crate::config::without_value(&error.to_string());
            BodyError::Malformed { map: self.map, expected: "the expected JSON", problem }.into()
        })
    }

    /// As text.
    ///
    /// # Errors
    /// It is not UTF-8: by default 400 for a request and 502 for a response.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            BodyError::Malformed { map: self.map, expected: "text", problem: error.to_string() }.into()
        })
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Where the host's callbacks collect a body while the head is held.
#[derive(Default)]
pub(crate) struct Collected {
    bytes: RefCell<Rc<Vec<u8>>>,
    complete: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Collected {
    /// How much there is.
    pub(crate) fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    pub(crate) fn append(&self, bytes: &[u8], complete: bool) {
        Rc::make_mut(&mut self.bytes.borrow_mut()).extend_from_slice(bytes);
        self.complete.set(self.complete.get() || complete);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn poll_whole(
        &self,
        map: MapType,
        limit_bytes: usize,
        task: &TaskContext<'_>,
    ) -> Poll<Result<Body>> {
        if self.len() > limit_bytes {
            return Poll::Ready(Err(BodyError::TooLong { map, limit_bytes }.into()));
        }
        if self.complete.get() {
            return Poll::Ready(Ok(Body { map, bytes: self.bytes.borrow().clone() }));
        }
        self.waker.replace(Some(task.waker().clone()));
        Poll::Pending
    }
}

/// The pieces of a body as they pass. A piece that was looked at with [`Self::observe`] goes on as it came; one that was
/// taken with [`Self::take`] does not, and what is given to [`Self::write`] goes on instead. When the filter's function
/// ends early, the rest passes as it comes.
///
/// Waiting for something else than the body, such as a callout, holds the body back. Hosts take changed bytes only while
/// they bring a piece: after such a wait at the end of the body it is too late to write.
pub struct BodyStream {
    flow: Rc<StreamCell>,
}

/// Between the host's callbacks and a [`BodyStream`].
pub(crate) struct StreamCell {
    may_rewrite: bool,
    /// Arrived and not looked at.
    input: RefCell<Vec<u8>>,
    ended: Cell<bool>,
    /// To go on.
    output: RefCell<Vec<u8>>,
    /// Whether the output differs from what came.
    changed: Cell<bool>,
    /// Set while the filter waits for the next piece.
    hungry: RefCell<Option<Waker>>,
}

impl StreamCell {
    pub(crate) fn new(may_rewrite: bool) -> Self {
        Self {
            may_rewrite,
            input: RefCell::default(),
            ended: Cell::new(false),
            output: RefCell::default(),
            changed: Cell::new(false),
            hungry: RefCell::default(),
        }
    }

    pub(crate) fn stream(self: &Rc<Self>) -> BodyStream {
        BodyStream { flow: self.clone() }
    }

    pub(crate) fn feed(&self, bytes: &[u8], ended: bool) {
        self.input.borrow_mut().extend_from_slice(bytes);
        self.ended.set(ended);
        if let Some(waker) = self.hungry.take() {
            waker.wake();
        }
    }

    /// Whether the filter waits for the body and nothing else.
    pub(crate) fn is_hungry(&self) -> bool {
        self.hungry.borrow().is_some()
    }

    /// What has been fed since the last time becomes this; `None` if it stays as it is. `finished`: the filter looks at
    /// nothing more.
    pub(crate) fn emit(&self, finished: bool) -> Option<Vec<u8>> {
        if finished {
            self.output.borrow_mut().append(&mut self.input.borrow_mut());
        }
        let output = self.output.take();
        self.changed.replace(false).then_some(output)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed.get()
    }
}

impl BodyStream {
    /// The next piece, which goes on as it is; `None` at the end.
    pub async fn observe(&mut self) -> Option<Vec<u8>> {
        let piece = self.next().await?;
        self.flow.output.borrow_mut().extend_from_slice(&piece);
        Some(piece)
    }

    /// The next piece, taken out of the body; `None` at the end.
    ///
    /// # Errors
    /// The filter did not declare that it rewrites this body.
    pub async fn take(&mut self) -> Result<Option<Vec<u8>>> {
        self.check()?;
        let piece = self.next().await;
        if piece.is_some() {
            self.flow.changed.set(true);
        }
        Ok(piece)
    }

    /// Sends bytes on, behind everything before.
    ///
    /// # Errors
    /// The filter did not declare that it rewrites this body.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.check()?;
        self.flow.output.borrow_mut().extend_from_slice(bytes.as_ref());
        self.flow.changed.set(true);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if self.flow.may_rewrite {
            return Ok(());
        }
        let missing = "rewrites_request_body` or `rewrites_response_body";
        Err(Error::Body(BodyError::NotDeclared(missing)))
    }

    async fn next(&self) -> Option<Vec<u8>> {
        std::future::poll_fn(|task| {
            let piece = self.flow.input.take();
            if !piece.is_empty() {
                return Poll::Ready(Some(piece));
            }
            if self.flow.ended.get() {
                return Poll::Ready(None);
            }
            self.flow.hungry.replace(Some(task.waker().clone()));
            Poll::Pending
        })
        .await
    }
}
