//! Runs a filter natively: build a request, run the filter, look at the verdict, the edited headers and the log.
//!
//! Owns the test's side of the in-memory host. Callbacks go through the same dispatch as in a Wasm host.

use std::collections::HashMap;
use std::rc::Rc;

use crate::config::ConfigError;
use crate::error::Status;
use crate::filter::{self, Action, Filter, Stream};
use crate::host::native::{self, State};
use crate::host::{LogLevel, MapType, Pairs};
use crate::logging;

/// A configured filter under test.
pub struct Tester<F> {
    filter: Rc<F>,
    refusals: HashMap<&'static str, Status>,
}

impl<F: Filter> Tester<F> {
    /// Configures the filter, as a host does.
    ///
    /// # Errors
    /// The filter refuses the configuration.
    pub fn new(config: &str) -> Result<Self, ConfigError> {
        logging::install();
        let state = State { configuration: config.into(), ..State::default() };
        let (filter, _) = native::run(state, filter::configure::<F>);
        Ok(Self { filter: filter?, refusals: HashMap::new() })
    }

    /// From now on the host answers this call, such as `proxy_replace_header_map_value`, with `status`.
    #[must_use]
    pub fn refusing(mut self, call: &'static str, status: Status) -> Self {
        self.refusals.insert(call, status);
        self
    }

    /// Runs the request callback on a stream of its own.
    pub fn request(&self, request: TestRequest) -> Outcome {
        self.stream().request(request)
    }

    /// Runs the response callback on a stream of its own.
    pub fn response(&self, response: TestResponse) -> Outcome {
        self.stream().response(response)
    }

    /// A stream, for tests in which the response follows the request.
    pub fn stream(&self) -> TestStream<F> {
        TestStream { stream: Stream::new(Some(self.filter.clone())), refusals: self.refusals.clone() }
    }
}

/// One request and its response.
pub struct TestStream<F> {
    stream: Stream<F>,
    refusals: HashMap<&'static str, Status>,
}

impl<F: Filter> TestStream<F> {
    /// Runs the request callback.
    pub fn request(&mut self, request: TestRequest) -> Outcome {
        let TestRequest { headers, has_body, properties } = request;
        self.run(MapType::RequestHeaders, headers, properties, |stream| stream.on_request_headers(!has_body))
    }

    /// Runs the response callback.
    pub fn response(&mut self, response: TestResponse) -> Outcome {
        let callback = |stream: &mut Stream<F>| stream.on_response_headers(false);
        self.run(MapType::ResponseHeaders, response.headers, HashMap::new(), callback)
    }

    fn run(
        &mut self,
        map: MapType,
        headers: Pairs,
        properties: HashMap<Vec<u8>, Vec<u8>>,
        callback: impl FnOnce(&mut Stream<F>) -> Action,
    ) -> Outcome {
        let state = State {
            maps: HashMap::from([(map as u32, headers)]),
            refusals: self.refusals.clone(),
            properties,
            ..State::default()
        };
        let (action, mut state) = native::run(state, || callback(&mut self.stream));
        let headers = state.maps.remove(&(map as u32)).unwrap_or_default();
        Outcome { verdict: verdict(action, state.reply, state.closed), headers, logs: state.logs }
    }
}

fn verdict(action: Action, reply: Option<native::Reply>, closed: bool) -> Verdict {
    match (action, reply) {
        (_, Some(reply)) => Verdict::Replied(SentReply {
            status: reply.status,
            details: String::from_utf8_lossy(&reply.details).into_owned(),
            headers: reply.headers,
            body: reply.body,
        }),
        (_, None) if closed => Verdict::Closed,
        (Action::Continue, None) => Verdict::Continued,
        (Action::Pause, None) => Verdict::Held,
    }
}

/// A request to run a filter on.
#[derive(Clone, Debug)]
pub struct TestRequest {
    headers: Pairs,
    has_body: bool,
    properties: HashMap<Vec<u8>, Vec<u8>>,
}

impl TestRequest {
    /// A `GET` without a body.
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Any method, without a body.
    pub fn new(method: &str, path: &str) -> Self {
        let pseudo =
            [(":method", method), (":scheme", "https"), (":authority", "test.example"), (":path", path)];
        let headers = pseudo.map(|(name, value)| (name.into(), value.into())).to_vec();
        Self { headers, has_body: false, properties: HashMap::new() }
    }

    /// Adds a header, behind those of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase().into(), value.as_ref().into()));
        self
    }

    /// A body follows.
    #[must_use]
    pub const fn with_body(mut self) -> Self {
        self.has_body = true;
        self
    }

    /// What the host knows under this path.
    #[must_use]
    pub fn property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Self {
        self.properties.insert(path.join("\0").into(), value.as_ref().into());
        self
    }
}

/// A response to run a filter on.
#[derive(Clone, Debug)]
pub struct TestResponse {
    headers: Pairs,
}

impl TestResponse {
    /// A response with a body.
    pub fn new(status: u16) -> Self {
        Self { headers: vec![(":status".into(), status.to_string().into())] }
    }

    /// Adds a header, behind those of the same name.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase().into(), value.as_ref().into()));
        self
    }
}

/// What a filter did in one callback.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What became of the message.
    pub verdict: Verdict,
    /// The message's head as it goes on.
    pub headers: Pairs,
    /// What was logged, in order.
    pub logs: Vec<(LogLevel, String)>,
}

/// What became of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Continued,
    /// The client gets this answer.
    Replied(SentReply),
    /// The connection or stream was reset.
    Closed,
    /// Neither: the client waits.
    Held,
}

/// A local reply as it reached the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentReply {
    /// The HTTP status.
    pub status: u32,
    /// The reason for log and metrics.
    pub details: String,
    /// The headers, in order.
    pub headers: Pairs,
    /// The body.
    pub body: Vec<u8>,
}

impl Outcome {
    /// All values of a header of the message as it goes on; bytes that are not text are replaced.
    pub fn header_values(&self, name: &str) -> Vec<String> {
        values(&self.headers, name)
    }

    /// The local reply, if there is one.
    pub const fn reply(&self) -> Option<&SentReply> {
        match &self.verdict {
            Verdict::Replied(reply) => Some(reply),
            _ => None,
        }
    }
}

impl SentReply {
    /// All values of a header of the reply; bytes that are not text are replaced.
    pub fn header_values(&self, name: &str) -> Vec<String> {
        values(&self.headers, name)
    }
}

fn values(headers: &Pairs, name: &str) -> Vec<String> {
    let named = headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
    named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}
