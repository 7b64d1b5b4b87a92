use super::*;

fn message(mut bytes: &[u8], or: WithoutLength) -> io::Result<(Head, Vec<u8>)> {
    let head = read_head(&mut bytes)?.expect("a head");
    let body = read_body(&mut bytes, &head, or)?;
    Ok((head, body))
}

#[test]
fn headers_are_found_whatever_their_case_and_all_values_count() {
    let (head, body) =
        message(b"GET / HTTP/1.1\r\nX-A: 1\r\nhost: h:1\r\nx-a:  2 \r\n\r\n", WithoutLength::Empty).unwrap();
    assert_eq!(head.start_line(), "GET / HTTP/1.1");
    assert_eq!(head.values("x-a").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(head.value("HOST"), Some("h:1"));
    assert_eq!(head.value("x-b"), None);
    assert_eq!(body, b"");
}

#[test]
fn bodies_end_by_length_by_chunks_or_with_the_connection() {
    for (text, expected) in [
        ("content-length: 3\r\n\r\nabcdef", "abc"),
        ("transfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\nrest", "abcde"),
        ("a: b\r\n\r\nall of it", "all of it"),
    ] {
        let (_, body) =
            message(format!("HTTP/1.1 200 OK\r\n{text}").as_bytes(), WithoutLength::UntilClose).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), expected, "{text}");
    }
}

#[test]
fn broken_messages_are_errors() {
    for text in [
        "GET / HT",
        "GET / HTTP/1.1\r\nhost: h\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 5\r\n\r\nabc",
        "GET / HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
    ] {
        assert!(message(text.as_bytes(), WithoutLength::Empty).is_err(), "{text:?}");
    }
}

#[test]
fn a_connection_closed_between_messages_is_no_error() {
    assert_eq!(read_head(&mut io::empty()).unwrap(), None);
}
