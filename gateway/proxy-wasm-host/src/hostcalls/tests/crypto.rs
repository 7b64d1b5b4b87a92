//! Hashes, tags and signatures as foreign functions: layouts, limits and statuses. What is computed is another crate's.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::crypto::{BadKey, Cryptography, Hash, SignatureAlgorithm};
use crate::deadline::thread_cpu_time;
use crate::fake::FakeServices;
use crate::limits::{HMAC_KEY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES};
use crate::plugin::{CallError, PluginConfig};
use crate::testing::{Host, OUT, bytes, data, guest, on_request_headers, show};

/// Where arguments lie, far above what the allocator gives out.
const ARGUMENTS: u32 = 30_000;

/// Says what it was asked, and whether a key or a tag is the one that it takes.
#[derive(Debug, Default)]
struct Recorder {
    asked: RefCell<Vec<String>>,
    /// CPU time that each hash takes.
    work: Duration,
}

impl Recorder {
    fn note(&self, what: String) {
        self.asked.borrow_mut().push(what);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Cryptography for Recorder {
    fn hash(&self, hash: Hash, given: &[u8], out: &mut Vec<u8>) {
        self.note(format!("hash {hash:?} {}", text(given)));
        let began = thread_cpu_time();
        while thread_cpu_time() - began < self.work {}
        out.extend_from_slice(b"digest");
    }

    fn hmac(&self, hash: Hash, key: &[u8], given: &[u8], out: &mut Vec<u8>) {
        self.note(format!("hmac {hash:?} {} {}", text(key), text(given)));
        out.extend_from_slice(b"tag");
    }

    fn verify_hmac(&self, hash: Hash, key: &[u8], tag: &[u8], given: &[u8]) -> bool {
        self.note(format!("verify {hash:?} {} {} {}", text(key), text(tag), text(given)));
        tag == b"tag"
    }

    fn verify_signature(
        &self,
        algorithm: SignatureAlgorithm,
        key: &[u8],
        signature: &[u8],
        given: &[u8],
    ) -> Result<bool, BadKey> {
        self.note(format!("verify {algorithm:?} {} {} {}", text(key), signature.len(), text(given)));
        if key == b"bad" { Err(BadKey) } else { Ok(signature == b"sig") }
    }
}

/// A field after its length.
fn field(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_le_bytes(), content].concat()
}

/// Statuses and results of calls, and what the services were asked.
fn ask(calls: &[(&str, Vec<u8>)]) -> (Vec<u32>, Vec<String>, Vec<String>) {
    let (mut code, mut parts, mut at) = (String::new(), String::new(), ARGUMENTS);
    for (name, argument) in calls {
        let (name_len, argument_len) =
            (u32::try_from(name.len()).unwrap(), u32::try_from(argument.len()).unwrap());
        parts += &(data(at, name) + &bytes(at + 64, argument));
        code += &show("call_foreign_function", &[at, name_len, at + 64, argument_len, OUT, OUT + 4]);
        at += 64 + argument_len.next_multiple_of(64);
    }
    let recorder = Rc::new(Recorder::default());
    let services = Rc::new(FakeServices::with_cryptography(recorder.clone()));
    let text = guest(&format!("{parts} {}", on_request_headers(&code)));
    let mut host = Host::start_in(&text, PluginConfig::default(), services).unwrap();
    host.request().unwrap();
    (host.statuses(), host.values(), recorder.asked.take())
}

#[test]
fn arguments_are_taken_apart() {
    let key_and = |rest: &[u8]| [&field(b"key")[..], rest].concat();
    let calls = [
        ("crypto_hash", b"\x02text".to_vec()),
        ("crypto_hash", b"\x01".to_vec()),
        ("crypto_hmac", [b"\x03", &key_and(b"text")[..]].concat()),
        ("crypto_hmac", [&b"\x01"[..], &field(b"")].concat()),
        ("crypto_verify_hmac", [b"\x01", &key_and(&field(b"tag"))[..], b"text"].concat()),
        ("crypto_verify_hmac", [b"\x01", &key_and(&field(b"gat"))[..], b"text"].concat()),
        ("crypto_verify_signature", [b"\x09", &key_and(&field(b"sig"))[..], b"text"].concat()),
        ("crypto_verify_signature", [b"\x01", &key_and(&field(b""))[..]].concat()),
    ];
    let (statuses, values, asked) = ask(&calls);
    assert_eq!(statuses, [0; 8]);
    assert_eq!(values, ["digest", "digest", "tag", "tag", "\x01", "\0", "\x01", "\0"]);
    let expected = [
        "hash Sha384 text",
        "hash Sha256 ",
        "hmac Sha512 key text",
        "hmac Sha256  ",
        "verify Sha256 key tag text",
        "verify Sha256 key gat text",
        "verify Ed25519 key 3 text",
        "verify RsaPkcs1Sha256 key 0 ",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn what_is_cut_off_unknown_or_too_long_is_told_and_computed_by_nobody() {
    const BAD_ARGUMENT: u32 = 2;
    const UNIMPLEMENTED: u32 = 12;
    let huge = u32::MAX.to_le_bytes().to_vec();
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        ("crypto_hash", vec![], BAD_ARGUMENT),
        ("crypto_hash", vec![0], UNIMPLEMENTED),
        ("crypto_hash", vec![4, 1], UNIMPLEMENTED),
        ("crypto_hmac", vec![1, 1, 0, 0], BAD_ARGUMENT),
        ("crypto_hmac", [&[1], &huge[..]].concat(), BAD_ARGUMENT),
        ("crypto_hmac", [&[1][..], &field(&[b'k'; HMAC_KEY_BYTES + 1])].concat(), BAD_ARGUMENT),
        ("crypto_verify_hmac", [&[1][..], &field(b"key")].concat(), BAD_ARGUMENT),
        ("crypto_verify_hmac", [&[9][..], &field(b"key"), &field(b"tag")].concat(), UNIMPLEMENTED),
        ("crypto_verify_signature", vec![], BAD_ARGUMENT),
        ("crypto_verify_signature", [&[10][..], &field(b"key"), &field(b"sig")].concat(), UNIMPLEMENTED),
        ("crypto_verify_signature", [&[9][..], &field(b"key"), &[9, 0, 0, 0, 1]].concat(), BAD_ARGUMENT),
        (
            "crypto_verify_signature",
            [&[9][..], &field(&[1; PUBLIC_KEY_BYTES + 1]), &field(b"sig")].concat(),
            BAD_ARGUMENT,
        ),
        (
            "crypto_verify_signature",
            [&[9][..], &field(b"key"), &field(&[1; SIGNATURE_BYTES + 1])].concat(),
            BAD_ARGUMENT,
        ),
    ];
    let calls: Vec<_> = cases.iter().map(|(name, argument, _)| (*name, argument.clone())).collect();
    let (statuses, _, asked) = ask(&calls);
    assert_eq!(statuses, cases.iter().map(|(.., status)| *status).collect::<Vec<_>>());
    assert!(asked.is_empty(), "{asked:?}");

    let bad_key = [&[9][..], &field(b"bad"), &field(b"sig")].concat();
    let (statuses, _, asked) = ask(&[("crypto_verify_signature", bad_key)]);
    assert_eq!((statuses, asked.len()), (vec![BAD_ARGUMENT], 1));
}

#[test]
fn without_cryptography_there_are_no_such_functions() {
    let call = |at: u32, len: u32| show("call_foreign_function", &[at, len, 300, 1, OUT, OUT + 4]);
    let names = ["crypto_hash", "crypto_hmac", "crypto_verify_hmac", "crypto_verify_signature"];
    let parts: String = (0_u32..).zip(names).map(|(place, name)| data(100 + 40 * place, name)).collect();
    let code: String =
        (0_u32..).zip(names).map(|(place, name)| call(100 + 40 * place, name.len() as u32)).collect();
    let mut host =
        Host::start(&guest(&format!("{parts} {} {}", bytes(300, &[1]), on_request_headers(&code))));
    host.request().unwrap();
    assert_eq!(host.statuses(), [1; 4]);
}

/// The guest itself does next to nothing: what ends it is the time of the host's functions.
#[test]
fn the_time_that_the_host_computes_is_the_guests() {
    let call = crate::testing::call("call_foreign_function", &[100, 11, 200, 1, OUT, OUT + 4]);
    let code = format!(
        "(local $left i32) (local.set $left (i32.const 100))
         (loop $next (drop {call})
           (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if $next (local.get $left)))"
    );
    let parts = format!("{} {} {}", data(100, "crypto_hash"), bytes(200, &[1]), on_request_headers(&code));
    let run = |work: Duration| {
        let recorder = Rc::new(Recorder { work, ..Recorder::default() });
        let mut config = PluginConfig::default();
        config.limits.callback_cpu = Duration::from_millis(20);
        let services = Rc::new(FakeServices::with_cryptography(recorder.clone()));
        let result = Host::start_in(&guest(&parts), config, services).unwrap().request();
        (result, recorder.asked.take().len())
    };
    let (result, calls) = run(Duration::from_millis(5));
    assert!(matches!(result, Err(CallError::Deadline { .. })), "{result:?}");
    assert!(calls < 50, "{calls} calls of 5 ms each in a callback that may take 20 ms");
    let (result, calls) = run(Duration::ZERO);
    assert_eq!((result.is_ok(), calls), (true, 100));
}
