//! The `date` header, written once per second instead of once per response.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

/// The `date` header of the current second (RFC 9110, section 6.6.1).
pub(super) struct DateHeader {
    second: u64,
    value: HeaderValue,
}

impl DateHeader {
    pub(super) fn new(now: SystemTime) -> Self {
        let second = seconds(now);
        Self { second, value: format(second) }
    }

    pub(super) fn update(&mut self, now: SystemTime) {
        if seconds(now) != self.second {
            *self = Self::new(now);
        }
    }

    pub(super) fn value(&self) -> HeaderValue {
        self.value.clone()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn format(second: u64) -> HeaderValue {
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
    // The format is plain ASCII; the fallback keeps this total.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}
