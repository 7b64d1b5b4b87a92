//! Owns what a filter sees of a message in its headers callback.

use crate::error::{FilterError, HostError};
use crate::headers::Headers;
use crate::host::{self, MapType};

/// A request whose head has arrived.
#[derive(Debug)]
pub struct Request {
    headers: Headers,
    has_body: bool,
}

impl Request {
    pub(crate) const fn new(end_of_stream: bool) -> Self {
        Self { headers: Headers::new(MapType::RequestHeaders), has_body: !end_of_stream }
    }

    /// The head, to read.
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The head, to edit.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// The method, such as `GET`.
    ///
    /// # Errors
    /// See [`Self::path`].
    pub fn method(&self) -> Result<String, FilterError> {
        self.pseudo(":method")
    }

    /// The path with its query, as the client sent it.
    ///
    /// # Errors
    /// The host refuses, or has none, or it is not UTF-8.
    pub fn path(&self) -> Result<String, FilterError> {
        self.pseudo(":path")
    }

    /// The host that the client asks for, with the port if it named one.
    ///
    /// # Errors
    /// See [`Self::path`].
    pub fn authority(&self) -> Result<String, FilterError> {
        self.pseudo(":authority")
    }

    /// Rewrites path and query for everything behind this filter.
    ///
    /// # Errors
    /// The path is illegal, or the host refuses.
    pub fn set_path(&mut self, path: &str) -> Result<(), HostError> {
        self.headers.set(":path", path)
    }

    /// Whether a body, or trailers, follow.
    pub const fn has_body(&self) -> bool {
        self.has_body
    }

    /// A property of the request or its connection, such as `["source", "address"]`; see [`host::property`].
    ///
    /// # Errors
    /// The property exists but has no byte form.
    pub fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        host::property(path)
    }

    fn pseudo(&self, name: &str) -> Result<String, FilterError> {
        self.headers.get_str(name)?.ok_or_else(|| FilterError::new(format!("the request has no `{name}`")))
    }
}

/// A response whose head has arrived.
#[derive(Debug)]
pub struct Response {
    headers: Headers,
    has_body: bool,
}

impl Response {
    pub(crate) const fn new(end_of_stream: bool) -> Self {
        Self { headers: Headers::new(MapType::ResponseHeaders), has_body: !end_of_stream }
    }

    /// The head, to read.
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The head, to edit.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// The status code.
    ///
    /// # Errors
    /// The host refuses, or what it has is not a status code.
    pub fn status(&self) -> Result<u16, FilterError> {
        let status = self.headers.get_str(":status")?.unwrap_or_default();
        status.parse().map_err(|_| FilterError::new(format!("`{status}` is not a status code")))
    }

    /// Whether a body, or trailers, follow.
    pub const fn has_body(&self) -> bool {
        self.has_body
    }

    /// A property of the request, the response or the connection; see [`host::property`].
    ///
    /// # Errors
    /// The property exists but has no byte form.
    pub fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        host::property(path)
    }
}
