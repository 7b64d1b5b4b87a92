//! Where the author's requests come in: each is read whole, goes through the [`Desk`], and its answer goes back.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::desk::{Desk, Recorded, framed};
use crate::commands::demo::wire::{WithoutLength, read_body, read_head};

/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(60);

/// Listens until the process ends.
pub(super) fn open(bind: SocketAddr, desk: Arc<Mutex<Desk>>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(bind)?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("door".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let desk = Arc::clone(&desk);
            // Without a thread there is no answer, and the client sees its connection closed.
            let _ = thread::Builder::new().name("door".into()).spawn(move || {
                // A client that goes away or talks nonsense ends its own connection only.
                let _ = serve(&stream, &desk);
            });
        }
    })?;
    Ok(address)
}

fn serve(mut stream: &TcpStream, desk: &Mutex<Desk>) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream);
    let Some(head) = read_head(&mut reader)? else { return Ok(()) };
    if head.value("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let body = read_body(&mut reader, &head, WithoutLength::Empty)?;
    // What one request left half done, the next one begins anew.
    let answer = desk.lock().unwrap_or_else(PoisonError::into_inner).send(Recorded { head, body });
    match answer {
        Ok(seen) => stream.write_all(&framed(&seen.response, &seen.body)),
        Err(error) => {
            let body = format!("the gateway gave no answer: {error}\n");
            let length = body.len();
            let head =
                format!("HTTP/1.1 502 Bad Gateway\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all((head + &body).as_bytes())
        }
    }
}
