use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::fake::FakeStream;

fn stream() -> SharedStream {
    Rc::new(RefCell::new(FakeStream::default()))
}

#[test]
fn ids_wrap_around_without_touching_plugins_or_the_living() {
    let mut streams = Streams::new();
    let root = streams.insert_root();
    let first = streams.insert(root, stream());
    assert_eq!((root, first), (ContextId(1), ContextId(2)));
    streams.next = u32::MAX;
    assert_eq!(streams.insert(root, stream()), ContextId(u32::MAX));
    assert_eq!(streams.insert(root, stream()), ContextId(3), "0 is the VM, 1 a plugin, 2 is alive");
}

#[test]
fn a_plugin_goes_with_its_streams_and_leaves_those_of_others() {
    let mut streams = Streams::new();
    let (first, second) = (streams.insert_root(), streams.insert_root());
    let (of_first, of_second) = (streams.insert(first, stream()), streams.insert(second, stream()));
    streams.remove_root(first);
    assert!(streams.get(of_first).is_none());
    assert_eq!(streams.get(of_second).map(|(root, _)| root), Some(second));
}

#[test]
fn a_wish_counts_once_per_callback() {
    let mut streams = Streams::new();
    let root = streams.insert_root();
    let id = streams.insert(root, stream());
    assert!(streams.wish(id, 1, Wish::LocalReply));
    assert!(!streams.wish(id, 1, Wish::LocalReply));
    assert!(streams.wish(id, 1, Wish::ResumeRequest));
    assert!(streams.wish(id, 2, Wish::LocalReply));
    streams.remove(id);
    assert!(!streams.wish(id, 3, Wish::LocalReply));
}
