//! Any bytes as a host: one that is accepted is a host and perhaps a port to the standard library as well.

use gateway_wire::authority::is_valid;

pub fn check(data: &[u8]) {
    if !is_valid(data) {
        return;
    }
    let text = std::str::from_utf8(data).expect("ASCII");
    assert!(
        text.bytes().all(|byte| byte.is_ascii_graphic())
            && !text.contains(['@', '/', ',', '%', '?', '#', '\\'])
    );
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').expect("a bracket");
            address.parse::<std::net::Ipv6Addr>().expect("an address");
            (address, after.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    assert!(!host.is_empty());
    if let Some(port) = port {
        port.parse::<u16>().expect("a port");
    }
}
