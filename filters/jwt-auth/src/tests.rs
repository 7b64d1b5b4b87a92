//! The table of tokens. The module above says where it runs: natively, or on the compiled module with and without the host's
//! cryptography (`sdk/testing/tests/jwt_auth.rs`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use gateway_sdk::serde_json::{self, Value, json};
use gateway_sdk::testing::{CallAnswer, Outcome, START, TestHost, TestRequest, Tester, Verdict};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{JwtAuth, host};

/// A key and a token for each algorithm; see `make.py` beside it.
const VECTORS: &str = include_str!("../vectors/vectors.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

fn vector(name: &str) -> String {
    vectors()["tokens"][name].as_str().unwrap().to_owned()
}

fn inline(extra: Value) -> String {
    let mut issuer = json!({"issuer": "https://issuer.test", "jwks": {"inline": vectors()["jwks"]}});
    issuer.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"issuers": [issuer], "leeway": "10s"}).to_string()
}

fn tester() -> Tester<JwtAuth> {
    host().start(&inline(json!({"audiences": ["shop", "other"]}))).unwrap()
}

fn bearer(token: &str) -> TestRequest {
    TestRequest::get("/a?b=c").header("authorization", format!("Bearer {token}"))
}

fn encoded(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

/// Of what is legal.
fn decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for character in text.chars() {
        bits = bits << 6 | ALPHABET.find(character).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// A token signed with the vectors' secret.
fn signed(header: Value, claims: Value) -> String {
    let secret = decoded(vectors()["secret"].as_str().unwrap());
    let text =
        format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()));
    let mac = <Hmac<Sha256> as Mac>::new_from_slice(&secret).unwrap().chain_update(text.as_bytes());
    format!("{text}.{}", encoded(&mac.finalize().into_bytes()))
}

fn with_claims(change: impl FnOnce(&mut Value)) -> String {
    let mut claims =
        json!({"iss": "https://issuer.test", "aud": "shop", "exp": START.as_secs() + 60, "sub": "ann"});
    change(&mut claims);
    signed(json!({"alg": "HS256", "kid": "secret"}), claims)
}

fn refusal(tester: &mut Tester<JwtAuth>, token: &str) -> (u32, String) {
    let outcome = tester.request(bearer(token));
    let (status, details) = outcome.refusal();
    (status, details.to_owned())
}

#[test]
fn tokens_of_each_algorithm_pass() {
    let mut tester = tester();
    let names = [
        "RS256",
        "RS384",
        "RS512",
        "PS256",
        "PS384",
        "PS512",
        "ES256",
        "ES384",
        "EdDSA",
        "HS256",
        "HS384",
        "HS512",
        "RS256 with 4096 bits",
        "RS512 with 4096 bits",
    ];
    for name in names {
        let outcome = tester.request(bearer(&vector(name)));
        assert_eq!(outcome.verdict, Verdict::Continued, "{name}: {:?}", outcome.refusal());
        assert!(outcome.header_values("authorization").is_empty(), "the token goes no further");
    }
}

#[test]
fn a_signature_that_was_changed_does_not_hold() {
    let mut tester = tester();
    for name in ["RS256", "PS384", "ES256", "ES384", "EdDSA", "HS512"] {
        let token = vector(name);
        let (text, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = decoded(signature);
        bytes[10] ^= 1;
        let bad = (401, "jwt_bad_signature".to_owned());
        assert_eq!(refusal(&mut tester, &format!("{text}.{}", encoded(&bytes))), bad, "{name}");
        assert_eq!(refusal(&mut tester, &format!("{text}.{}", encoded(&bytes[..5]))), bad, "{name}");
        assert_eq!(refusal(&mut tester, &format!("{text}.")), bad, "{name}");
    }
}

#[test]
fn each_bad_token_is_refused_with_its_own_reason() {
    let now = START.as_secs();
    let head = |alg: &str| json!({"alg": alg, "kid": "secret"});
    let claims = || json!({"iss": "https://issuer.test", "aud": "shop", "exp": now + 60});
    let none = format!("{}.{}.", encoded(br#"{"alg":"none"}"#), encoded(claims().to_string().as_bytes()));
    let cases: [(&str, String); 26] = [
        ("jwt_alg_none", none),
        ("jwt_alg_none", signed(head("NoNe"), claims())),
        ("jwt_alg_not_allowed", signed(head("RS1"), claims())),
        ("jwt_alg_mismatch", vector("confused")),
        ("jwt_alg_mismatch", signed(head("RS256"), claims())),
        ("jwt_critical_unknown", signed(json!({"alg": "HS256", "kid": "secret", "crit": ["exp"]}), claims())),
        ("jwt_expired", with_claims(|claims| claims["exp"] = json!(now - 10))),
        ("jwt_expired", with_claims(|claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("jwt_not_yet_valid", with_claims(|claims| claims["nbf"] = json!(now + 11))),
        ("jwt_not_yet_valid", with_claims(|claims| claims["iat"] = json!(now + 1000))),
        ("jwt_unknown_issuer", with_claims(|claims| claims["iss"] = json!("https://issuer.test/"))),
        ("jwt_unknown_issuer", with_claims(|claims| drop(claims.as_object_mut().unwrap().remove("iss")))),
        ("jwt_wrong_audience", with_claims(|claims| claims["aud"] = json!("shop2"))),
        ("jwt_wrong_audience", with_claims(|claims| claims["aud"] = json!(["a", "b"]))),
        ("jwt_wrong_audience", with_claims(|claims| drop(claims.as_object_mut().unwrap().remove("aud")))),
        ("jwt_unknown_key", signed(json!({"alg": "HS256", "kid": "other"}), claims())),
        ("jwt_malformed", signed(json!({"kid": "secret"}), claims())),
        ("jwt_malformed", signed(json!({"alg": "HS256", "kid": 7}), claims())),
        ("jwt_malformed", with_claims(|claims| claims["exp"] = json!("soon"))),
        ("jwt_malformed", signed(head("HS256"), json!("text"))),
        ("jwt_malformed", "a.b".to_owned()),
        ("jwt_malformed", format!("{}.x", vector("RS256"))),
        ("jwt_malformed", vector("RS256").replace('.', "=.")),
        ("jwt_malformed", vector("RS256").replacen('e', "+", 1)),
        ("jwt_malformed", "....".to_owned()),
        ("jwt_too_long", "a".repeat(16 * 1024 + 1)),
    ];
    let mut tester = tester();
    for (code, token) in cases {
        assert_eq!(refusal(&mut tester, &token), (401, code.to_owned()), "{}", &token[..token.len().min(80)]);
    }
    let outcome = tester.request(bearer("a.b"));
    let reply = outcome.reply().unwrap();
    assert_eq!(reply.header_values("www-authenticate"), [r#"Bearer realm="api", error="invalid_token""#]);
    assert!(outcome.logs.iter().all(|(_, line)| !line.contains("a.b")), "{:?}", outcome.logs);
}

#[test]
fn clocks_may_be_apart_by_the_leeway() {
    let now = START.as_secs();
    let mut tester = tester();
    for claims in [json!({"exp": now - 9}), json!({"nbf": now + 10}), json!({"iat": now + 9})] {
        let token =
            with_claims(|all| all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone()));
        assert_eq!(tester.request(bearer(&token)).verdict, Verdict::Continued, "{claims}");
    }
}

#[test]
fn a_token_without_a_key_id_is_tried_with_all_keys_for_its_algorithm() {
    let mut tester = tester();
    let claims = json!({"iss": "https://issuer.test", "aud": "shop", "exp": START.as_secs() + 60});
    let token = signed(json!({"alg": "HS256"}), claims);
    assert_eq!(tester.request(bearer(&token)).verdict, Verdict::Continued);
}

#[test]
fn issuers_can_be_held_to_their_algorithms() {
    let mut tester = host().start::<JwtAuth>(&inline(json!({"algorithms": ["ES256"]}))).unwrap();
    assert_eq!(tester.request(bearer(&vector("ES256"))).verdict, Verdict::Continued);
    assert_eq!(refusal(&mut tester, &vector("RS256")), (401, "jwt_alg_not_allowed".to_owned()));
}

#[test]
fn claims_become_headers_that_clients_cannot_make_up() {
    let config = inline(json!({"claimsToHeaders": [
        {"claim": "sub", "header": "x-user", "required": true},
        {"claim": "realm_access.roles", "header": "x-roles"},
        {"claim": "https://x.test/tenant", "header": "x-tenant"}
    ]}));
    let mut tester = host().start::<JwtAuth>(&config).unwrap();
    let token = with_claims(|claims| {
        claims["realm_access"] = json!({"roles": ["a", "b"]});
        claims["https://x.test/tenant"] = json!(7);
    });
    let request = bearer(&token).header("x-user", "root").header("x_user", "root").header("x-roles", "root");
    let outcome = tester.request(request);
    assert_eq!(outcome.header_values("x-user"), ["ann"]);
    assert_eq!(outcome.header_values("x-roles"), ["a,b"]);
    assert_eq!(outcome.header_values("x-tenant"), ["7"]);
    assert!(!outcome.headers.iter().any(|(_, value)| value == b"root"), "{:?}", outcome.headers);

    let without = with_claims(|claims| drop(claims.as_object_mut().unwrap().remove("sub")));
    assert_eq!(refusal(&mut tester, &without), (401, "jwt_bad_claim".to_owned()));
    for bad in [json!("a\r\nx-admin: 1"), json!({"a": 1}), json!([["a"]])] {
        let token = with_claims(|claims| claims["sub"] = bad);
        assert_eq!(refusal(&mut tester, &token), (401, "jwt_bad_claim".to_owned()));
    }
}

#[test]
fn tokens_come_from_headers_queries_and_cookies_and_are_taken_out() {
    let mut config: Value = serde_json::from_str(&inline(json!({}))).unwrap();
    config["from"] =
        json!([{"header": "authorization"}, {"header": "x-token"}, {"query": "token"}, {"cookie": "t"}]);
    let mut tester = host().start::<JwtAuth>(&config.to_string()).unwrap();
    let token = vector("ES256");
    let passes = |outcome: &Outcome| {
        assert_eq!(outcome.verdict, Verdict::Continued, "{:?}", outcome.refusal());
        assert!(
            outcome.headers.iter().all(|(_, value)| !value.windows(20).any(|w| w == &token.as_bytes()[..20]))
        );
    };
    passes(&tester.request(TestRequest::get("/").header("authorization", format!("bEARER   {token} "))));
    passes(&tester.request(TestRequest::get("/").header("x-token", &token)));
    let outcome = tester.request(TestRequest::get(&format!("/a?x=1&token={token}&y=2")));
    passes(&outcome);
    assert_eq!(outcome.header_values(":path"), ["/a?x=1&y=2"]);
    let outcome = tester.request(TestRequest::get("/").header("cookie", format!("a=b; t={token};c=d")));
    passes(&outcome);
    assert_eq!(outcome.header_values("cookie"), ["a=b; c=d"]);
    let outcome = tester.request(TestRequest::get("/").header("cookie", format!("t={token}")));
    passes(&outcome);
    assert!(outcome.header_values("cookie").is_empty());

    let both = |other: &str| TestRequest::get(&format!("/?token={other}")).header("x-token", &token);
    passes(&tester.request(both(&token)));
    assert_eq!(tester.request(both(&vector("RS256"))).refusal(), (400, "jwt_ambiguous"));
    for request in [
        TestRequest::get("/"),
        TestRequest::get("/").header("authorization", "Basic YTpi"),
        TestRequest::get("/").header("authorization", "Bearer"),
        TestRequest::get("/?token=").header("cookie", "tt=x; t"),
    ] {
        let outcome = tester.request(request);
        assert_eq!(outcome.refusal(), (401, "jwt_missing"));
        let challenges = outcome.reply().unwrap().header_values("www-authenticate");
        assert_eq!(challenges, [r#"Bearer realm="api""#]);
    }
    let outcome = tester.request(TestRequest::get("/").header("x-token", [0xff, 0xfe]));
    assert_eq!(outcome.refusal(), (401, "jwt_malformed"));
}

#[test]
fn an_optional_token_must_be_valid_all_the_same() {
    let mut config: Value = serde_json::from_str(&inline(json!({}))).unwrap();
    config["optional"] = json!(true);
    config["forward"] = json!(true);
    let mut tester = host().start::<JwtAuth>(&config.to_string()).unwrap();
    assert_eq!(tester.request(TestRequest::get("/")).verdict, Verdict::Continued);
    assert_eq!(refusal(&mut tester, "a.b.c").1, "jwt_malformed");
    let outcome = tester.request(bearer(&vector("RS256")));
    assert_eq!(outcome.header_values("authorization").len(), 1, "forwarded");
}

/// An issuer that can be taken down and can change its keys.
#[derive(Clone)]
struct Issuing {
    keys: Rc<RefCell<Value>>,
    up: Rc<Cell<bool>>,
    fetched: Rc<Cell<u32>>,
}

impl Issuing {
    fn new() -> Self {
        Self {
            keys: Rc::new(RefCell::new(vectors()["jwks"].clone())),
            up: Rc::new(Cell::new(true)),
            fetched: Rc::default(),
        }
    }

    fn host(&self) -> TestHost {
        let this = self.clone();
        host().on_call("keys", move |call| {
            assert_eq!(call.target(), "GET /jwks.json");
            assert_eq!(call.header(":authority"), "issuer.test");
            this.fetched.set(this.fetched.get() + 1);
            let answer =
                if this.up.get() { CallAnswer::json(&this.keys.borrow()) } else { CallAnswer::new(503) };
            answer.after(Duration::from_millis(20))
        })
    }

    fn start(&self) -> Tester<JwtAuth> {
        let remote = json!({"upstream": "keys", "path": "/jwks.json", "authority": "issuer.test",
            "refresh": "5m", "keep": "1h"});
        let config = json!({"issuers": [{"issuer": "https://issuer.test", "jwks": {"remote": remote}}]});
        self.host().start(&config.to_string()).unwrap()
    }
}

/// Valid however late it gets in a test.
fn lasting(key_id: &str) -> String {
    let claims = json!({"iss": "https://issuer.test", "exp": START.as_secs() + 1_000_000});
    signed(json!({"alg": "HS256", "kid": key_id}), claims)
}

#[test]
fn remote_keys_are_fetched_once_and_again_after_a_while() {
    let issuing = Issuing::new();
    let mut tester = issuing.start();
    for _ in 0..3 {
        assert_eq!(tester.request(bearer(&lasting("secret"))).verdict, Verdict::Continued);
    }
    assert_eq!(issuing.fetched.get(), 1);
    tester.advance(Duration::from_secs(305));
    assert_eq!(issuing.fetched.get(), 2);
}

#[test]
fn a_rotated_key_is_found_at_once_and_made_up_ones_do_not_hammer_the_issuer() {
    let issuing = Issuing::new();
    let mut tester = issuing.start();
    tester.request(bearer(&lasting("secret")));
    let mut keys = issuing.keys.borrow().clone();
    for key in keys["keys"].as_array_mut().unwrap() {
        if key["kid"] == "secret" {
            key["kid"] = json!("new");
        }
    }
    issuing.keys.replace(keys);
    tester.advance(Duration::from_secs(11));
    let outcome = tester.request(bearer(&lasting("new")));
    assert_eq!(outcome.verdict, Verdict::Continued, "{:?}", outcome.refusal());
    assert_eq!(issuing.fetched.get(), 2);
    assert_eq!(refusal(&mut tester, &lasting("secret")).1, "jwt_unknown_key");
    for index in 0..20 {
        assert_eq!(refusal(&mut tester, &lasting(&format!("made-up-{index}"))).1, "jwt_unknown_key");
    }
    assert_eq!(issuing.fetched.get(), 2, "not again within ten seconds");
}

#[test]
fn an_outage_is_survived_with_the_keys_at_hand() {
    let issuing = Issuing::new();
    let mut tester = issuing.start();
    assert_eq!(tester.request(bearer(&lasting("secret"))).verdict, Verdict::Continued);
    issuing.up.set(false);
    tester.advance(Duration::from_secs(3_500));
    assert_eq!(tester.request(bearer(&lasting("secret"))).verdict, Verdict::Continued);
    assert!(issuing.fetched.get() > 5, "tried again and again");
    // Another worker starts meanwhile, and begins with what the first one has fetched.
    tester.advance(Duration::from_secs(50));
    tester.add_worker().unwrap();
    assert_eq!(tester.request(bearer(&lasting("secret"))).verdict, Verdict::Continued);
    tester.switch_to(0);
    tester.advance(Duration::from_secs(200));
    assert_eq!(refusal(&mut tester, &lasting("secret")), (503, "jwt_keys_unavailable".to_owned()));
    issuing.up.set(true);
    tester.advance(Duration::from_secs(11));
    assert_eq!(tester.request(bearer(&lasting("secret"))).verdict, Verdict::Continued);
}

#[test]
fn without_any_keys_nothing_passes() {
    let issuing = Issuing::new();
    issuing.up.set(false);
    let mut tester = issuing.start();
    assert_eq!(refusal(&mut tester, &lasting("secret")), (503, "jwt_keys_unavailable".to_owned()));
    issuing.up.set(true);
    issuing.keys.replace(json!({"keys": "none"}));
    tester.advance(Duration::from_secs(11));
    assert_eq!(refusal(&mut tester, &lasting("secret")), (503, "jwt_keys_unavailable".to_owned()));
}

#[test]
fn keys_that_are_no_good_are_refused_by_place() {
    let key =
        |key: Value| json!({"issuers": [{"issuer": "a", "jwks": {"inline": {"keys": [key]}}}]}).to_string();
    let cases = [
        (key(json!({"kty": "oct", "k": "c2hvcnQ"})), "keys[0] is a secret of less than 32 bytes"),
        (
            key(json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"})),
            "keys[0] is an RSA key of less than 2048 bits",
        ),
        (
            key(json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"})),
            "keys[0] has coordinates of another",
        ),
        (key(json!({"kty": "EC", "crv": "P-521"})), "keys[0] is of a kind that is not known"),
        (key(json!({"kty": "RSA", "use": "enc", "n": "", "e": ""})), "keys[0] is not for signatures"),
        (key(json!({"kty": "RSA", "n": "A=", "e": "AQAB"})), "keys[0] has a field that is not base64url"),
        (
            r#"{"issuers": [{"issuer": "a", "jwks": {"inline": {}}}]}"#.to_owned(),
            "it is not a JSON Web Key Set",
        ),
        (r#"{"issuers": []}"#.to_owned(), "`issuers`: is empty, so that nobody could pass"),
    ];
    for (config, expected) in cases {
        let error = host().start::<JwtAuth>(&config).map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{config}: {error}");
    }
}
