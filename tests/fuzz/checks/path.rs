//! Any text as a path: its canonical form is that of itself, stays below the root for every reader, and one that merges or
//! decodes more can only come to the same segments.

use gateway_wire::path::{
    Backslashes, DuplicateSlashes, EncodedSlashes, Policy, canonical, has_dot_segments,
};

const DECODING: Policy = Policy {
    duplicate_slashes: DuplicateSlashes::Merge,
    encoded_slashes: EncodedSlashes::Decode,
    backslashes: Backslashes::Slash,
};

pub fn check(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    for policy in [Policy::STRICT, Policy::LENIENT, DECODING] {
        let Ok(form) = canonical(path, policy) else { continue };
        assert_eq!(canonical(&form, policy).as_deref(), Ok(&*form), "{path:?} {policy:?}");
        assert!(form.starts_with('/') && !has_dot_segments(&form), "{path:?} became {form:?}");
        assert!(form.bytes().all(|byte| byte.is_ascii_graphic()), "{path:?} became {form:?}");
        assert!(!form.contains(['\\', '?', '#', '"', '<', '>']), "{path:?} became {form:?}");
        let merges = policy.duplicate_slashes == DuplicateSlashes::Merge;
        assert!(!merges || !form.contains("//"), "{path:?} became {form:?}");
        // A careless reader that decodes everything once, takes backslashes for slashes and drops parameters.
        let decoded = decoded(&form);
        assert!(!decoded.iter().any(|byte| byte.is_ascii_control()), "{path:?} became {form:?}");
        let segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
        let mut names = segments.map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or(segment));
        assert!(names.all(|name| name != b"." && name != b".."), "{path:?} became {form:?}");
    }
    // What is legal under the strictest policy has the same form under one that only decodes more.
    if let (Ok(strict), Ok(decoding)) = (canonical(path, Policy::STRICT), canonical(path, DECODING)) {
        assert_eq!(strict, decoding, "{path:?}");
    }
}

fn decoded(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let digits = std::str::from_utf8(&tail[..2]).expect("two digits");
            out.push(u8::from_str_radix(digits, 16).expect("hex digits"));
            rest = &tail[2..];
        } else {
            out.push(*first);
        }
    }
    out
}
