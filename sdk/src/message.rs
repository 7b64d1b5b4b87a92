//! Owns what a filter sees of a message while its head is held, and of the whole exchange when it is over.

use std::rc::Rc;

use crate::body::{Body, Collected, DEFAULT_BODY_BYTES};
use crate::error::{BodyError, Error, HostError, Result};
use crate::headers::Headers;
use crate::host::MapType;

/// A message whose head is held, as both directions have it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) headers: Headers,
    map: MapType,
    has_body: bool,
    /// `None` if the module has no callback for it.
    collected: Option<Rc<Collected>>,
    pub(crate) new_body: Option<Vec<u8>>,
}

impl std::fmt::Debug for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collected").field("bytes", &self.len()).finish()
    }
}

impl Message {
    pub(crate) const fn new(map: MapType, has_body: bool, collected: Option<Rc<Collected>>) -> Self {
        Self { headers: Headers::new(map), map, has_body, collected, new_body: None }
    }

    async fn body(&self, limit_bytes: usize) -> Result<Body> {
        if !self.has_body {
            return Ok(Body::empty(self.map));
        }
        let Some(collected) = &self.collected else {
            let option = if self.map == MapType::RequestHeaders { "request_body" } else { "response_body" };
            return Err(BodyError::NotDeclared(option).into());
        };
        std::future::poll_fn(|task| collected.poll_whole(self.map, limit_bytes, task)).await
    }

    /// The length that the sender announced holds no more; hosts frame a message without one anew.
    fn set_body(&mut self, body: Vec<u8>) -> Result<()> {
        if self.collected.is_none() || !self.has_body {
            return Err(BodyError::TooLate.into());
        }
        self.headers.remove("content-length")?;
        self.new_body = Some(body);
        Ok(())
    }
}

/// A request whose head is held.
#[derive(Debug)]
pub struct Request {
    pub(crate) message: Message,
}

impl Request {
    pub(crate) const fn new(message: Message) -> Self {
        Self { message }
    }

    /// The head, to read.
    pub const fn headers(&self) -> &Headers {
        &self.message.headers
    }

    /// The head, to edit.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.message.headers
    }

    /// The method, such as `GET`.
    ///
    /// # Errors
    /// See [`Self::path`].
    pub fn method(&self) -> Result<&str> {
        self.pseudo(":method")
    }

    /// The path with its query, as the client sent it.
    ///
    /// # Errors
    /// The host has none, or it is not UTF-8.
    pub fn path(&self) -> Result<&str> {
        self.pseudo(":path")
    }

    /// The path without its query.
    ///
    /// # Errors
    /// See [`Self::path`].
    pub fn path_only(&self) -> Result<&str> {
        let path = self.path()?;
        Ok(path.split_once('?').map_or(path, |(path, _)| path))
    }

    /// The host that the client asks for, with the port if it named one.
    ///
    /// # Errors
    /// See [`Self::path`].
    pub fn authority(&self) -> Result<&str> {
        self.pseudo(":authority")
    }

    /// Scheme, authority and path in the `http` crate's type.
    ///
    /// # Errors
    /// See [`Self::path`], or they do not make a URI.
    pub fn uri(&self) -> Result<http::Uri> {
        let scheme = self.headers().get_str(":scheme")?.unwrap_or("http");
        let parts = http::Uri::builder().scheme(scheme).authority(self.authority()?);
        parts.path_and_query(self.path()?).build().map_err(Error::new)
    }

    /// Rewrites path and query for everything behind this filter.
    ///
    /// # Errors
    /// The path is illegal.
    pub fn set_path(&mut self, path: &str) -> Result<(), HostError> {
        self.headers_mut().set(":path", path)
    }

    /// Whether a body, or trailers, follow.
    pub const fn has_body(&self) -> bool {
        self.message.has_body
    }

    /// Waits for the whole body, up to 1 MiB; the head stays held and can be edited afterwards. Needs the option
    /// `request_body` of `#[filter]`, and a host that brings bodies while a head is held: `bodyWhilePaused` in the
    /// gateway's manifest, `allow_on_headers_stop_iteration` in Envoy.
    ///
    /// # Errors
    /// It is too long (by default 413), or the filter did not declare that it reads it.
    pub async fn body(&self) -> Result<Body> {
        self.message.body(DEFAULT_BODY_BYTES).await
    }

    /// As [`Self::body`], with another limit. The host's own limit comes first.
    ///
    /// # Errors
    /// See [`Self::body`].
    pub async fn body_up_to(&self, limit_bytes: usize) -> Result<Body> {
        self.message.body(limit_bytes).await
    }

    /// Sends another body on. After [`Self::body`], and before waiting for anything else.
    ///
    /// # Errors
    /// There is no body to replace.
    pub fn set_body(&mut self, body: impl Into<Vec<u8>>) -> Result<()> {
        self.message.set_body(body.into())
    }

    fn pseudo(&self, name: &str) -> Result<&str> {
        self.headers().get_str(name)?.ok_or_else(|| Error::new(format!("the request has no `{name}`")))
    }
}

/// A response whose head is held.
#[derive(Debug)]
pub struct Response {
    pub(crate) message: Message,
}

impl Response {
    pub(crate) const fn new(message: Message) -> Self {
        Self { message }
    }

    /// The head, to read.
    pub const fn headers(&self) -> &Headers {
        &self.message.headers
    }

    /// The head, to edit.
    pub const fn headers_mut(&mut self) -> &mut Headers {
        &mut self.message.headers
    }

    /// The status.
    ///
    /// # Errors
    /// What the host has is not a status.
    pub fn status(&self) -> Result<http::StatusCode> {
        status_of(self.headers())
    }

    /// Whether a body, or trailers, follow.
    pub const fn has_body(&self) -> bool {
        self.message.has_body
    }

    /// Waits for the whole body, up to 1 MiB; see [`Request::body`]. Needs the option `response_body` of `#[filter]`.
    ///
    /// # Errors
    /// It is too long (by default 502), or the filter did not declare that it reads it.
    pub async fn body(&self) -> Result<Body> {
        self.message.body(DEFAULT_BODY_BYTES).await
    }

    /// As [`Self::body`], with another limit. The host's own limit comes first.
    ///
    /// # Errors
    /// See [`Self::body`].
    pub async fn body_up_to(&self, limit_bytes: usize) -> Result<Body> {
        self.message.body(limit_bytes).await
    }

    /// Sends another body on. After [`Self::body`], and before waiting for anything else.
    ///
    /// # Errors
    /// There is no body to replace.
    pub fn set_body(&mut self, body: impl Into<Vec<u8>>) -> Result<()> {
        self.message.set_body(body.into())
    }
}

/// A request and its response when both are over. Parts that never came are empty.
#[derive(Debug)]
pub struct Exchange {
    request: Headers,
    response: Headers,
}

impl Exchange {
    pub(crate) const fn new() -> Self {
        Self {
            request: Headers::new(MapType::RequestHeaders),
            response: Headers::new(MapType::ResponseHeaders),
        }
    }

    /// The request's head as it went on.
    pub const fn request(&self) -> &Headers {
        &self.request
    }

    /// The response's head as it went to the client.
    pub const fn response(&self) -> &Headers {
        &self.response
    }

    /// The status that the client got; `None` if there was no response.
    pub fn status(&self) -> Option<http::StatusCode> {
        let status = self.response.get_alone(":status").ok()??;
        http::StatusCode::from_bytes(&status).ok()
    }
}

fn status_of(headers: &Headers) -> Result<http::StatusCode> {
    let status = headers.get(":status").unwrap_or_default();
    http::StatusCode::from_bytes(status)
        .map_err(|_| Error::new(format!("`{}` is not a status", String::from_utf8_lossy(status))))
}
