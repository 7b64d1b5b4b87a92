//! Any text as a list of proxies: what is believed is its end, names the client first, and nothing to the left matters.

use std::net::IpAddr;

use gateway_wire::forwarded::{Origin, Trust, forwarded, x_forwarded_for};

fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.segments()[0] == 0xfd00,
    }
}

type Trusted = Trust<fn(IpAddr) -> bool>;
type Reader = for<'a> fn(&'a str, &Trusted) -> Option<Origin<'a>>;

pub fn check(data: &[u8]) {
    let Ok(list) = std::str::from_utf8(data) else { return };
    let trusts: [Trusted; 3] = [Trust::Addresses(is_inside), Trust::Hops(1), Trust::Hops(3)];
    let readers: [(Reader, &str); 2] = [
        (|list, trust| x_forwarded_for(list, trust), "6.6.6.6"),
        (|list, trust| forwarded(list, trust).ok().flatten(), "for=6.6.6.6"),
    ];
    for trust in &trusts {
        for (read, stranger) in readers {
            let Some(origin) = read(list, trust) else { continue };
            assert!(list.trim_end_matches([' ', '\t']).ends_with(origin.believed), "{list:?}: {origin:?}");
            assert_eq!(origin.address, origin.address.to_canonical(), "{list:?}");
            // What is believed says the same by itself.
            let again = read(origin.believed, trust).map(|again| (again.address, again.port, again.believed));
            assert_eq!(again, Some((origin.address, origin.port, origin.believed)), "{list:?}");
            // A stranger who writes in front changes nothing, unless everybody so far is trusted.
            let longer = format!("{stranger}, {list}");
            let with_stranger = read(&longer, trust).map(|origin| origin.address);
            let address = Some(origin.address);
            let may_be_stranger = with_stranger == Some(IpAddr::from([6, 6, 6, 6]));
            assert!(with_stranger == address || may_be_stranger, "{longer:?}: {with_stranger:?}");
            if matches!(trust, Trust::Addresses(_)) && !is_inside(origin.address) {
                assert_eq!(with_stranger, address, "{longer:?}");
            }
        }
    }
}
