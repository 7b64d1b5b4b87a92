use std::task::Waker;

use tokio::io::{AsyncReadExt, duplex};

use super::*;

fn read(from: &mut tokio::io::DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(from.read_exact(&mut bytes)).unwrap();
    bytes
}

#[test]
fn what_was_begun_is_finished_before_a_message() {
    let (mut stream, mut reader) = duplex(8);
    let mut context = Context::from_waker(Waker::noop());
    let between = Between::default();
    between.push(b"twelve bytes");
    assert!(between.poll_write_all(&mut stream, &mut context).is_pending());
    assert!(between.poll_give_way(&mut stream, &mut context).is_pending());
    assert_eq!(read(&mut reader, 8), b"twelve b");
    assert!(between.poll_give_way(&mut stream, &mut context).is_ready());
    assert_eq!(read(&mut reader, 4), b"ytes");
    assert!(between.is_empty());
}

#[test]
fn what_was_not_begun_is_forgotten() {
    let (mut stream, mut reader) = duplex(64);
    let mut context = Context::from_waker(Waker::noop());
    let between = Between::default();
    between.push(b"too late");
    assert!(between.poll_give_way(&mut stream, &mut context).is_ready());
    assert!(between.is_empty());
    drop(stream);
    assert_eq!(read(&mut reader, 0), b"");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(reader.read(&mut [0; 8])).unwrap(), 0);
}
