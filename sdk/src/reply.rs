//! Owns the answers that a filter gives itself.

use crate::error::{HostError, Status};
use crate::headers::{is_legal_name, is_legal_value};
use crate::host;

/// From the `http` crate's type.
impl<B: Into<Vec<u8>>> From<http::Response<B>> for LocalReply {
    fn from(response: http::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        Self {
            status: head.status.as_u16(),
            details: String::new(),
            headers: headers.collect(),
            body: body.into(),
        }
    }
}

/// The statuses of a final response.
const FINAL_STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

/// An answer to the client from the filter instead of the upstream. For gRPC clients the host turns it into a gRPC
/// error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a reply takes effect when a callback returns it"]
pub struct LocalReply {
    status: u16,
    details: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl LocalReply {
    /// An answer without a body. The status must be a final one, 200 to 599.
    pub const fn new(status: u16) -> Self {
        Self { status, details: String::new(), headers: Vec::new(), body: Vec::new() }
    }

    /// The reason for access log and metrics, such as `api_key_missing`; the client does not see it.
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// Adds a header. `content-length` is the host's to set.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A plain text body.
    pub fn text(self, body: impl Into<String>) -> Self {
        self.body("text/plain; charset=utf-8", body.into())
    }

    /// A JSON body. What has no JSON form becomes `null`.
    pub fn json(self, body: &impl serde::Serialize) -> Self {
        self.body("application/json", serde_json::to_vec(body).unwrap_or_else(|_| b"null".to_vec()))
    }

    /// A body of any other type.
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", content_type)
    }

    /// # Errors
    /// Status or headers are illegal, or the host refuses.
    pub(crate) fn send(&self) -> Result<(), HostError> {
        let legal = |(name, value): &(String, Vec<u8>)| is_legal_name(name) && is_legal_value(value);
        if !FINAL_STATUSES.contains(&self.status) || !self.headers.iter().all(legal) {
            return Err(HostError::new("proxy_send_local_response", Status::BadArgument));
        }
        host::send_local_reply(self.status, &self.details, &self.headers, &self.body)
    }
}
