//! What the message gate costs: one head of ten headers and 500 bytes, in each direction.
//!
//!     cargo bench -p micro-benches                    nanoseconds of processor time per message, judged against the limit
//!     cargo bench -p micro-benches -- --count 10000   as many messages of each kind, for a counter of instructions
//!
//! Fails when the median is over the limit, but not under `cargo test`, whose build is not optimised.

use std::hint::black_box;
use std::process::ExitCode;

use gateway_wire::gate::{Expected, Limits, Next, RequestGate, ResponseGate, Scan};
use rustix::time::{ClockId, clock_gettime};

/// A head of ten headers and 500 bytes may cost as much.
const LIMIT_NS: f64 = 400.0;
const ROUNDS: usize = 31;
const MESSAGES_PER_ROUND: u32 = 20_000;
const LIMITS: Limits = Limits { head_bytes: 64 * 1024, headers: 100 };

/// As a browser asks: ten headers, 500 bytes.
const REQUEST: &[u8] = b"GET /products/reviews?sort=newest&page=2 HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Referer: https://shop.example.com/products\r\n\
    Cookie: session=0123456789abcdef01; theme=dark\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: no-cache, max-age=0\r\n\
    X-Request-Source: browser-x\r\n\r\n";

/// As an application answers: ten headers, and a body of 128 bytes.
const RESPONSE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: application/2.4.1\r\n\
    Date: Sat, 21 Nov 2026 08:00:00 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 128\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: private, max-age=30\r\n\
    ETag: \"5f3c-1a2b3c4d5e6f\"\r\n\
    Vary: Accept-Encoding, Accept-Language\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\r\n";
const BODY: &[u8] = &[b'x'; 128];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let response = [RESPONSE_HEAD, BODY].concat();
    if let Some(at) = arguments.iter().position(|argument| argument == "--count") {
        let count = arguments.get(at + 1).and_then(|count| count.parse().ok()).unwrap_or(1);
        requests(count);
        responses(&response, count);
        return ExitCode::SUCCESS;
    }
    // `cargo test` runs benches too, to see that they run.
    let is_judged = arguments.iter().any(|argument| argument == "--bench");
    println!("request head, {} bytes, 10 headers:", REQUEST.len());
    let request_ns = median(|| requests(MESSAGES_PER_ROUND));
    println!("response, {} bytes of head, 10 headers, 128 bytes of body:", RESPONSE_HEAD.len());
    let response_ns = median(|| responses(&response, MESSAGES_PER_ROUND));
    if is_judged && (request_ns > LIMIT_NS || response_ns > LIMIT_NS) {
        eprintln!("over the limit of {LIMIT_NS} ns");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// One connection, and a request after the other.
fn requests(count: u32) {
    let mut gate = RequestGate::new(LIMITS);
    for _ in 0..count {
        assert_whole(gate.scan(black_box(REQUEST)), REQUEST.len());
    }
}

fn responses(response: &[u8], count: u32) {
    let mut gate = ResponseGate::new(LIMITS);
    for _ in 0..count {
        gate.expect(Expected::Any);
        assert_whole(gate.scan(black_box(response)), response.len());
    }
}

fn assert_whole(scan: Scan, length: usize) {
    assert!(scan == Scan { passed: length, next: Next::More }, "{scan:?}");
}

/// Processor time of this thread: on a busy machine, others run in between.
fn processor_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The median over the rounds, in nanoseconds per message.
fn median(mut round: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = processor_ns();
            round();
            (processor_ns() - begun) / f64::from(MESSAGES_PER_ROUND)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[ROUNDS / 2];
    println!("  {median:.0} ns ({:.0} to {:.0})", times[0], times[ROUNDS - 1]);
    median
}
