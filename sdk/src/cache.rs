//! Owns answers that all workers' instances of a filter share for a time, and that only one of them fetches at a time.
//!
//! Built on shared data and compare-and-swap alone, so that it is the same on every host. Values lie in a fixed number of
//! slots, found by the key's hash: hosts other than the gateway never forget shared data, and a key per user would fill
//! their memory. Two keys with the same slot displace each other, which costs a fetch and nothing else.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::{Context, milliseconds};
use crate::error::{Error, HostError, Result, Status};
use crate::host;
use crate::shared::ABSENT;

/// Slots if nothing else is said.
const DEFAULT_SLOTS: u32 = 1_024;
/// How long a fetch may take if nothing else is said; after that another one may begin.
const DEFAULT_LOAD: Duration = Duration::from_secs(10);
/// How often an instance looks whether the fetch of another one has ended. One request of each instance looks.
const LOOK: Duration = Duration::from_millis(5);

/// Values by key, fetched when they are missing. Keep it in the filter: requests of one instance that want the same
/// value wait for each other without asking the host.
pub struct Cache<T> {
    name: String,
    slots: u32,
    load: Duration,
    /// Keys that a request of this instance is fetching, or waiting for.
    flights: RefCell<BTreeMap<String, Rc<Flight>>>,
    value: PhantomData<T>,
}

/// What a slot holds.
#[derive(Serialize, Deserialize)]
struct Slot<T> {
    key: String,
    /// In milliseconds since the Unix epoch: the end of the value, or of the time that its fetch may take.
    until: u64,
    /// `None` while it is fetched.
    value: Option<T>,
}

/// One request does, the others of this instance wait.
#[derive(Default)]
struct Flight {
    /// How it ended; `Err` with what the log says of it.
    ended: RefCell<Option<Result<(), String>>>,
    is_over: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

/// What to do about a key, by what its slot holds.
enum Found<T> {
    Value(T),
    /// Somebody else fetches it.
    Busy,
    /// Nobody has it; the slot is as of this version.
    Free(u32),
    /// Somebody fetches another key with this slot.
    Taken,
}

impl<T: Serialize + DeserializeOwned> Cache<T> {
    /// The cache of that name, which all instances of the filter share.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            slots: DEFAULT_SLOTS,
            load: DEFAULT_LOAD,
            flights: RefCell::default(),
            value: PhantomData,
        }
    }

    /// How many values there may be; the rest of the memory is the host's. All instances must say the same.
    #[must_use]
    pub const fn slots(mut self, slots: u32) -> Self {
        self.slots = if slots == 0 { 1 } else { slots };
        self
    }

    /// How long one fetch may take; then it fails, and another may begin.
    #[must_use]
    pub const fn load_within(mut self, time: Duration) -> Self {
        self.load = time;
        self
    }

    /// The value, if it is there and its time is not over.
    ///
    /// # Errors
    /// The host refuses.
    pub fn get(&self, key: &str) -> Result<Option<T>> {
        Ok(match self.look(key)? {
            Found::Value(value) => Some(value),
            _ => None,
        })
    }

    /// The value; if there is none, what `load` fetches, kept for `time`. However many requests of however many workers
    /// want it at once, one of them fetches, and the others wait for it.
    ///
    /// # Errors
    /// `load` failed, here or in the request that this one waited for; it took too long; or the host refuses. A failure
    /// is not kept: the next request tries again.
    pub async fn get_or_load(
        &self,
        cx: &Context,
        key: &str,
        time: Duration,
        load: impl AsyncFn() -> Result<T>,
    ) -> Result<T> {
        loop {
            if let Found::Value(value) = self.look(key)? {
                return Ok(value);
            }
            let known = self.flights.borrow().get(key).cloned();
            if let Some(flight) = known {
                match flight.end().await {
                    // The value is there now, or whoever fetched it has left.
                    Some(Ok(())) | None => continue,
                    Some(Err(reason)) => return Err(Error::new(reason)),
                }
            }
            let flight = Leading::begin(self, key);
            let result = self.lead(cx, key, time, &load).await;
            flight.end(
                result.as_ref().map(drop).map_err(|error| format!("loading it for another request: {error}")),
            );
            return result;
        }
    }

    /// For all requests of this instance that want the key.
    async fn lead(
        &self,
        cx: &Context,
        key: &str,
        time: Duration,
        load: &impl AsyncFn() -> Result<T>,
    ) -> Result<T> {
        loop {
            match self.look(key)? {
                Found::Value(value) => return Ok(value),
                Found::Busy => cx.sleep(LOOK).await?,
                Found::Taken => return cx.within(self.load, load()).await,
                Found::Free(version) => {
                    let until = milliseconds(host::realtime()?.saturating_add(self.load));
                    let claim = Slot::<T> { key: key.to_owned(), until, value: None };
                    match host::set_shared_data(&self.slot(key), &encode(&claim)?, version) {
                        Ok(()) => return self.fetch(cx, key, time, until, load).await,
                        Err(HostError { status: Status::CasMismatch, .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }

    /// The slot is claimed until `until`.
    async fn fetch(
        &self,
        cx: &Context,
        key: &str,
        time: Duration,
        until: u64,
        load: &impl AsyncFn() -> Result<T>,
    ) -> Result<T> {
        let claim = Claim { slot: self.slot(key), key: key.to_owned(), until };
        let value = cx.within(self.load, load()).await?;
        let kept = milliseconds(host::realtime()?.saturating_add(time));
        claim.fulfil(&encode(&Slot { key: key.to_owned(), until: kept, value: Some(&value) })?);
        Ok(value)
    }

    fn look(&self, key: &str) -> Result<Found<T>> {
        let Some((bytes, version)) = host::shared_data(&self.slot(key))? else {
            return Ok(Found::Free(ABSENT));
        };
        // What another version of the filter stored in another form is as good as nothing.
        let Ok(slot) = serde_json::from_slice::<Slot<T>>(&bytes) else { return Ok(Found::Free(version)) };
        if milliseconds(host::realtime()?) >= slot.until {
            return Ok(Found::Free(version));
        }
        Ok(match (slot.key == key, slot.value) {
            (true, Some(value)) => Found::Value(value),
            (true, None) => Found::Busy,
            (false, Some(_)) => Found::Free(version),
            (false, None) => Found::Taken,
        })
    }

    fn slot(&self, key: &str) -> String {
        format!("{}/{}", self.name, hash(key) % u64::from(self.slots))
    }
}

/// The request of this instance that the others wait for. When it is dropped on its way, one of them goes on.
struct Leading<'a, T> {
    cache: &'a Cache<T>,
    key: String,
    flight: Rc<Flight>,
}

impl<'a, T> Leading<'a, T> {
    fn begin(cache: &'a Cache<T>, key: &str) -> Self {
        let flight = Rc::new(Flight::default());
        cache.flights.borrow_mut().insert(key.to_owned(), flight.clone());
        Self { cache, key: key.to_owned(), flight }
    }

    fn end(self, result: Result<(), String>) {
        self.flight.ended.replace(Some(result));
    }
}

impl<T> Drop for Leading<'_, T> {
    fn drop(&mut self) {
        self.cache.flights.borrow_mut().remove(&self.key);
        self.flight.is_over.set(true);
        self.flight.waiting.take().into_iter().for_each(Waker::wake);
    }
}

impl Flight {
    /// How it ended; `None` if whoever led it has left.
    async fn end(self: Rc<Self>) -> Option<Result<(), String>> {
        std::future::poll_fn(|task| {
            if self.is_over.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(task.waker().clone());
            Poll::Pending
        })
        .await;
        self.ended.borrow().clone()
    }
}

/// A slot in which somebody else finds that this request fetches the value.
struct Claim {
    slot: String,
    key: String,
    until: u64,
}

impl Claim {
    /// Leaves the value in place of the claim.
    fn fulfil(self, slot: &[u8]) {
        self.replace(slot);
    }

    /// Only if it is still this claim: after its time somebody else may have made one. Where the host refuses, the claim
    /// ends by itself.
    fn replace(&self, bytes: &[u8]) {
        let Ok(Some((stored, version))) = host::shared_data(&self.slot) else { return };
        let claim = serde_json::from_slice::<Slot<serde::de::IgnoredAny>>(&stored);
        if claim
            .is_ok_and(|claim| claim.key == self.key && claim.until == self.until && claim.value.is_none())
        {
            let _ = host::set_shared_data(&self.slot, bytes, version);
        }
    }
}

impl Drop for Claim {
    /// The fetch failed, or its client left: the next one may begin at once.
    fn drop(&mut self) {
        self.replace(&[]);
    }
}

fn encode<T: Serialize>(slot: &Slot<T>) -> Result<Vec<u8>> {
    serde_json::to_vec(slot).map_err(|error| Error::new(format!("a cached value has no JSON form: {error}")))
}

/// FNV-1a: the same in every instance and version, which a hasher with a seed is not.
fn hash(key: &str) -> u64 {
    key.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
