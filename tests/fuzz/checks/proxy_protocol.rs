//! Any bytes as the beginning of a connection: a header is the same however it arrives, and read again as it is written.

use gateway_wire::proxy_protocol::{MAX_BYTES, Progress, Proxied, Version, read, write};

pub fn check(data: &[u8]) {
    let whole = read(data);
    if let Ok(Progress::Complete(proxied, length)) = whole {
        assert!(length <= MAX_BYTES && length <= data.len());
        for shorter in 0..length.min(300) {
            assert_eq!(read(&data[..shorter]), Ok(Progress::Incomplete), "{shorter} of {length} bytes");
        }
        assert_eq!(read(&data[..length]), whole, "what follows changes nothing");
        check_written(proxied);
    }
    if whole == Ok(Progress::Incomplete) {
        assert!(data.len() < MAX_BYTES, "an end is in sight");
        // Nothing that was fine so far is refused for being short.
        for shorter in 0..data.len().min(300) {
            assert_eq!(read(&data[..shorter]), Ok(Progress::Incomplete), "{shorter} bytes");
        }
    }
}

fn check_written(proxied: Proxied) {
    for version in [Version::V1, Version::V2] {
        let mut header = Vec::new();
        write(version, proxied, &mut header);
        let Ok(Progress::Complete(again, length)) = read(&header) else {
            panic!("{version:?} of {proxied:?}")
        };
        assert_eq!(length, header.len());
        let ends = |proxied: Proxied| match proxied {
            Proxied::Local => None,
            Proxied::From { source, destination } => {
                Some([source, destination].map(|end| (end.ip().to_canonical(), end.port())))
            }
        };
        assert_eq!(ends(again), ends(proxied), "{version:?}");
    }
}
