//! Bodies far larger than memory should be, through peers that are slow: what waits, waits where it came from.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_tests::mortal::free_address;
use gateway_tests::{Request, noise, pause};

use crate::gateway::{Gateway, mib};
use crate::load::Target;

const BODY_BYTES: u64 = 1 << 30;
const BYTES_PER_SECOND: u64 = 10_000_000;
const MAX_GROWTH_BYTES: u64 = 10 << 20;
/// The body is this block again and again.
const BLOCK_BYTES: usize = 64 * 1024;
const TOLERANCE: f64 = 0.7;

/// Takes a body at a limited speed, and compares every byte.
struct SlowReader {
    block: Vec<u8>,
    begun: Instant,
    taken: u64,
}

impl SlowReader {
    fn new() -> Self {
        Self { block: noise(BLOCK_BYTES), begun: Instant::now(), taken: 0 }
    }

    /// How long to wait before these bytes may have been taken.
    fn take(&mut self, mut bytes: &[u8]) -> Duration {
        while !bytes.is_empty() {
            let from = usize::try_from(self.taken % BLOCK_BYTES as u64).expect("small");
            let length = bytes.len().min(BLOCK_BYTES - from);
            assert!(bytes[..length] == self.block[from..from + length], "other bytes after {}", self.taken);
            self.taken += length as u64;
            bytes = &bytes[length..];
        }
        let due = Duration::from_secs_f64(self.taken as f64 / BYTES_PER_SECOND as f64);
        due.saturating_sub(self.begun.elapsed())
    }

    fn read(mut self, mut source: impl Read) -> io::Result<u64> {
        let mut chunk = vec![0; 32 * 1024];
        while self.taken < BODY_BYTES {
            match source.read(&mut chunk)? {
                0 => break,
                length => pause(self.take(&chunk[..length])),
            }
        }
        Ok(self.taken)
    }
}

fn write_body(mut sink: impl Write) -> io::Result<()> {
    let block = noise(BLOCK_BYTES);
    (0..BODY_BYTES / BLOCK_BYTES as u64).try_for_each(|_| sink.write_all(&block))
}

/// The head, and what came with it of the body.
fn read_head(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => bytes.extend_from_slice(&chunk[..length]),
        }
    }
}

/// An origin that reads uploads slowly and writes downloads as fast as they are taken; what it took of uploads.
fn origin() -> (SocketAddr, std::sync::mpsc::Receiver<u64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let (sender, taken) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || -> io::Result<()> {
                let (head, rest) = read_head(&mut stream)?;
                if head.starts_with("POST /upload ") {
                    let body = rest.chain(&stream);
                    // The test waits for it, and says so if it never comes.
                    let _ = sender.send(SlowReader::new().read(body)?);
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                } else if head.starts_with("GET /download ") {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
                    stream.write_all(head.as_bytes())?;
                    write_body(&stream)
                } else {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                }
            });
        }
    });
    (address, taken)
}

struct Started {
    gateway: Gateway,
    web: SocketAddr,
    taken: std::sync::mpsc::Receiver<u64>,
}

fn start() -> Started {
    let (origin, taken) = origin();
    let web = free_address();
    let config = format!(
        "workers: 2\nlisteners: [{{name: web, bind: '{web}'}}]\nroutes: [{{to: up, timeout: 0s}}]\n\
         upstreams: {{up: '{origin}'}}\naccessLog: off"
    );
    let gateway = Gateway::start(Gateway::folder(), &config);
    for _ in 0..100 {
        assert_eq!(Request::get("/").to(web).status, 200);
    }
    Started { gateway, web, taken }
}

/// Watches the gateway's memory until both transfers are over.
fn watch(Started { gateway, taken, .. }: Started, upload: JoinHandle<u16>, download: JoinHandle<u64>) {
    let (before, begun) = (gateway.settled_rss(), Instant::now());
    let mut most = before;
    while !upload.is_finished() || !download.is_finished() {
        pause(Duration::from_millis(50));
        most = most.max(gateway.rss());
        assert!(begun.elapsed() < Duration::from_secs(600), "it takes for ever");
    }
    let (status, downloaded) = (upload.join().expect("an upload"), download.join().expect("a download"));
    let uploaded = taken.recv_timeout(Duration::from_secs(10)).expect("the origin took the upload");
    let growth = most - before;
    println!(
        "{uploaded} bytes up, {downloaded} bytes down in {:.0?}: RSS {:.1} MiB before, {:.1} MiB at most ({:+.1} MiB)",
        begun.elapsed(),
        mib(before),
        mib(most),
        mib(growth),
    );
    assert_eq!((status, uploaded, downloaded), (200, BODY_BYTES, BODY_BYTES));
    let least = BODY_BYTES as f64 / BYTES_PER_SECOND as f64 * TOLERANCE;
    assert!(begun.elapsed().as_secs_f64() > least, "the peers were not slow");
    assert!(growth < MAX_GROWTH_BYTES, "{growth} bytes more");
    gateway.stop();
}

#[test]
#[ignore = "takes two minutes"]
fn a_gigabyte_each_way_over_http1_stays_out_of_memory() {
    let started = start();
    let web = started.web;
    let upload = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(web).expect("a listener");
        let head =
            format!("POST /upload HTTP/1.1\r\nhost: test.example\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the gateway reads");
        write_body(&stream).expect("the gateway reads");
        let (head, _) = read_head(&mut stream).expect("a response");
        head["HTTP/1.1 ".len()..][..3].parse().expect("a status")
    });
    let download = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(web).expect("a listener");
        stream.write_all(b"GET /download HTTP/1.1\r\nhost: test.example\r\n\r\n").expect("the gateway reads");
        let (head, rest) = read_head(&mut stream).expect("a response");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        SlowReader::new().read(rest.chain(&stream)).expect("a whole body")
    });
    watch(started, upload, download);
}

#[test]
#[ignore = "takes two minutes"]
fn a_gigabyte_each_way_over_http2_stays_out_of_memory() {
    let started = start();
    let target = Target { address: started.web, tls: None };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let other = target.clone();
    let upload =
        std::thread::spawn(move || runtime().block_on(upload_http2(&target)).expect("a whole exchange"));
    let download =
        std::thread::spawn(move || runtime().block_on(download_http2(&other)).expect("a whole body"));
    watch(started, upload, download);
}

async fn upload_http2(target: &Target) -> Result<u16, h2::Error> {
    let sender = target.connect_http2().await.expect("a connection");
    let request = http::Request::post("http://test.example/upload").header("content-length", BODY_BYTES);
    let request = request.body(()).expect("a legal request");
    let (response, mut send) = sender.ready().await?.send_request(request, false)?;
    let mut block = Bytes::new();
    let whole = Bytes::from(noise(BLOCK_BYTES));
    let mut left = BODY_BYTES;
    while left > 0 {
        if block.is_empty() {
            block = whole.clone();
        }
        send.reserve_capacity(block.len());
        let Some(capacity) = poll_fn(|context| send.poll_capacity(context)).await else { break };
        let piece = block.split_to(capacity?.min(block.len()));
        left -= piece.len() as u64;
        send.send_data(piece, left == 0)?;
    }
    Ok(response.await?.status().as_u16())
}

async fn download_http2(target: &Target) -> Result<u64, h2::Error> {
    let sender = target.connect_http2().await.expect("a connection");
    let request = http::Request::get("http://test.example/download").body(()).expect("a legal request");
    let (response, _) = sender.ready().await?.send_request(request, true)?;
    let mut body = response.await?.into_body();
    let mut reader = SlowReader::new();
    while let Some(data) = body.data().await {
        let data = data?;
        tokio::time::sleep(reader.take(&data)).await;
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(reader.taken)
}
