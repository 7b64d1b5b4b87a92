//! The entry of a Wasm host: brings the `proxy-wasm` crate's callbacks to [`crate::filter`]. Decides nothing itself.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

use crate::filter::{self, Filter, Stream};
use crate::logging;

/// Called once by [`crate::filter!`], before the host has made any context; hosts allow next to no calls here.
pub fn start<F: Filter>() {
    logging::install();
    proxy_wasm::set_root_context(|_| Box::new(Plugin::<F> { filter: None }));
}

struct Plugin<F> {
    filter: Option<Rc<F>>,
}

impl<F: Filter> Context for Plugin<F> {}

impl<F: Filter> RootContext for Plugin<F> {
    /// A configuration that is refused leaves the one before it in place.
    fn on_configure(&mut self, _size: usize) -> bool {
        logging::follow_host_level();
        match filter::configure() {
            Ok(filter) => {
                self.filter = Some(filter);
                true
            }
            Err(error) => {
                log::error!("{error}");
                false
            }
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http(Stream::new(self.filter.clone()))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Http<F>(Stream<F>);

impl<F: Filter> Context for Http<F> {}

impl<F: Filter> HttpContext for Http<F> {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        action(self.0.on_request_headers(end_of_stream))
    }

    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        action(self.0.on_response_headers(end_of_stream))
    }
}

const fn action(action: filter::Action) -> Action {
    match action {
        filter::Action::Continue => Action::Continue,
        filter::Action::Pause => Action::Pause,
    }
}
