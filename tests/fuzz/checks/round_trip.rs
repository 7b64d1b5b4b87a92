//! The same bytes in different pieces, and the same body in different chunks.

use gateway_wire::Refusal;
use gateway_wire::gate::{Expected, Next, RequestGate, ResponseGate, Scan};

use super::gate::LIMITS;
use super::reading::chunked;

/// The first bytes choose the pieces, the others are looked at: as a client's, as an upstream's, and as a body.
pub fn check(data: &[u8]) {
    let Some((seed, bytes)) = data.split_first_chunk::<4>() else { return };
    let mut random = Random(u64::from(u32::from_le_bytes(*seed)) | 1 << 40);
    same_in_pieces(bytes, &mut random, || {
        let mut gate = RequestGate::new(LIMITS);
        move |bytes: &[u8]| gate.scan(bytes)
    });
    for expected in [Expected::Any, Expected::NoBody, Expected::Switch] {
        same_in_pieces(bytes, &mut random, || {
            let mut gate = ResponseGate::new(LIMITS);
            gate.expect(expected);
            move |bytes: &[u8]| gate.scan(bytes)
        });
    }
    body_survives(bytes, &mut random);
}

fn same_in_pieces<S: FnMut(&[u8]) -> Scan>(bytes: &[u8], random: &mut Random, gate: impl Fn() -> S) {
    let whole = in_pieces(bytes, gate(), || bytes.len());
    let pieces = in_pieces(bytes, gate(), || 1 + random.below(40));
    assert_eq!(pieces, whole, "{:?}", String::from_utf8_lossy(bytes));
}

fn in_pieces(
    bytes: &[u8],
    mut scan: impl FnMut(&[u8]) -> Scan,
    mut size: impl FnMut() -> usize,
) -> (usize, Option<Refusal>) {
    let (mut passed, mut shown) = (0, 0);
    while shown < bytes.len() {
        shown = (shown + size()).min(bytes.len());
        let scan = scan(&bytes[passed..shown]);
        passed += scan.passed;
        assert!(passed <= shown, "more than there was");
        match scan.next {
            Next::Refused(refusal) => return (passed, Some(refusal)),
            Next::Hold => return (passed, None),
            Next::More => {}
        }
    }
    (passed, None)
}

/// Cuts a body into chunks and sends them, and a request after them.
fn body_survives(body: &[u8], random: &mut Random) {
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let (mut framed, mut rest) = (Vec::new(), body);
    let mut extensions = 0;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at((1 + random.below(300)).min(rest.len()));
        rest = after;
        // Few enough to stay under the limit.
        let extension = if extensions < 1000 && random.below(3) == 0 { ";a=\"b c\"" } else { "" };
        extensions += extension.len();
        framed.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(if random.below(2) == 0 { b"0\r\n\r\n" } else { b"000\r\nx: y\r\n\r\n" });
    let message = [head, &framed[..], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"].concat();
    let mut gate = RequestGate::new(LIMITS);
    let outcome = in_pieces(&message, |bytes| gate.scan(bytes), || 1 + random.below(500));
    assert_eq!(outcome, (message.len(), None));
    assert_eq!(gate.heads(), 2);
    assert_eq!(chunked(&framed), Some((body.to_vec(), framed.len())));
}

/// xorshift64 (Marsaglia 2003).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % limit
    }
}
