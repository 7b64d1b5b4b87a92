use super::*;

type AnySpan = Span<0, { u64::MAX }>;
type AnySize = Size<0, { u64::MAX }>;

#[test]
fn durations_read_as_gep_2257_writes_them() {
    let good = [
        ("0s", 0),
        ("250ms", 250),
        ("15s", 15_000),
        ("1h30m", 5_400_000),
        ("1m1s1ms", 61_001),
        ("00002s", 2_000),
    ];
    for (text, ms) in good {
        assert_eq!(AnySpan::parse(text).unwrap().0, Duration::from_millis(ms), "{text}");
    }
    for text in [
        "",
        "0",
        "15",
        "s",
        "1.5s",
        "-1s",
        "1d",
        "1us",
        "1 s",
        "1s ",
        "100000s",
        "1s1s1s1s1s",
        "99999999999999999999s",
    ] {
        assert!(AnySpan::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_duration_without_unit_gets_one_suggested() {
    let Err(Problem::Mismatch { help }) = AnySpan::parse("15") else { panic!("15 is not a duration") };
    assert_eq!(help.unwrap(), "a duration has a unit: `15s`");
}

#[test]
fn sizes_read_binary_and_decimal_units() {
    let good = [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("64KiB", 65_536),
        ("16 MiB", 16 << 20),
        ("1GiB", 1 << 30),
        ("1kB", 1_000),
        ("2KB", 2_000),
        ("3MB", 3_000_000),
        ("1GB", 1_000_000_000),
    ];
    for (text, bytes) in good {
        assert_eq!(AnySize::parse(text).unwrap().0, bytes, "{text}");
    }
    for text in ["", "KiB", "1.5MiB", "-1", "1TiB", "1kib", "1K", "99999999999GiB", "99999999999999999999"] {
        assert!(AnySize::parse(text).is_err(), "{text}");
    }
}

#[test]
fn bounds_are_part_of_the_type() {
    assert!(Span::<1, 1_000>::parse("1s").is_ok());
    assert!(Span::<1, 1_000>::parse("1001ms").is_err());
    assert!(Span::<1, 1_000>::parse("0s").is_err());
    assert!(Size::<8, 16>::parse("16").is_ok());
    assert!(Size::<8, 16>::parse("17").is_err());
    assert!(Whole::<-1, 5>::parse("-1").is_ok());
    assert!(Whole::<-1, 5>::parse("6").is_err());
    assert!(Whole::<-1, 5>::parse("0x1").is_err());
    assert_eq!(Span::<1, 5_400_000>::expects(), "a duration from 1ms to 90m");
    assert_eq!(Size::<0, 65_536>::expects(), "a size from 0B to 64KiB");
}

#[test]
fn names_keep_to_printable_ascii() {
    for text in ["web", "reviews-v1", "outbound|80||auth.default.svc", "a/b", "A_1"] {
        assert_eq!(Name::parse(text).unwrap().0, text);
    }
    for text in ["", "two words", "quo\"te", "back\\slash", "line\nend", "ü", &"x".repeat(256)] {
        assert!(Name::parse(text).is_err(), "{text}");
    }
    for text in ["x.wasm", "filters/x", "filters/", ".wasm"] {
        assert!(FilterName::parse(text).is_err(), "{text}");
    }
    assert_eq!(FilterName::parse("jwt-auth").unwrap().0, "jwt-auth");
}

#[test]
fn digests_are_64_hex_digits_in_lower_case() {
    assert_eq!(Sha256::parse(&"Ab".repeat(32)).unwrap().0, "ab".repeat(32));
    assert!(Sha256::parse(&"ab".repeat(31)).is_err());
    assert!(Sha256::parse(&"xy".repeat(32)).is_err());
}

#[test]
fn environment_cannot_hold_what_an_operating_system_refuses() {
    assert!(EnvName::parse("A=B").is_err());
    assert!(EnvName::parse("").is_err());
    assert!(EnvValue::parse("a\0b").is_err());
    assert_eq!(EnvValue::parse("a=b").unwrap().0, "a=b");
}
