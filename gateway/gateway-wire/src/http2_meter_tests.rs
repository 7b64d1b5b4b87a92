use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const MAX_HEAD: u32 = 64 * 1024;
const STREAM: u32 = 5;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A meter whose connection has begun as all do.
fn begun() -> Http2Meter {
    let mut meter = Http2Meter::new(MAX_HEAD);
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[0; 18]));
    bytes.extend(frame(SETTINGS, 1, 0, &[]));
    meter.received(&bytes, 0).unwrap();
    // What those cost comes back.
    meter.received(&[], 10_000).unwrap();
    meter
}

/// How many of `frame` the client may send at once, and what is said about the next one.
fn most(frame: &[u8]) -> (usize, Excess) {
    let mut meter = begun();
    (0..100_000)
        .find_map(|sent| meter.received(frame, 10_000).err().map(|excess| (sent, excess)))
        .expect("there is a limit")
}

#[test]
fn each_kind_of_flood_ends_and_is_named() {
    for (bytes, expected) in [
        (frame(RST_STREAM, 0, STREAM, &[0; 4]), (250, Excess::Resets)),
        (frame(SETTINGS, 0, 0, &[]), (100, Excess::Settings)),
        (frame(SETTINGS, 0, 0, &[0; 6 * 2000]), (17, Excess::Settings)),
        (frame(PING, 0, 0, &[0; 8]), (1000, Excess::Pings)),
        (frame(PING, 1, 0, &[0; 8]), (1000, Excess::Pings)),
        (frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), (1000, Excess::Windows)),
        (frame(WINDOW_UPDATE, 0, STREAM, &[0, 0, 0, 1]), (1000, Excess::Windows)),
        (frame(PRIORITY, 0, STREAM, &[0; 5]), (1000, Excess::Priorities)),
        (frame(DATA, 0, STREAM, &[]), (100, Excess::EmptyData)),
        (frame(DATA, PADDED, STREAM, &[255; 256]), (1000, Excess::EmptyData)),
        (frame(CONTINUATION, 0, STREAM, &[]), (4, Excess::Head)),
        (frame(CONTINUATION, 0, STREAM, &[0; 16_384]), (4, Excess::Head)),
        (frame(CONTINUATION, 0, STREAM, &[0; 1]), (1000, Excess::Head)),
        (frame(0x42, 0, 0, &[]), (1000, Excess::Unknown)),
        (frame(0x42, 0, 0, &[0; 16_384]), (15, Excess::Unknown)),
        (frame(GOAWAY, 0, 0, &[0; 8]), (1000, Excess::Unknown)),
    ] {
        assert_eq!(most(&bytes), expected, "{:?}", &bytes[..9]);
    }
}

#[test]
fn what_carries_requests_costs_nothing() {
    let mut meter = begun();
    for request in 0..100_000_u32 {
        let stream = request * 2 + 1;
        meter.received(&frame(HEADERS, END_HEADERS, stream, &[0; 100]), 0).unwrap();
        meter.received(&frame(DATA, 0, stream, &[0; 1]), 0).unwrap();
        meter.received(&frame(DATA, END_STREAM, stream, &[]), 0).unwrap();
    }
    assert_eq!(meter.allowance, ALLOWANCE);
}

#[test]
fn a_browser_that_downloads_and_calls_off_is_never_sent_away() {
    let mut meter = begun();
    for request in 0..20_000_u32 {
        let stream = request * 2 + 1;
        for bytes in [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0; 100]),
            frame(WINDOW_UPDATE, 0, stream, &[0, 0, 1, 0]),
            // PRIORITY_UPDATE (RFC 9218).
            frame(0x10, 0, 0, &[0; 12]),
        ] {
            meter.received(&bytes, 0).unwrap();
        }
        meter.sent(&frame(HEADERS, END_HEADERS, stream, &[0; 50])).unwrap();
        // Every other one is called off in its middle.
        for _ in 0..20 {
            meter.sent(&frame(DATA, 0, stream, &[0; 1000])).unwrap();
            for stream in [0, stream] {
                meter.received(&frame(WINDOW_UPDATE, 0, stream, &[0, 0, 1, 0]), 0).unwrap();
            }
            meter.received(&frame(PING, 0, 0, &[0; 8]), 0).unwrap();
        }
        if request % 2 == 0 {
            meter.received(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]), 0).unwrap();
        } else {
            meter.sent(&frame(DATA, END_STREAM, stream, &[])).unwrap();
        }
    }
}

#[test]
fn requests_that_are_only_called_off_end_it_at_whatever_pace_is_faster_than_the_refill() {
    let reset = frame(RST_STREAM, 0, STREAM, &[0; 4]);
    let survives = |per_second: u64| {
        let mut meter = begun();
        (0..per_second * 1000)
            .all(|number| meter.received(&reset, 10_000 + number * 1000 / per_second).is_ok())
    };
    assert!(survives(25));
    assert!(!survives(26));
}

#[test]
fn resets_that_the_client_brings_about_are_counted_and_the_servers_own_are_not() {
    let reset = |code: u32| frame(RST_STREAM, 0, STREAM, &code.to_be_bytes());
    let most = |code: u32, own: u32| {
        let mut meter = begun();
        meter.expect_resets(own);
        (0..10_000).find(|_| meter.sent(&reset(code)) == Err(Excess::CausedResets))
    };
    // PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED.
    for code in [1, 3, 5] {
        assert_eq!(most(code, 0), Some(100), "code {code}");
        assert_eq!(most(code, 20), Some(120), "code {code}");
    }
    // REFUSED_STREAM.
    assert_eq!(most(7, 0), Some(500));
    // NO_ERROR, INTERNAL_ERROR, CANCEL.
    for code in [0, 2, 8] {
        assert_eq!(most(code, 0), None, "code {code}");
    }
}

#[test]
fn the_pieces_in_which_bytes_come_make_no_difference() {
    let mut bytes = PREFACE.to_vec();
    for _ in 0..30 {
        bytes.extend(frame(HEADERS, 0, STREAM, &[7; 13]));
        bytes.extend(frame(CONTINUATION, END_HEADERS, STREAM, &[]));
        bytes.extend(frame(DATA, 0, STREAM, &[9; 300]));
        bytes.extend(frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 1]));
        bytes.extend(frame(0x42, 0, 0, &[1; 600]));
    }
    // The allowance of both directions together; the preface is none of the server's.
    let left = |piece: usize| {
        let mut meter = Http2Meter::new(MAX_HEAD);
        for piece in bytes.chunks(piece) {
            meter.received(piece, 0).unwrap();
        }
        let received = meter.allowance;
        for piece in bytes[24..].chunks(piece) {
            let _ = meter.sent(piece);
        }
        (received, meter.allowance, meter.last_stream, meter.unsent(), meter.open_head())
    };
    let whole = left(usize::MAX);
    assert_eq!(whole.0, ALLOWANCE - 30 * (1 + 4 + 3));
    for piece in 1..=700 {
        assert_eq!(left(piece), whole, "in pieces of {piece}");
    }
}

#[test]
fn it_is_known_when_a_head_is_under_way() {
    let mut meter = begun();
    let head = frame(HEADERS, END_HEADERS, STREAM, &[0; 10]);
    assert_eq!(meter.open_head(), None);
    meter.received(&head[..9], 0).unwrap();
    assert_eq!(meter.open_head(), Some(1), "its payload is missing");
    meter.received(&head[9..], 0).unwrap();
    assert_eq!(meter.open_head(), None);
    meter.received(&frame(HEADERS, 0, STREAM, &[0; 10]), 0).unwrap();
    assert_eq!(meter.open_head(), Some(2), "it goes on in the next frame");
    meter.received(&frame(CONTINUATION, END_HEADERS, STREAM, &[0; 10]), 0).unwrap();
    assert_eq!(meter.open_head(), None);
}

#[test]
fn a_head_may_have_as_many_bytes_as_the_limit_and_not_one_more() {
    let sent = |bytes: usize| {
        let mut meter = Http2Meter::new(100);
        meter.received(PREFACE, 0).unwrap();
        meter.received(&frame(HEADERS, 0, 1, &[0; 60]), 0).unwrap();
        meter.received(&frame(CONTINUATION, END_HEADERS, 1, &vec![0; bytes - 60]), 0)
    };
    assert_eq!(sent(100), Ok(()));
    assert_eq!(sent(101), Err(Excess::Head));
}

#[test]
fn it_is_known_what_is_missing_of_a_frame_that_was_sent_in_part() {
    let mut meter = begun();
    let bytes = frame(DATA, 0, STREAM, &[0; 5]);
    assert_eq!(meter.unsent(), 0);
    for (upto, missing) in [(4, 5), (9, 5), (13, 1), (14, 0)] {
        let mut meter = begun();
        meter.sent(&bytes[..upto]).unwrap();
        assert_eq!(meter.unsent(), missing, "after {upto} bytes");
    }
    meter.sent(&frame(RST_STREAM, 0, STREAM, &[0, 0, 0, 0])[..11]).unwrap();
    assert_eq!(meter.unsent(), 2);
}

#[test]
fn the_farewell_is_a_goaway_that_says_why() {
    let mut meter = begun();
    meter.received(&frame(HEADERS, END_HEADERS, 77, &[0; 10]), 0).unwrap();
    let mut payload = 77_u32.to_be_bytes().to_vec();
    payload.extend_from_slice(&11_u32.to_be_bytes());
    payload.extend_from_slice(b"http2_pings");
    assert_eq!(meter.farewell(Excess::Pings), frame(GOAWAY, 0, 0, &payload));
}

#[test]
fn noise_never_panics() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2000 {
        let mut meter = Http2Meter::new(MAX_HEAD);
        let mut now = 0;
        for _ in 0..50 {
            let bytes: Vec<u8> = (0..next() % 40).map(|_| (next() % 16) as u8).collect();
            now += next() % 1000;
            let _ = meter.received(&bytes, now);
            let _ = meter.sent(&bytes);
            assert!(meter.unsent() <= 0x00ff_ffff);
            assert!(meter.allowance <= MAX_ALLOWANCE);
        }
    }
}
