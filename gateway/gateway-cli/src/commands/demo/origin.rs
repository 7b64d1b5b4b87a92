//! The service behind the demo's gateway: answers every request with the head it received, and reports each.

use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::wire::{Head, WithoutLength, read_body, read_head};

/// Connections served at a time; further ones are closed. Ample for a gateway with a worker per core.
const MAX_CONNECTIONS: usize = 512;
/// How long a kept-alive connection may be silent.
const IDLE: Duration = Duration::from_secs(120);

/// A listening origin. Its threads end with the process.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
}

impl Origin {
    /// The receiver gets each request's head before the request is answered, so whoever has an answer finds the head
    /// there. Without a receiver, heads are dropped.
    pub(crate) fn start() -> io::Result<(Self, Receiver<Head>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (sender, receiver) = channel();
        thread::Builder::new().name("origin".into()).spawn(move || accept(&listener, &sender))?;
        Ok((Self { address }, receiver))
    }
}

fn accept(listener: &TcpListener, received: &Sender<Head>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if open.load(Ordering::Relaxed) >= MAX_CONNECTIONS {
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let (counter, received) = (Arc::clone(&open), received.clone());
        let started = thread::Builder::new().name("origin".into()).spawn(move || {
            // A peer that goes away or talks nonsense ends its own connection only.
            let _ = serve(&stream, &received);
            counter.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn serve(mut stream: &TcpStream, received: &Sender<Head>) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_head(&mut reader)? {
        read_body(&mut reader, &head, WithoutLength::Empty)?;
        let answer = answer(&head);
        let last = head.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let _ = received.send(head);
        stream.write_all(answer.as_bytes())?;
        if last {
            break;
        }
    }
    Ok(())
}

fn answer(head: &Head) -> String {
    let body = format!("Hello from the origin. It received:\n\n{}", head.text.replace('\r', ""));
    let length = body.len();
    let body = if head.start_line().starts_with("HEAD ") { "" } else { &body };
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::client;
    use super::*;

    #[test]
    fn echoes_and_reports_what_it_received() {
        let (origin, received) = Origin::start().unwrap();
        let response = client::get(origin.address, "/a?b=c", &[("x-test", "1")]).unwrap();
        assert_eq!(response.status, 200);
        let heads: Vec<Head> = received.try_iter().collect();
        assert_eq!(heads.len(), 1);
        assert_eq!(heads[0].start_line(), "GET /a?b=c HTTP/1.1");
        assert_eq!(heads[0].value("x-test"), Some("1"));
        assert!(response.body.contains("GET /a?b=c HTTP/1.1\n") && response.body.contains("x-test: 1\n"));
    }

    #[test]
    fn serves_several_requests_with_bodies_on_one_connection() {
        let (origin, received) = Origin::start().unwrap();
        let mut stream = TcpStream::connect(origin.address).unwrap();
        let requests = "POST /1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n\
             HEAD /2 HTTP/1.1\r\n\r\n\
             POST /3 HTTP/1.1\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi";
        stream.write_all(requests.as_bytes()).unwrap();
        let answers = io::read_to_string(stream).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3);
        assert_eq!(answers.matches("Hello from the origin").count(), 2, "HEAD has no body");
        assert_eq!(received.try_iter().count(), 3);
    }
}
