use super::*;
use crate::error::Status;
use crate::host::native::{State, StreamState, run};

const REPLACE: &str = "proxy_replace_header_map_value";

fn state() -> State {
    let lines = [(":path", "/a"), ("accept", "text/html"), ("x-key", "1"), ("x-key", "2"), ("x-other", "3")];
    let lines = lines.map(|(name, value)| (name.into(), value.into())).to_vec();
    let mut stream = StreamState::default();
    stream.maps.insert(MapType::RequestHeaders as u32, lines);
    let mut state = State::default();
    state.streams.insert(0, stream);
    state
}

/// What the host has after the changes.
fn changed(state: State, change: impl FnOnce(&mut Headers)) -> Vec<(String, String)> {
    let (flushed, mut state) = run(state, || {
        let mut headers = Headers::new(MapType::RequestHeaders);
        change(&mut headers);
        headers.flush()
    });
    flushed.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let lines = state.streams.remove(&0).unwrap().maps.remove(&(MapType::RequestHeaders as u32)).unwrap();
    lines.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn one_header_is_read_alone_until_something_else_is_known() {
    let mut state = state();
    state.refusals.insert("proxy_get_header_map_pairs".to_owned(), Status::InternalFailure.code());
    let alone = |headers: &Headers, name: &str| {
        headers.get_alone(name).map(|value| value.map(|value| String::from_utf8(value.into_owned()).unwrap()))
    };
    let ((), state) = run(state, || {
        let mut headers = Headers::new(MapType::RequestHeaders);
        assert_eq!(alone(&headers, "X-Key"), Ok(Some("1".to_owned())));
        assert_eq!(alone(&headers, "none"), Ok(None));
        headers.set("X-Key", "4").unwrap();
        assert_eq!(alone(&headers, "x-key"), Ok(Some("4".to_owned())), "an edit is seen");
        headers.remove("accept").unwrap();
        assert_eq!(alone(&headers, "accept"), Ok(None), "a removal is seen");
        assert!(alone(&Headers::new(MapType::ResponseHeaders), "x").is_err(), "there is no such map");
    });
    let mut state = State { refusals: [].into(), ..state };
    let (read, _) = run(std::mem::take(&mut state), || {
        let headers = Headers::new(MapType::RequestHeaders);
        assert!(headers.contains("accept"));
        alone(&headers, "x-key")
    });
    assert_eq!(read, Ok(Some("1".to_owned())));
}

#[test]
fn headers_are_removed_by_what_their_names_are_like() {
    let seen = changed(state(), |headers| {
        headers.add("x-new", "5").unwrap();
        headers.add("y-new", "6").unwrap();
        headers.set("x-other", "7").unwrap();
        headers.set(":path", "/b").unwrap();
        headers.remove_where(|name| name.starts_with(b"x-") || name == b":path");
        let left: Vec<_> = headers.iter().map(|(name, _)| name.to_vec()).collect();
        assert_eq!(left, [&b"accept"[..], b"y-new", b":path"]);
        headers.add("x-key", "8").unwrap();
    });
    assert_eq!(seen, lines(&[(":path", "/b"), ("accept", "text/html"), ("y-new", "6"), ("x-key", "8")]));
}

#[test]
fn the_last_of_several_changes_counts_and_what_stays_is_not_told() {
    let seen = changed(state(), |headers| {
        headers.add("x-key", "9").unwrap();
        headers.set("X-KEY", "10").unwrap();
        headers.add("x-key", "11").unwrap();
        let values: Vec<_> = headers.get_all("x-key").map(<[u8]>::to_vec).collect();
        assert_eq!(values, [&b"10"[..], b"11"]);
    });
    assert_eq!(seen[2..], lines(&[("x-key", "10"), ("x-other", "3"), ("x-key", "11")])[..]);

    let mut state = state();
    state.refusals.insert(REPLACE.to_owned(), Status::InternalFailure.code());
    let before = changed(self::state(), |_| {});
    let seen = changed(state, |headers| {
        assert!(headers.contains("accept"));
        headers.set("accept", "text/html").unwrap();
        headers.remove("x-key").unwrap();
        headers.add("x-key", "1").unwrap();
        headers.add("x-key", "2").unwrap();
        headers.remove("none").unwrap();
    });
    assert_eq!(seen, before);
}
