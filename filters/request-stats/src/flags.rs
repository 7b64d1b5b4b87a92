//! Owns the short names of Envoy's response flags (its documentation, "Access logging", `%RESPONSE_FLAGS%`).

use std::borrow::Cow;

/// By bit, from the lowest.
const NAMES: [&str; 28] = [
    "LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
    "SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO",
];

/// The flags' names, separated by commas; `-` if there is none.
pub(crate) fn text(flags: u64) -> Cow<'static, str> {
    if flags == 0 {
        return Cow::Borrowed("-");
    }
    let set = NAMES.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, name)| *name);
    let names: Vec<&str> = set.collect();
    Cow::Owned(if names.is_empty() { "-".to_owned() } else { names.join(",") })
}
