use super::*;
use crate::host::native::{State, run};

const PATHS: [&[&str]; 3] = [&["source", "address"], &["no", "such"], &["request", "duration"]];

fn answer(name: &[u8], argument: &[u8]) -> Result<Vec<u8>, u32> {
    assert_eq!(name, GET_PROPERTIES.as_bytes());
    assert_eq!(argument, b"\x0e\0\0\0source\0address\x07\0\0\0no\0such\x10\0\0\0request\0duration");
    Ok(b"\x01\0\0\0a\xff\xff\xff\xff\x08\0\0\0\x02\0\0\0\0\0\0\0".to_vec())
}

/// What is asked for, and what the host was asked for.
fn asked(state: State) -> (Properties<3>, Vec<String>) {
    let (properties, state) = run(state, || PropertyList::new(PATHS).read());
    (properties, state.foreign_calls)
}

#[test]
fn one_call_brings_them_all() {
    let (properties, calls) = asked(State { foreign: Some(answer), ..State::default() });
    let texts = [0, 1, 2, 3].map(|place| properties.get_str(place));
    assert_eq!((texts[0], texts[1], texts[3]), (Some("a"), None, None));
    assert_eq!((properties.get_number(0), properties.get_number(2)), (None, Some(2)));
    assert_eq!(calls, ["get_properties"]);
}

#[test]
fn a_host_without_the_function_is_asked_one_by_one_and_not_again_for_it() {
    let state = || {
        let mut state = State::default();
        state.properties.insert(b"source\0address".to_vec(), b"a".to_vec());
        state.properties.insert(b"request\0duration".to_vec(), 2_u64.to_le_bytes().to_vec());
        state
    };
    for expected in [&["get_properties"][..], &[]] {
        let (properties, calls) = asked(state());
        assert_eq!(
            (properties.get(0), properties.get(1), properties.get_number(2)),
            (Some(&b"a"[..]), None, Some(2))
        );
        assert_eq!(calls, expected);
    }
}

#[test]
fn an_answer_that_is_malformed_is_none() {
    for bytes in [&b""[..], b"\x01\0\0\0", b"\x01\0\0\0ab", b"\x01\0\0", b"\xfe\xff\xff\xff"] {
        assert!(Properties::<1>::parse(bytes.to_vec()).is_none(), "{bytes:?}");
    }
    assert!(Properties::<1>::parse(b"\0\0\0\0".to_vec()).is_some());
}
