//! Owns what a filter can do beside reading and editing messages: call out, wait, remember, share, count.

use std::any::{Any, TypeId};
use std::cell::{OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use crate::call::Upstream;
use crate::combine::{Either, race};
use crate::error::{Error, HostError, Result};
use crate::host::{self, Properties, PropertyList};
use crate::reactor::{Reactor, TimerKey};

/// What a filter can do beside reading and editing messages. One per stream, and one for the plugin itself. Cheap to
/// clone.
#[derive(Clone)]
pub struct Context {
    inner: Rc<Inner>,
}

struct Inner {
    reactor: Rc<Reactor>,
    is_stream: bool,
    kept: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
    trace: OnceCell<Vec<(String, Vec<u8>)>>,
}

/// What callouts pass on (W3C Trace Context, section 2.2).
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

impl Context {
    pub(crate) fn new(reactor: Rc<Reactor>, is_stream: bool) -> Self {
        let inner = Inner { reactor, is_stream, kept: RefCell::default(), trace: OnceCell::new() };
        Self { inner: Rc::new(inner) }
    }

    /// That of another stream. Its memory is used again, unless somebody has it still.
    pub(crate) fn renew(&mut self, reactor: &Rc<Reactor>) {
        self.forget();
        match Rc::get_mut(&mut self.inner) {
            Some(inner) if Rc::ptr_eq(&inner.reactor, reactor) => {}
            _ => *self = Self::new(reactor.clone(), true),
        }
    }

    /// Drops what the phases of a stream kept.
    pub(crate) fn forget(&mut self) {
        if let Some(inner) = Rc::get_mut(&mut self.inner) {
            inner.kept.get_mut().clear();
            inner.trace.take();
        }
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.inner.reactor
    }

    /// An upstream of the host to call. In Envoy it is a cluster. Calls carry the request's trace context.
    pub const fn http<'a>(&'a self, upstream: &'a str) -> Upstream<'a> {
        Upstream::new(upstream, self)
    }

    /// Waits. Hosts tick in whole milliseconds, and a busy one may be late.
    pub fn sleep(&self, time: Duration) -> Sleep {
        Sleep { reactor: self.inner.reactor.clone(), time, timer: None }
    }

    /// Gives `work` this long, and drops it then.
    ///
    /// # Errors
    /// What `work` ends with, or [`Error::TimedOut`].
    pub async fn within<T>(&self, time: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        match race(work, self.sleep(time)).await {
            Either::First(result) => result,
            Either::Second(_) => Err(Error::TimedOut(time)),
        }
    }

    /// Does `work` now and then again each time that `period` has passed, for as long as it is awaited. What fails is
    /// logged, and tried again in its turn. Periods vary by up to a tenth, so that workers do not act all at once.
    ///
    /// # Errors
    /// The host has no clock.
    pub async fn every(&self, period: Duration, mut work: impl AsyncFnMut() -> Result<()>) -> Result<()> {
        loop {
            if let Err(error) = work().await {
                log::error!("background work failed, next attempt in {} ms: {error}", milliseconds(period));
            }
            let jitter = host::monotonic()?.subsec_nanos() % 100;
            self.sleep(period - period / 1_000 * jitter).await?;
        }
    }

    /// Runs `work` beside this stream: it goes on when the stream has ended, and calls out as the plugin.
    pub fn spawn(&self, work: impl Future<Output = Result<()>> + 'static) {
        self.inner.reactor.spawn(Box::pin(async move {
            if let Err(error) = work.await {
                log::error!("background work failed: {error}");
            }
        }));
    }

    /// Keeps a value for the later phases of the stream, one of each type.
    pub fn keep<T: 'static>(&self, value: T) {
        let mut kept = self.inner.kept.borrow_mut();
        kept.retain(|(id, _)| *id != TypeId::of::<T>());
        kept.push((TypeId::of::<T>(), Rc::new(value)));
    }

    /// The value that an earlier phase kept.
    pub fn kept<T: 'static>(&self) -> Option<Rc<T>> {
        let kept = self.inner.kept.borrow();
        let found = kept.iter().find(|(id, _)| *id == TypeId::of::<T>())?.1.clone();
        found.downcast().ok()
    }

    /// A property of the stream, its connection or the plugin, such as `["source", "address"]`; see
    /// [`host::property`].
    ///
    /// # Errors
    /// The property exists but has no byte form.
    pub fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        host::property(path)
    }

    /// The same as text; `None` also if it is not text.
    pub fn property_str(&self, path: &[&str]) -> Option<String> {
        host::property(path).ok().flatten().and_then(|value| String::from_utf8(value).ok())
    }

    /// The same as a number; `None` also if it is not 8 bytes.
    pub fn property_number(&self, path: &[&str]) -> Option<u64> {
        let value = host::property(path).ok().flatten()?;
        Some(u64::from_le_bytes(value.try_into().ok()?))
    }

    /// Several properties at once, which takes less time than one by one. The list is best made when the filter is.
    pub fn properties<const N: usize>(&self, list: &PropertyList<N>) -> Properties<N> {
        list.read()
    }

    /// The client's address, without its port, as the host sees it.
    pub fn client_ip(&self) -> Option<IpAddr> {
        ip(&source_address()?)
    }

    /// The same as text, an IPv4 address in the form of IPv6 as the IPv4 address: for keys and logs. Of IPv4, which hosts write
    /// in one form only, nothing is parsed.
    pub fn client_ip_text(&self) -> Option<String> {
        let mut address = source_address()?;
        let end = address.bytes().position(|byte| byte == b':').unwrap_or(address.len());
        if end > 0 && address.as_bytes()[..end].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.')) {
            address.truncate(end);
            return Some(address);
        }
        Some(ip(&address)?.to_canonical().to_string())
    }

    /// The name of the route that was chosen, if it has one.
    pub fn route_name(&self) -> Option<String> {
        self.property_str(&["xds", "route_name"]).filter(|name| !name.is_empty())
    }

    /// Time since the Unix epoch.
    ///
    /// # Errors
    /// The host has no clock.
    pub fn now(&self) -> Result<Duration, HostError> {
        host::realtime()
    }

    /// Time on a clock that never goes back.
    ///
    /// # Errors
    /// The host has no clock.
    pub fn monotonic(&self) -> Result<Duration, HostError> {
        host::monotonic()
    }

    /// As properties, which hosts answer in every phase.
    pub(crate) fn trace_headers(&self) -> Vec<(String, Vec<u8>)> {
        if !self.inner.is_stream {
            return Vec::new();
        }
        let read = || {
            let value = |name: &str| host::property(&["request", "headers", name]).ok().flatten();
            TRACE_HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
        };
        self.inner.trace.get_or_init(read).clone()
    }
}

/// With its port, if the host tells that.
fn source_address() -> Option<String> {
    String::from_utf8(host::property_at(b"source\0address").ok()??).ok()
}

fn ip(address: &str) -> Option<IpAddr> {
    let socket = address.parse::<SocketAddr>().map(|socket| socket.ip());
    socket.or_else(|_| address.parse()).ok()
}

/// What a log line says of a time; there is no finer one here.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000).saturating_add(u64::from(time.subsec_millis()))
}

/// Waits; from [`Context::sleep`].
#[must_use = "await it"]
pub struct Sleep {
    reactor: Rc<Reactor>,
    time: Duration,
    timer: Option<TimerKey>,
}

impl Future for Sleep {
    type Output = Result<(), HostError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let now = match host::monotonic() {
            Ok(now) => now,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let at = match self.timer.take() {
            Some((at, number)) => {
                self.reactor.remove_timer((at, number));
                at
            }
            None => now.saturating_add(self.time),
        };
        if at <= now + EARLY {
            return Poll::Ready(Ok(()));
        }
        self.timer = Some(self.reactor.add_timer(at, task.waker().clone()));
        Poll::Pending
    }
}

/// What counts as in time: as much as the reactor lets a tick be early.
const EARLY: Duration = Duration::from_micros(500);

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.reactor.remove_timer(timer);
        }
    }
}

/// Waits until `ready` has a value, or the time has passed.
pub(crate) async fn wait_for<T>(
    cx: &Context,
    time: Duration,
    mut ready: impl FnMut(&TaskContext<'_>) -> Poll<T>,
) -> Option<T> {
    let waiting = pin!(std::future::poll_fn(|task| ready(task)));
    match race(waiting, cx.sleep(time)).await {
        Either::First(value) => Some(value),
        Either::Second(_) => None,
    }
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
