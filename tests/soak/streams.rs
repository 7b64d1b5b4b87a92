//! What stays open while everything around it changes: WebSockets, and calls of gRPC that stream both ways.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::load::{HOST, Socket, Target};
use crate::tally::Tally;

/// Between two messages.
const INTERVAL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);
const MESSAGE_BYTES: usize = 200;

/// A WebSocket whose messages come back, until the tally is over; then it closes in order.
pub(crate) async fn websocket(target: Target, tally: Arc<Tally>) {
    let mut stream = match timeout(PATIENCE, shake_hands(&target)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tally.fail(format!("WebSocket: {error}")),
        Err(_) => return tally.fail("WebSocket: no answer".to_owned()),
    };
    let mut number = 0_u8;
    while !tally.is_over() {
        sleep(INTERVAL).await;
        number = number.wrapping_add(1);
        let sent = [number; MESSAGE_BYTES];
        let mut back = [0; MESSAGE_BYTES];
        let exchange = async {
            stream.write_all(&sent).await?;
            stream.flush().await?;
            stream.read_exact(&mut back).await
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok(_)) if back == sent => tally.note(),
            Ok(Ok(_)) => return tally.fail("WebSocket: other bytes came back".to_owned()),
            Ok(Err(error)) => return tally.fail(format!("WebSocket: {error}")),
            Err(_) => return tally.fail("WebSocket: nothing came back".to_owned()),
        }
    }
    let mut rest = Vec::new();
    let closing = async {
        stream.shutdown().await?;
        stream.read_to_end(&mut rest).await
    };
    match timeout(PATIENCE, closing).await {
        Ok(Ok(0)) => {}
        Ok(Ok(_)) => tally.fail("WebSocket: bytes that nobody sent".to_owned()),
        Ok(Err(error)) => tally.fail(format!("WebSocket, closing: {error}")),
        Err(_) => tally.fail("WebSocket: it is not closed".to_owned()),
    }
}

async fn shake_hands(target: &Target) -> std::io::Result<Box<dyn Socket>> {
    let mut stream = target.connect().await?;
    let head = format!(
        "GET /chat HTTP/1.1\r\nhost: {HOST}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the head is not the head's.
        answer.push(stream.read_u8().await?);
    }
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return Err(std::io::Error::other(String::from_utf8_lossy(&answer).into_owned()));
    }
    Ok(stream)
}

/// A call whose messages come back, until the tally is over; then it ends with trailers.
pub(crate) async fn call(sender: SendRequest<Bytes>, tally: Arc<Tally>) {
    let (mut send, mut receive) = match timeout(PATIENCE, begin(sender)).await {
        Ok(Ok(both)) => both,
        Ok(Err(error)) => return tally.fail(format!("gRPC: {error}")),
        Err(_) => return tally.fail("gRPC: no answer".to_owned()),
    };
    while !tally.is_over() {
        sleep(INTERVAL).await;
        match timeout(PATIENCE, ping(&mut send, &mut receive)).await {
            Ok(Ok(())) => tally.note(),
            Ok(Err(error)) => return tally.fail(format!("gRPC: {error}")),
            Err(_) => return tally.fail("gRPC: nothing came back".to_owned()),
        }
    }
    let ending = async {
        send.send_data(Bytes::new(), true).map_err(|error| error.to_string())?;
        if receive.data().await.is_some() {
            return Err("bytes that nobody sent".to_owned());
        }
        let trailers = receive.trailers().await.map_err(|error| error.to_string())?.unwrap_or_default();
        // What this origin sends when it got all to the end.
        trailers.contains_key("x-echoed").then_some(()).ok_or_else(|| format!("trailers: {trailers:?}"))
    };
    match timeout(PATIENCE, ending).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tally.fail(format!("gRPC, ending: {error}")),
        Err(_) => tally.fail("gRPC: it does not end".to_owned()),
    }
}

async fn begin(sender: SendRequest<Bytes>) -> Result<(SendStream<Bytes>, RecvStream), h2::Error> {
    let request = Request::builder()
        .method("POST")
        .uri(format!("https://{HOST}/echo"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a legal request");
    let (response, send) = sender.ready().await?.send_request(request, false)?;
    Ok((send, response.await?.into_body()))
}

/// A message in the framing of gRPC: five bytes before it say that it is not compressed, and how long it is.
async fn ping(send: &mut SendStream<Bytes>, receive: &mut RecvStream) -> Result<(), String> {
    let text = |error: h2::Error| error.to_string();
    let length = u32::try_from(MESSAGE_BYTES).expect("short").to_be_bytes();
    let message = [&[0][..], &length, &[b'm'; MESSAGE_BYTES]].concat();
    send.reserve_capacity(message.len());
    while send.capacity() < message.len() {
        poll_fn(|context| send.poll_capacity(context)).await.ok_or("closed")?.map_err(text)?;
    }
    send.send_data(message.clone().into(), false).map_err(text)?;
    let mut back = Vec::new();
    while back.len() < message.len() {
        let data = receive.data().await.ok_or("it ended")?.map_err(text)?;
        receive.flow_control().release_capacity(data.len()).map_err(text)?;
        back.extend_from_slice(&data);
    }
    if back == message { Ok(()) } else { Err("other bytes came back".to_owned()) }
}
