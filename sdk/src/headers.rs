//! Owns reading and editing one header map. Values are bytes, because peers may send any (RFC 9110, section 5.5);
//! text is asked for by name. Illegal names and values are refused here, since some hosts let them pass and then fail
//! the whole request.

use crate::error::{FilterError, HostError, Status};
use crate::host::{self, MapType, Pairs};

/// The headers, or trailers, of one message. Every read and edit is one call to the host, in effect at once.
#[derive(Debug)]
pub struct Headers {
    map: MapType,
}

impl Headers {
    pub(crate) const fn new(map: MapType) -> Self {
        Self { map }
    }

    /// The first value of `name`. To decide on credentials use [`Self::get_all`]: a sender may repeat a header.
    ///
    /// # Errors
    /// The host refuses.
    pub fn get(&self, name: &str) -> Result<Option<Vec<u8>>, HostError> {
        host::header_value(self.map, name)
    }

    /// The first value of `name` as text.
    ///
    /// # Errors
    /// The host refuses, or the value is there and is not UTF-8.
    pub fn get_str(&self, name: &str) -> Result<Option<String>, FilterError> {
        let value = self.get(name)?.map(String::from_utf8).transpose();
        value.map_err(|_| FilterError::NotUtf8 { map: self.map, name: name.to_owned() })
    }

    /// All values of `name`, in order.
    ///
    /// # Errors
    /// The host refuses.
    pub fn get_all(&self, name: &str) -> Result<Vec<Vec<u8>>, HostError> {
        let named =
            |(other, value): (Vec<u8>, Vec<u8>)| other.eq_ignore_ascii_case(name.as_bytes()).then_some(value);
        Ok(self.all()?.into_iter().filter_map(named).collect())
    }

    /// Every header, in order, names in lower case; pseudo-headers (`:path`, `:status`) come first.
    ///
    /// # Errors
    /// The host refuses.
    pub fn all(&self) -> Result<Pairs, HostError> {
        host::header_pairs(self.map)
    }

    /// Makes `value` the only value of `name`.
    ///
    /// # Errors
    /// Name or value is illegal, or the host refuses.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HostError> {
        let value = value.as_ref();
        if !(is_legal_name(name) || is_pseudo(name)) || !is_legal_value(value) {
            return Err(HostError::new("proxy_replace_header_map_value", Status::BadArgument));
        }
        host::replace_header(self.map, name, value)
    }

    /// Adds one more value of `name` behind the others. Pseudo-headers are single and can only be [`Self::set`].
    ///
    /// # Errors
    /// Name or value is illegal, or the host refuses.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HostError> {
        let value = value.as_ref();
        if !is_legal_name(name) || !is_legal_value(value) {
            return Err(HostError::new("proxy_add_header_map_value", Status::BadArgument));
        }
        host::add_header(self.map, name, value)
    }

    /// Removes all values of `name`; none is fine.
    ///
    /// # Errors
    /// `name` is a pseudo-header, without which there is no message, or the host refuses.
    pub fn remove(&mut self, name: &str) -> Result<(), HostError> {
        if name.starts_with(':') {
            return Err(HostError::new("proxy_remove_header_map_value", Status::BadArgument));
        }
        host::remove_header(self.map, name)
    }
}

/// Whether a header may have this name: a token of RFC 9110, section 5.6.2.
pub fn is_legal_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether a header may have this value: no control characters but tab (RFC 9110, section 5.5).
pub fn is_legal_value(value: &[u8]) -> bool {
    value.iter().all(|&b| b == b'\t' || (b >= b' ' && b != 0x7f))
}

fn is_pseudo(name: &str) -> bool {
    name.strip_prefix(':').is_some_and(is_legal_name)
}
