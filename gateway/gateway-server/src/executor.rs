//! Where hyper runs what it does beside the task that called it: on the worker's own thread, like everything else.

/// Runs HTTP/2 streams and connections on the runtime of the worker that polls them.
#[derive(Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
