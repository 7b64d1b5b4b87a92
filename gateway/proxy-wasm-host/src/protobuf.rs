//! As much of the Protocol Buffers wire format as the arguments and results of foreign functions need (Protocol Buffers,
//! "Encoding"). Knows field numbers and wire types, not what fields mean.

/// The bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// The value of one field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A fixed-width number, which no message read here has.
    Fixed,
}

/// Calls `visit` for each field in order; a field that is given twice is visited twice.
pub(crate) fn read<'a>(mut bytes: &'a [u8], mut visit: impl FnMut(u64, Value<'a>)) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let (tag, rest) = varint(bytes)?;
        let (value, rest) = match tag & 7 {
            0 => varint(rest).map(|(number, rest)| (Value::Number(number), rest))?,
            1 => (Value::Fixed, rest.get(8..).ok_or(Malformed)?),
            2 => {
                let (len, rest) = varint(rest)?;
                let len = usize::try_from(len).map_err(|_| Malformed)?;
                let (taken, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
                (Value::Bytes(taken), rest)
            }
            5 => (Value::Fixed, rest.get(4..).ok_or(Malformed)?),
            _ => return Err(Malformed),
        };
        if tag >> 3 == 0 {
            return Err(Malformed);
        }
        visit(tag >> 3, value);
        bytes = rest;
    }
    Ok(())
}

/// Appends a boolean field; false is what an absent field means.
pub(crate) fn write_bool(out: &mut Vec<u8>, field: u8, value: bool) {
    if value {
        out.extend([field << 3, 1]);
    }
}

/// Appends a field of bytes; none is what an absent field means.
pub(crate) fn write_bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    out.push(field << 3 | 2);
    let mut len = value.len();
    while len >= 0x80 {
        out.push((len & 0x7F) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(value);
}

fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7F) << (at * 7);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[at + 1..]));
        }
    }
    Err(Malformed)
}

#[cfg(test)]
#[path = "protobuf_tests.rs"]
mod tests;
