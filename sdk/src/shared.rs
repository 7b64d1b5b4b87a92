//! Owns what all workers' instances of a filter share: values, counters, token buckets, rolling windows. Each change is
//! a loop of read, compute and compare-and-swap, so that none is lost.
//!
//! Lifetimes are the host's: in the gateway shared data belongs to the filter's name and survives its reload; in Envoy it
//! lives as long as one VM with the same `vm_id`.

use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::milliseconds;
use crate::error::{Error, HostError, Result, Status};
use crate::host;

/// How often a change is tried again when others were faster. Each time at least one of them got ahead.
const MAX_ATTEMPTS: usize = 1_000;
/// A version that no value has: stores only if there is still no value.
pub(crate) const ABSENT: u32 = u32::MAX;
/// The parts of a rolling window; time moves on by one of them.
const WINDOW_PARTS: usize = 10;

/// A value of any serializable type.
#[derive(Clone, Debug)]
pub struct Shared<T> {
    key: String,
    value: PhantomData<T>,
}

/// As stored: with the time, in milliseconds since the Unix epoch, after which it counts as absent.
#[derive(serde::Serialize, serde::Deserialize)]
struct Stored<V> {
    until: Option<u64>,
    value: V,
}

impl<T: Serialize + DeserializeOwned> Shared<T> {
    /// The value of that name.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into(), value: PhantomData }
    }

    /// The value; `None` if there is none, its time is over, or it is of another type.
    ///
    /// # Errors
    /// The host refuses.
    pub fn get(&self) -> Result<Option<T>> {
        let Some((bytes, _)) = host::shared_data(&self.key)? else { return Ok(None) };
        decode(&bytes)
    }

    /// Stores the value.
    ///
    /// # Errors
    /// The host refuses, or has no room.
    pub fn set(&self, value: &T) -> Result<()> {
        Ok(host::set_shared_data(&self.key, &encode(None, value)?, 0)?)
    }

    /// Stores the value for a time.
    ///
    /// # Errors
    /// The host refuses, or has no room.
    pub fn set_for(&self, time: Duration, value: &T) -> Result<()> {
        let until = milliseconds(host::realtime()?.saturating_add(time));
        Ok(host::set_shared_data(&self.key, &encode(Some(until), value)?, 0)?)
    }

    /// Replaces the value by what `change` makes of it, which may run several times, and returns that.
    ///
    /// # Errors
    /// The host refuses, or others were faster a thousand times.
    pub fn update(&self, mut change: impl FnMut(Option<T>) -> T) -> Result<T> {
        update(&self.key, |bytes| {
            let value = change(bytes.map(decode).transpose()?.flatten());
            Ok((Some(encode(None, &value)?), value))
        })
    }
}

/// A number that all workers count up together.
#[derive(Clone, Debug)]
pub struct SharedCounter {
    key: String,
}

impl SharedCounter {
    /// The counter of that name; it starts at 0.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into() }
    }

    /// Adds, and returns the sum.
    ///
    /// # Errors
    /// The host refuses, or others were faster a thousand times.
    pub fn add(&self, number: u64) -> Result<u64> {
        update(&self.key, |bytes| {
            let sum = numbers::<1>(bytes)[0].saturating_add(number);
            Ok((Some(sum.to_le_bytes()), sum))
        })
    }

    /// The sum.
    ///
    /// # Errors
    /// The host refuses.
    pub fn get(&self) -> Result<u64> {
        Ok(numbers::<1>(host::shared_data(&self.key)?.as_ref().map(|(bytes, _)| bytes.as_slice()))[0])
    }
}

/// Whether something was admitted, and what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Whether all that was asked for was taken; otherwise nothing was.
    pub admitted: bool,
    /// What could be taken now.
    pub remaining: u64,
    /// After this time what was asked for could be taken, if nobody else comes first. Zero if it was admitted.
    pub retry_after: Duration,
    /// After this time everything could be taken.
    pub reset_after: Duration,
}

/// A bucket that refills steadily.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// How many tokens it holds, and starts with.
    pub burst: u64,
    /// How many tokens come in...
    pub tokens: u64,
    /// ...in this time.
    pub per: Duration,
}

impl TokenBucket {
    /// Takes tokens out of the bucket of that name, which all workers share.
    ///
    /// # Errors
    /// The host refuses, or others were faster a thousand times.
    pub fn take(&self, key: &str, tokens: u64) -> Result<Admission> {
        let now_ns = nanoseconds(host::realtime()?);
        update(key, |bytes| {
            // The bucket is full at the time `full_at`; each token taken moves it by one interval.
            let [stored] = numbers::<1>(bytes);
            let (admission, full_at) = self.decide(stored, now_ns, tokens);
            Ok((admission.admitted.then(|| full_at.to_le_bytes()), admission))
        })
    }

    /// The generic cell rate algorithm in nanoseconds: exact, with one number of state.
    fn decide(&self, stored_full_at: u64, now_ns: u64, tokens: u64) -> (Admission, u64) {
        let interval = nanoseconds(self.per).div_ceil(self.tokens.max(1)).max(1);
        let capacity = interval.saturating_mul(self.burst.max(1));
        // A time that no bucket can have comes from a clock that was set back.
        let full_at = stored_full_at.clamp(now_ns, now_ns.saturating_add(capacity));
        let after = full_at.saturating_add(interval.saturating_mul(tokens));
        let latest = now_ns.saturating_add(capacity);
        let admitted = after <= latest;
        let full_at = if admitted { after } else { full_at };
        let admission = Admission {
            admitted,
            remaining: (latest - full_at) / interval,
            retry_after: Duration::from_nanos(if admitted { 0 } else { after - latest }),
            reset_after: Duration::from_nanos(full_at - now_ns),
        };
        (admission, full_at)
    }
}

/// At most so many within any stretch of time of that length. Time moves on in tenths of it, so that what was taken comes
/// back up to a tenth later than it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingWindow {
    /// How many.
    pub limit: u64,
    /// Within which time.
    pub window: Duration,
}

impl RollingWindow {
    /// Takes from the window of that name, which all workers share.
    ///
    /// # Errors
    /// The host refuses, or others were faster a thousand times.
    pub fn take(&self, key: &str, amount: u64) -> Result<Admission> {
        let now_ns = nanoseconds(host::realtime()?);
        update(key, |bytes| {
            let mut state = numbers::<{ WINDOW_PARTS + 2 }>(bytes);
            let admission = self.decide(&mut state, now_ns, amount);
            let stored = || Numbers(state.map(u64::to_le_bytes));
            Ok((admission.admitted.then(stored), admission))
        })
    }

    /// The state is the number of the newest part, counted from the epoch, and what was taken in each of them: the last
    /// full window, and the part that has begun.
    fn decide(&self, state: &mut [u64; WINDOW_PARTS + 2], now_ns: u64, amount: u64) -> Admission {
        let part_ns = (nanoseconds(self.window) / WINDOW_PARTS as u64).max(1);
        let newest = now_ns / part_ns;
        let [stored_newest, taken @ ..] = state;
        let passed = usize::try_from(newest.saturating_sub(*stored_newest)).unwrap_or(usize::MAX);
        let passed = passed.min(taken.len());
        taken.rotate_right(passed);
        taken.iter_mut().take(passed).for_each(|part| *part = 0);
        *stored_newest = newest.max(*stored_newest);
        let sum = taken.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
        let after = sum.saturating_add(amount);
        let until = |parts: u64| Duration::from_nanos((newest + parts) * part_ns - now_ns);
        let oldest = taken.iter().rposition(|part| *part > 0);
        let free_in = |index: usize| until((taken.len() - index) as u64);
        if after > self.limit {
            // Parts leave from the oldest on; enough must leave for what was asked for.
            let mut leaving = 0_u64;
            let enough = (0..taken.len()).rev().find(|index| {
                leaving = leaving.saturating_add(taken[*index]);
                after.saturating_sub(leaving) <= self.limit
            });
            let retry_after = enough.map_or(self.window, free_in);
            let remaining = self.limit.saturating_sub(sum);
            let reset_after = taken.iter().position(|part| *part > 0).map_or(Duration::ZERO, free_in);
            return Admission { admitted: false, remaining, retry_after, reset_after };
        }
        let reset_after = if amount > 0 { free_in(0) } else { oldest.map_or(Duration::ZERO, free_in) };
        taken[0] = taken[0].saturating_add(amount);
        Admission { admitted: true, remaining: self.limit - after, retry_after: Duration::ZERO, reset_after }
    }
}

/// `change` gets what is stored, and answers what to store, if anything, and what to return.
fn update<B: AsRef<[u8]>, R>(
    key: &str,
    mut change: impl FnMut(Option<&[u8]>) -> Result<(Option<B>, R)>,
) -> Result<R> {
    for _ in 0..MAX_ATTEMPTS {
        let stored = host::shared_data(key)?;
        let (bytes, version) = match &stored {
            Some((bytes, version)) => (Some(bytes.as_slice()), *version),
            None => (None, ABSENT),
        };
        let (new, result) = change(bytes)?;
        let Some(new) = new else { return Ok(result) };
        match host::set_shared_data(key, new.as_ref(), version) {
            Ok(()) => return Ok(result),
            Err(HostError { status: Status::CasMismatch, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::new(format!("the shared value `{key}` is changed by others all the time")))
}

fn encode<T: Serialize>(until: Option<u64>, value: &T) -> Result<Vec<u8>> {
    let stored = Stored { until, value };
    serde_json::to_vec(&stored)
        .map_err(|error| Error::new(format!("a shared value has no JSON form: {error}")))
}

/// What another version of the filter stored in another form counts as absent.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>> {
    let Ok(Stored { until, value }) = serde_json::from_slice::<Stored<T>>(bytes) else { return Ok(None) };
    match until {
        Some(until) if milliseconds(host::realtime()?) >= until => Ok(None),
        _ => Ok(Some(value)),
    }
}

/// Numbers as they are stored.
struct Numbers<const N: usize>([[u8; 8]; N]);

impl<const N: usize> AsRef<[u8]> for Numbers<N> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_flattened()
    }
}

/// Numbers as they were stored; zeros if nothing or something else was.
fn numbers<const N: usize>(bytes: Option<&[u8]>) -> [u64; N] {
    let mut numbers = [0; N];
    let chunks = bytes.filter(|bytes| bytes.len() == N * 8).unwrap_or_default().chunks_exact(8);
    for (number, chunk) in numbers.iter_mut().zip(chunks) {
        *number = chunk.try_into().map_or(0, u64::from_le_bytes);
    }
    numbers
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
