use super::*;

fn written(unix_ns: u64) -> String {
    let mut out = Vec::new();
    Stamp::new().write(unix_ns, &mut out);
    String::from_utf8(out).expect("ASCII")
}

/// Expected values from GNU date: `date -u -d @SECONDS +%FT%TZ`.
#[test]
fn known_instants() {
    for (second, expected) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_399, "2000-02-28T23:59:59.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_800, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000Z"),
        (1_735_689_599, "2024-12-31T23:59:59.000Z"),
        (1_795_215_965, "2026-11-20T23:06:05.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        (18_446_744_073, "2554-07-21T23:34:33.000Z"),
    ] {
        assert_eq!(written(second * 1_000_000_000), expected);
    }
}

#[test]
fn milliseconds_are_cut_not_rounded() {
    assert_eq!(written(1_007_999_999), "1970-01-01T00:00:01.007Z");
    assert_eq!(written(999_999_999), "1970-01-01T00:00:00.999Z");
}

#[test]
fn the_kept_second_follows_the_clock_both_ways() {
    let mut stamp = Stamp::new();
    let mut out = Vec::new();
    for second in [5, 5, 6, 4] {
        stamp.write(second * 1_000_000_000, &mut out);
    }
    let expected = ["05", "05", "06", "04"].map(|second| format!("1970-01-01T00:00:{second}.000Z")).concat();
    assert_eq!(String::from_utf8(out).expect("ASCII"), expected);
}
