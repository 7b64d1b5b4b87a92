//! Paced clients of HTTP/1.1 and HTTP/2, with TLS and without. They never retry, and check every response.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use crate::tally::Tally;

pub(crate) const HOST: &str = "test.example";
/// Every client now and then takes another connection, so that accepting and shaking hands go on.
const REQUESTS_PER_CONNECTION: usize = 200;
/// Requests under way per connection of HTTP/2.
pub(crate) const STREAMS: u32 = 8;
/// What clients of HTTP/2 take of bodies before they have read it.
const WINDOW_BYTES: u32 = 1 << 20;
/// Far longer than anything should take; without it a client that hangs would not be counted.
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_HEAD_BYTES: usize = 64 * 1024;

pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// Where a client connects to, and how.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// With the protocols that it offers; `None` is plain text.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Target {
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Socket>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(HOST).expect("a name");
        Ok(Box::new(TlsConnector::from(tls.clone()).connect(name, stream).await?))
    }

    pub(crate) async fn connect_http2(&self) -> io::Result<SendRequest<Bytes>> {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let connecting = builder.handshake(self.connect().await?);
        let (sender, connection) = connecting.await.map_err(io::Error::other)?;
        // Its errors are those of the requests.
        drop(Handle::current().spawn(connection));
        Ok(sender)
    }
}

/// When the next request is due.
struct Pace {
    due: Instant,
    interval: Duration,
}

impl Pace {
    fn per_second(rate: f64) -> Self {
        Self { due: Instant::now(), interval: Duration::from_secs_f64(1.0 / rate) }
    }

    async fn next(&mut self) {
        sleep_until(self.due).await;
        // What could not be sent in time, because the machine was busy elsewhere, is not sent at once later.
        self.due = (self.due + self.interval).max(Instant::now());
    }
}

/// Every fourth request is a POST.
fn body_of(number: usize) -> &'static [u8] {
    static BODY: [u8; 1000] = [b'x'; 1000];
    if number % 4 == 3 { &BODY } else { b"" }
}

fn check(number: usize, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let expected = match body_of(number) {
        b"" => b"ok",
        sent => sent,
    };
    let is_marked = headers.contains_key("x-config") && headers.contains_key("x-stamp");
    if status != 200 || body != expected || !is_marked {
        let text = String::from_utf8_lossy(&body[..body.len().min(100)]);
        return Err(format!("{status} {headers:?} {text}"));
    }
    Ok(())
}

/// One client of HTTP/1.1.
pub(crate) async fn http1(target: Target, rate: f64, tally: Arc<Tally>) {
    let mut pace = Pace::per_second(rate);
    while !tally.is_over() {
        let mut stream = match timeout(PATIENCE, target.connect()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tally.fail(format!("HTTP/1.1, connecting: {error}")),
            Err(_) => return tally.fail("HTTP/1.1, connecting: it takes for ever".to_owned()),
        };
        for number in 0..REQUESTS_PER_CONNECTION {
            pace.next().await;
            if tally.is_over() {
                return;
            }
            match timeout(PATIENCE, exchange(&mut stream, number)).await {
                Ok(Ok(())) => tally.note(),
                Ok(Err(error)) => {
                    tally.fail(format!("HTTP/1.1, request {number} of its connection: {error}"));
                    break;
                }
                Err(_) => {
                    tally.fail("HTTP/1.1: no response".to_owned());
                    break;
                }
            }
        }
    }
}

async fn exchange(stream: &mut Box<dyn Socket>, number: usize) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let body = body_of(number);
    let head = match body {
        b"" => format!("GET /load HTTP/1.1\r\nhost: {HOST}\r\n\r\n"),
        body => format!("POST /load HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {}\r\n\r\n", body.len()),
    };
    stream.write_all(&[head.as_bytes(), body].concat()).await.map_err(text)?;
    stream.flush().await.map_err(text)?;
    let mut bytes = Vec::with_capacity(2048);
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > MAX_HEAD_BYTES || stream.read_buf(&mut bytes).await.map_err(text)? == 0 {
            return Err(format!("no head, but {:?}", String::from_utf8_lossy(&bytes)));
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let (status, headers) = parse(&head).ok_or_else(|| format!("no head of HTTP/1.1: {head:?}"))?;
    let length = headers.get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    let length: usize = length.ok_or_else(|| format!("no length: {head:?}"))?;
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.map_err(text)? == 0 {
            return Err(format!("a body of {} bytes in place of {length}", bytes.len() - end));
        }
    }
    check(number, status, &headers, &bytes[end..])
}

fn parse(head: &str) -> Option<(StatusCode, HeaderMap)> {
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.append(http::HeaderName::try_from(name).ok()?, value.trim().parse().ok()?);
    }
    Some((status, headers))
}

/// One client of HTTP/2, with a few requests under way at a time.
pub(crate) async fn http2(target: Target, rate: f64, tally: Arc<Tally>) {
    while !tally.is_over() {
        let sender = match timeout(PATIENCE, target.connect_http2()).await {
            Ok(Ok(sender)) => sender,
            Ok(Err(error)) => return tally.fail(format!("HTTP/2, connecting: {error}")),
            Err(_) => return tally.fail("HTTP/2, connecting: it takes for ever".to_owned()),
        };
        let tasks: Vec<_> = (0..STREAMS)
            .map(|_| {
                let (sender, tally) = (sender.clone(), tally.clone());
                Handle::current().spawn(streams(sender, rate / f64::from(STREAMS), tally))
            })
            .collect();
        for task in tasks {
            task.await.expect("a client that ends");
        }
    }
}

async fn streams(sender: SendRequest<Bytes>, rate: f64, tally: Arc<Tally>) {
    let mut pace = Pace::per_second(rate);
    for number in 0..REQUESTS_PER_CONNECTION {
        pace.next().await;
        if tally.is_over() {
            return;
        }
        match timeout(PATIENCE, stream(sender.clone(), number)).await {
            Ok(Ok(())) => tally.note(),
            Ok(Err(error)) => return tally.fail(format!("HTTP/2: {error}")),
            Err(_) => return tally.fail("HTTP/2: no response".to_owned()),
        }
    }
}

async fn stream(sender: SendRequest<Bytes>, number: usize) -> Result<(), String> {
    let text = |error: h2::Error| error.to_string();
    let body = body_of(number);
    let method = if body.is_empty() { "GET" } else { "POST" };
    let request = Request::builder().method(method).uri(format!("https://{HOST}/load"));
    let request = request.body(()).expect("a legal request");
    let mut sender = sender.ready().await.map_err(text)?;
    let (response, mut send) = sender.send_request(request, body.is_empty()).map_err(text)?;
    if !body.is_empty() {
        // Far smaller than any window.
        send.send_data(Bytes::from_static(body), true).map_err(text)?;
    }
    let (parts, mut incoming) = response.await.map_err(text)?.into_parts();
    let mut whole = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data.map_err(text)?;
        incoming.flow_control().release_capacity(data.len()).map_err(text)?;
        whole.extend_from_slice(&data);
    }
    check(number, parts.status, &parts.headers, &whole)
}
