//! Each kind of path by table, and what must hold for every one of them.

use std::borrow::Cow;

use super::*;

const DECODING: Policy = Policy {
    duplicate_slashes: DuplicateSlashes::Refuse,
    encoded_slashes: EncodedSlashes::Decode,
    backslashes: Backslashes::Slash,
};

#[test]
fn each_path_has_one_form() {
    for (path, expected) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a/b;v=1,2/c=d:e@f", "/a/b;v=1,2/c=d:e@f"),
        ("/.well-known/x", "/.well-known/x"),
        ("/...", "/..."),
        ("/a..b/.c.", "/a..b/.c."),
        ("/.", "/"),
        ("/./", "/"),
        ("/a/.", "/a/"),
        ("/a/./b", "/a/b"),
        ("/a/..", "/"),
        ("/a/../", "/"),
        ("/a/../b", "/b"),
        ("/a/b/../../c", "/c"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/%61%2D%7e", "/a-~"),
        ("/%c3%a9", "/%C3%A9"),
        ("/\u{e9}", "/%C3%A9"),
        ("/%e9", "/%E9"),
        ("/%21%24", "/%21%24"),
        ("/!$", "/!$"),
        ("/%20", "/%20"),
        ("/%252e%252e", "/%252e%252e"),
        ("/%3f%23", "/%3F%23"),
        ("/a|b\"{}^`<>", "/a%7Cb%22%7B%7D%5E%60%3C%3E"),
        ("//", "/"),
        ("///a//b//", "/a/b/"),
        ("/a//../b", "/b"),
    ] {
        assert_eq!(canonical(path, Policy::STRICT), Ok(Cow::from(expected)), "{path:?}");
    }
}

#[test]
fn what_has_no_form_is_refused_under_every_policy() {
    for (path, refusal) in [
        ("", Refusal::NotAbsolute),
        ("a", Refusal::NotAbsolute),
        ("*", Refusal::NotAbsolute),
        ("%2Fa", Refusal::NotAbsolute),
        ("/..", Refusal::AboveRoot),
        ("/../a", Refusal::AboveRoot),
        ("/a/../../b", Refusal::AboveRoot),
        ("/a/%2e%2e/%2e%2e/x", Refusal::AboveRoot),
        ("/%", Refusal::BadEscape),
        ("/%2", Refusal::BadEscape),
        ("/%zz", Refusal::BadEscape),
        ("/%%32e", Refusal::BadEscape),
        ("/%u002e", Refusal::BadEscape),
        ("/%+1", Refusal::BadEscape),
        ("/%00", Refusal::Control),
        ("/a%0d%0aX:%20y", Refusal::Control),
        ("/%7f", Refusal::Control),
        ("/a b", Refusal::Control),
        ("/\0", Refusal::Control),
        ("/a?b", Refusal::NotPath),
        ("/a#b", Refusal::NotPath),
        ("/%c0%ae%c0%ae/x", Refusal::Overlong),
        ("/%c1%9c", Refusal::Overlong),
        ("/%e0%80%af", Refusal::Overlong),
        ("/%f0%80%80%af", Refusal::Overlong),
        ("/a/..;/b", Refusal::DotParameters),
        ("/a/.;x=1/b", Refusal::DotParameters),
        ("/a/%2e%2e;/b", Refusal::DotParameters),
    ] {
        for policy in [Policy::STRICT, Policy::LENIENT, DECODING] {
            assert_eq!(canonical(path, policy), Err(refusal), "{path:?} {policy:?}");
        }
    }
}

#[test]
fn the_policy_decides_where_servers_differ() {
    for (path, strict, lenient, decoding) in [
        ("/a%2fb", Err(Refusal::EncodedSlash), Ok("/a%2Fb"), Ok("/a/b")),
        ("/a/..%2fb", Err(Refusal::EncodedSlash), Err(Refusal::HiddenDotSegment), Ok("/b")),
        (
            "/a%2f..%2f..%2fb",
            Err(Refusal::EncodedSlash),
            Err(Refusal::HiddenDotSegment),
            Err(Refusal::AboveRoot),
        ),
        (
            "/a%2f..;x",
            Err(Refusal::EncodedSlash),
            Err(Refusal::HiddenDotSegment),
            Err(Refusal::DotParameters),
        ),
        ("/a\\b", Err(Refusal::Backslash), Ok("/a%5Cb"), Ok("/a/b")),
        ("/a%5cb", Err(Refusal::Backslash), Ok("/a%5Cb"), Ok("/a/b")),
        ("/a/..\\b", Err(Refusal::Backslash), Err(Refusal::HiddenDotSegment), Ok("/b")),
        (
            "/a/%5c..%2fb",
            Err(Refusal::Backslash),
            Err(Refusal::HiddenDotSegment),
            Err(Refusal::DuplicateSlash),
        ),
        ("/a//b", Ok("/a/b"), Ok("/a//b"), Err(Refusal::DuplicateSlash)),
        ("/a//..", Ok("/"), Ok("/a/"), Err(Refusal::DuplicateSlash)),
        ("//a", Ok("/a"), Ok("//a"), Err(Refusal::DuplicateSlash)),
        ("/a/%2f", Err(Refusal::EncodedSlash), Ok("/a/%2F"), Err(Refusal::DuplicateSlash)),
    ] {
        for (policy, expected) in [(Policy::STRICT, strict), (Policy::LENIENT, lenient), (DECODING, decoding)]
        {
            assert_eq!(canonical(path, policy), expected.map(Cow::from), "{path:?} {policy:?}");
        }
    }
}

#[test]
fn what_is_canonical_is_not_copied() {
    for path in ["/", "/a/b/c.html", "/.well-known/acme", "/%C3%A9/%20", "/a;b=c"] {
        assert!(matches!(canonical(path, Policy::STRICT), Ok(Cow::Borrowed(_))), "{path}");
    }
}

/// xorshift with a fixed seed: the same paths in every run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn the_form_of_a_form_is_itself_and_holds_no_dot_segment() {
    let pieces = [
        "/", "/", ".", "..", "%2e", "%2F", "%5c", "\\", "a", ";", "%", "25", "%c0", "%ae", "b c", "~", "%7E",
        "\u{e9}",
    ];
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let mut path = "/".to_owned();
        (0..noise.below(9)).for_each(|_| path.push_str(pieces[noise.below(pieces.len())]));
        for policy in [Policy::STRICT, Policy::LENIENT, DECODING] {
            let Ok(form) = canonical(&path, policy) else {
                refused += 1;
                continue;
            };
            accepted += 1;
            assert_eq!(canonical(&form, policy), Ok(Cow::Borrowed(&*form)), "{path:?} {policy:?}");
            assert!(form.starts_with('/') && !has_dot_segments(&form), "{path:?} became {form:?}");
            assert!(form.is_ascii() && !form.contains(['\\', ' ', '?', '#']), "{path:?} became {form:?}");
        }
    }
    assert!(accepted > 50_000 && refused > 50_000, "{accepted} accepted, {refused} refused");
}
