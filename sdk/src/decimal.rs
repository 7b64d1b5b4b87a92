//! Numbers as text, for headers and names.

/// A number in decimal digits, without an allocation: `headers.set("x-left", decimal(left))`.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; MAX_DIGITS],
    len: usize,
}

/// Of 64 bits.
const MAX_DIGITS: usize = 20;

/// The digits of a number.
pub fn decimal(number: u64) -> Decimal {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    let mut digits = [0; MAX_DIGITS];
    digits[..text.len()].copy_from_slice(text.as_bytes());
    Decimal { digits, len: text.len() }
}

impl AsRef<[u8]> for Decimal {
    fn as_ref(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}

impl AsRef<str> for Decimal {
    fn as_ref(&self) -> &str {
        // Digits always are.
        str::from_utf8(self.as_ref()).unwrap_or_default()
    }
}

impl From<Decimal> for Vec<u8> {
    fn from(decimal: Decimal) -> Self {
        AsRef::<[u8]>::as_ref(&decimal).to_vec()
    }
}

#[cfg(test)]
#[path = "decimal_tests.rs"]
mod tests;
