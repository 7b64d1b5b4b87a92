use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::fake::FakeStream;

fn stream() -> SharedStream {
    Rc::new(RefCell::new(FakeStream::default()))
}

#[test]
fn ids_wrap_around_without_touching_root_or_the_living() {
    let mut streams = Streams::new();
    let first = streams.insert(stream());
    assert_eq!(first, ContextId(2));
    streams.next = u32::MAX;
    assert_eq!(streams.insert(stream()), ContextId(u32::MAX));
    assert_eq!(streams.insert(stream()), ContextId(3), "0 and 1 are no streams, 2 is alive");
}

#[test]
fn a_wish_counts_once_per_callback() {
    let mut streams = Streams::new();
    let id = streams.insert(stream());
    assert!(streams.wish(id, 1, Wish::LocalReply));
    assert!(!streams.wish(id, 1, Wish::LocalReply));
    assert!(streams.wish(id, 1, Wish::ResumeRequest));
    assert!(streams.wish(id, 2, Wish::LocalReply));
    streams.remove(id);
    assert!(!streams.wish(id, 3, Wish::LocalReply));
}
