//! A head that is held back while its body is delivered: the filter decides on both, and changes both, before one byte
//! goes on. Only for filters that ask for it (`bodyWhilePaused`), and only for requests.
//!
//! The body is begun early, with the filters that the head has met so far; those after them join when the head reaches them.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use proxy_wasm_host::Direction;

use super::body::FilteredBody;
use super::chain::{Chain, Verdict};
use super::outcome::GuestCall;
use crate::body::BodySource;
use crate::request::RequestError;

impl Chain {
    /// Whether this member gets the body although it holds the head.
    pub(super) fn takes_body_early(&self, index: usize) -> bool {
        self.manifest(index).body_while_paused
            && self
                .stages_to(Direction::Request, index)
                .iter()
                .any(|stage| stage.member == index && stage.has_body)
    }

    /// Delivers the body to the members up to `index` until that one lets go of the head: by continuing in a callback for
    /// body or trailers, or by a resume from elsewhere. `body` is what is left then.
    pub(super) async fn hold_request(
        self: &Rc<Self>,
        index: usize,
        body: &mut BodySource,
    ) -> Result<Verdict, RequestError> {
        let begun = Instant::now();
        let mut filtered = FilteredBody::begun(self, std::mem::take(body), index);
        let decided = poll_fn(|context| {
            self.signals.register(Direction::Request, context);
            if let Some(outcome) = self.take_interruption() {
                return Poll::Ready(outcome.map(Verdict::Reply));
            }
            if self.signals.take_resumed(index, Direction::Request) || self.is_bypassed(index) {
                return Poll::Ready(filtered.release(index).map(|()| Verdict::Continue));
            }
            match filtered.poll_until_released(context) {
                Poll::Ready(Err(error)) => {
                    // A reply from a callback for the body stops the body.
                    let outcome = self.take_interruption().unwrap_or(Err(error));
                    Poll::Ready(outcome.map(Verdict::Reply))
                }
                Poll::Ready(Ok(())) => Poll::Ready(match self.take_interruption() {
                    Some(outcome) => outcome.map(Verdict::Reply),
                    None => Ok(Verdict::Continue),
                }),
                Poll::Pending => Poll::Pending,
            }
        });
        let decided = tokio::time::timeout(self.max_pause(index), decided).await;
        self.held(index, GuestCall::RequestHeaders, begun.elapsed());
        filtered.head_went_on();
        *body = BodySource::Filtered(Box::new(filtered));
        decided.unwrap_or_else(|_| Err(RequestError::filter(self.paused_too_long(index))))
    }
}

impl FilteredBody {
    /// Ready when the member that holds the head let go of it.
    fn poll_until_released(&mut self, context: &mut Context<'_>) -> Poll<Result<(), RequestError>> {
        while self.holds_head() {
            std::task::ready!(self.poll_step(context)).map_err(|error| RequestError::upload(&error))?;
        }
        Poll::Ready(Ok(()))
    }
}
