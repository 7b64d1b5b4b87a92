use std::pin::Pin;

use http_body::Body;

use super::*;

const LIMIT: usize = 8;

fn replay(text: &'static str, limit: usize) -> Rc<Replay> {
    let source = BodySource::Full(Bytes::from_static(text.as_bytes()));
    Replay::new(source, Rc::new(UploadProgress::default()), limit)
}

fn read(body: &mut UpstreamBody) -> Result<String, BodyError> {
    let mut text = String::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = Pin::new(&mut *body).poll_frame(&mut context) {
        text += std::str::from_utf8(&frame?.into_data().unwrap()).unwrap();
    }
    Ok(text)
}

#[test]
fn every_try_gets_the_whole_body_and_it_is_counted_once() {
    let replay = replay("document", LIMIT);
    for _ in 0..3 {
        assert_eq!(replay.next_try().size_hint().exact(), Some(8));
        assert_eq!(read(&mut replay.next_try()).unwrap(), "document");
        assert!(replay.is_whole());
    }
    assert_eq!(replay.progress.bytes.get(), 8);
    assert!(replay.progress.has_ended());
}

#[test]
fn what_is_over_the_limit_is_sent_once() {
    let replay = replay("documents", LIMIT);
    assert!(replay.is_whole(), "nothing was sent yet");
    let mut first = replay.next_try();
    assert_eq!(read(&mut first).unwrap(), "documents");
    assert!(!replay.is_whole());
}

#[test]
fn a_try_that_was_given_up_gets_nothing_more() {
    let replay = replay("document", LIMIT);
    let mut first = replay.next_try();
    let mut second = replay.next_try();
    assert!(read(&mut first).is_err());
    assert!(!first.is_end_stream());
    assert_eq!(read(&mut second).unwrap(), "document");
    assert!(second.is_end_stream());
}
