//! Cryptography that the gateway computes for filters: any filter can ask for it, and gets a verdict of its own for each case.

use gateway_tests::{Gateway, Origin, wasm};
use serde_json::Value;

/// The status that tells a verdict: 201 holds, 202 does not, 210 and more a status of the ABI other than OK.
fn asking(name: &str, argument: &[u8]) -> Vec<u8> {
    let escaped: String = argument.iter().map(|byte| format!("\\{byte:02x}")).collect();
    wasm::small(
        r#"(import "env" "proxy_call_foreign_function" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_send_local_response"
             (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))"#,
        &format!(
            r#"(data (i32.const 1000) "{name}") (data (i32.const 2000) "{escaped}")
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (local $status i32)
                 (local.set $status (call $call (i32.const 1000) (i32.const {name_len}) (i32.const 2000)
                   (i32.const {argument_len}) (i32.const 500) (i32.const 504)))
                 (drop (call $reply
                   (if (result i32) (local.get $status)
                     (then (i32.add (i32.const 210) (local.get $status)))
                     (else (i32.sub (i32.const 202) (i32.load8_u (i32.load (i32.const 500))))))
                   (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
                 (i32.const 1))"#,
            name_len = name.len(),
            argument_len = argument.len(),
        ),
    )
}

fn bytes(case: &Value, name: &str) -> Vec<u8> {
    let hex = case[name].as_str().expect("text");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn field(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).expect("a short field").to_le_bytes(), content].concat()
}

#[test]
fn filters_have_signatures_and_tags_verified_by_the_gateway() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../gateway/gateway-crypto/vectors/vectors.json"))
            .expect("JSON");
    let case = |name: &str| {
        let cases = vectors["signatures"].as_array().expect("a list").iter();
        cases.clone().find(|case| case["name"] == name).unwrap_or_else(|| panic!("no case {name}"))
    };
    let mut asked = Vec::new();
    for (name, status) in [
        ("RS256: RFC 7515, A.2", 201),
        ("PS256: plus the modulus", 202),
        ("RS512: 4096 bits", 201),
        ("ES256: RFC 7515, A.3", 201),
        ("ES384: s = 0", 202),
        ("EdDSA: RFC 8037, A.4", 201),
        ("EdDSA: S + L, which is the same number", 202),
        ("ES256: key: no point", 212),
        ("RS256: 1024 bits", 212),
    ] {
        let case = case(name);
        let number = u8::try_from(case["algorithm"].as_u64().expect("a number")).expect("a byte");
        let fields = [field(&bytes(case, "key")), field(&bytes(case, "signature"))].concat();
        let argument = [&[number], &fields[..], &bytes(case, "text")].concat();
        asked.push((name, "crypto_verify_signature", argument, status));
    }
    let mac = &vectors["macs"][0];
    let tag = [field(&bytes(mac, "key")), field(&bytes(mac, "tag")), bytes(mac, "text")].concat();
    asked.push(("a tag", "crypto_verify_hmac", [&[1], &tag[..]].concat(), 201));
    asked.push(("a tag of another hash", "crypto_verify_hmac", [&[2], &tag[..]].concat(), 202));
    asked.push(("an unknown hash", "crypto_verify_hmac", [&[9], &tag[..]].concat(), 222));

    let origin = Origin::answering("ok");
    for (name, function, argument, status) in asked {
        let gateway = Gateway::to(&origin).filter("asks", &asking(function, &argument), "").start();
        assert_eq!(gateway.get("/").status, status, "{name}");
    }
}
