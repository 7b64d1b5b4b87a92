//! Headers that do not exist for a plugin: it cannot read them, learn that they are there, or write them.
//!
//! Without such headers, everything here is one look at an empty list.

use crate::abi::{Status, StreamMap};
use crate::effects::HeaderList;
use crate::host::StreamAccess;
use crate::pairs;
use crate::plugin::PluginConfig;

/// Whether `name` (lower case) is hidden. `host` and `:authority` are one header.
pub(super) fn is_hidden(config: &PluginConfig, name: &[u8]) -> bool {
    let listed = |name: &[u8]| config.hidden_headers.iter().any(|hidden| hidden.as_bytes() == name);
    listed(name)
        || match name {
            b"host" => listed(b":authority"),
            b":authority" => listed(b"host"),
            _ => false,
        }
}

/// As [`StreamAccess::visit_headers`], without what is hidden.
pub(super) fn visit(
    config: &PluginConfig,
    stream: &dyn StreamAccess,
    map: StreamMap,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), Status> {
    if config.hidden_headers.is_empty() {
        return stream.visit_headers(map, visit);
    }
    stream.visit_headers(map, &mut |name, value| {
        if !is_hidden(config, name) {
            visit(name, value);
        }
    })
}

/// The lines of a map that a plugin replaces as a whole and that stay, since it does not know of them.
pub(super) fn kept(
    config: &PluginConfig,
    stream: &dyn StreamAccess,
    map: StreamMap,
) -> Result<HeaderList, Status> {
    let mut lines = Vec::new();
    if !config.hidden_headers.is_empty() {
        stream.visit_headers(map, &mut |name, value| {
            if is_hidden(config, name) {
                lines.push((name.to_vec(), value.to_vec()));
            }
        })?;
    }
    Ok(lines)
}

/// Properties that are one header under another name.
const HEADER_PROPERTIES: [(&[u8], &[u8]); 4] =
    [(b"host", b"host"), (b"referer", b"referer"), (b"useragent", b"user-agent"), (b"id", b"x-request-id")];

/// Whether a property shows a hidden header.
pub(super) fn is_hidden_property(config: &PluginConfig, path: &[&[u8]]) -> bool {
    if config.hidden_headers.is_empty() {
        return false;
    }
    let name = match path {
        [b"request" | b"response", b"headers" | b"trailers", name] => name.to_ascii_lowercase(),
        [b"request", property] => {
            match HEADER_PROPERTIES.iter().find(|(candidate, _)| candidate == property) {
                Some((_, name)) => name.to_vec(),
                None => return false,
            }
        }
        _ => return false,
    };
    is_hidden(config, &name)
}

/// The value of a property without what is hidden: `value` starts at `from` in `out`.
pub(super) fn redact(config: &PluginConfig, path: &[&[u8]], out: &mut Vec<u8>, from: usize) {
    let is_map = matches!(path, [b"request" | b"response", b"headers" | b"trailers"]);
    if config.hidden_headers.is_empty() || !is_map {
        return;
    }
    let value = out.split_off(from);
    // What does not parse is not shown: the embedder writes maps in this form.
    let Ok(entries) = pairs::decode(&value, value.len(), value.len()) else { return };
    pairs::encode(out, entries.iter().copied().filter(|(name, _)| !is_hidden(config, name)));
}
