//! The kinds of text that a filter's schema may name. Must never know what a text is for.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::diagnostic::quoted;

/// Units of a duration, as the SDK reads them; the longer name comes first where one ends like another.
const UNITS: [&str; 5] = ["ms", "s", "m", "h", "d"];

/// What is wrong with a text of that kind, and what to do about it. Kinds that are not known are any text.
pub(super) fn problem(format: &str, text: &str) -> Option<(String, Option<String>)> {
    match format {
        "duration" => {
            let is_time =
                |unit: &str| text.strip_suffix(unit).is_some_and(|number| number.parse::<u64>().is_ok());
            let help = "a whole number and a unit: `250ms`, `10s`, `5m`, `24h` or `7d`".to_owned();
            (!UNITS.iter().any(|unit| is_time(unit)))
                .then(|| (format!("expects a time, not {}", quoted(text)), Some(help)))
        }
        "header-name" => {
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            (text.is_empty() || !text.bytes().all(is_token))
                .then(|| (format!("expects the name of a header, not {}", quoted(text)), None))
        }
        "network" => {
            let is_network = text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
            let help = "such as `192.0.2.7`, `10.0.0.0/8` or `2001:db8::/32`".to_owned();
            (!is_network)
                .then(|| (format!("expects an address or a network, not {}", quoted(text)), Some(help)))
        }
        _ => None,
    }
}
