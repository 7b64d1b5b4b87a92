//! What a token costs: its signature checked natively, by the host for a guest, and by the guest itself; and the same in a
//! whole request through `jwt-auth`.
//!
//!     cargo build -p jwt-auth --profile filter --target wasm32-wasip1
//!     cargo bench -p micro-benches --bench signatures -- target/wasm32-wasip1/filter/jwt_auth.wasm
//!
//! Processor time of this thread, the fastest of several rounds. Without the path only the first two are measured.

use std::cell::RefCell;
use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_crypto::AwsLc;
use proxy_wasm_host::crypto::{Cryptography, SignatureAlgorithm};
use proxy_wasm_host::fake::{FakeServices, FakeStream, Ticker};
use proxy_wasm_host::{Action, Engine, Module, Plugin, PluginConfig};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../../filters/jwt-auth/vectors/vectors.json");
/// Tokens, the number of their algorithm, and the id of their key.
const TOKENS: [(&str, u8, &str); 5] = [
    ("RS256", 1, "rsa"),
    ("RS256 with 4096 bits", 1, "rsa-4096"),
    ("PS256", 4, "rsa"),
    ("ES256", 7, "P-256"),
    ("ES384", 8, "P-384"),
];
/// A token whose signature is an HMAC: what `jwt-auth` costs beside signatures.
const BASELINE: &str = "HS256";
const ROUNDS: usize = 7;
/// Processor time of one round.
const ROUND: Duration = Duration::from_millis(40);
/// When the tokens are valid: 2026-01-02.
const NOW: Duration = Duration::from_secs(1_767_312_000);

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().skip(1).find(|argument| argument.ends_with(".wasm"));
    let vectors: Value = serde_json::from_str(VECTORS)?;
    let engine = Engine::new()?;
    let _ticker = Ticker::start(&engine);
    let filter = path.map(|path| Ok::<_, Box<dyn Error>>(Module::compile(&engine, &std::fs::read(path)?)?));
    let filter = filter.transpose()?;
    println!(
        "| token | native | the key alone | host, for a guest | jwt-auth, host | jwt-auth, itself |\n|---|--:|--:|--:|--:|--:|"
    );
    for (name, number, key_id) in TOKENS {
        let token = text(&vectors["tokens"][name])?;
        let key = key(&vectors, key_id)?;
        let (native, reading) = native(number, &key, token)?;
        let guest = guest(&engine, number, &key, token)?;
        println!(
            "| {name} | {native:.1} | {reading:.1} | {guest:.1} | {} |",
            in_filter(filter.as_ref(), &vectors, token)?
        );
    }
    let token = text(&vectors["tokens"][BASELINE])?;
    println!("| {BASELINE} | | | | {} |", in_filter(filter.as_ref(), &vectors, token)?);
    Ok(())
}

/// Microseconds of one check, and of one that ends once the key is read: without a signature.
fn native(number: u8, key: &[u8], token: &str) -> Result<(f64, f64), Box<dyn Error>> {
    let algorithm = SignatureAlgorithm::from_number(number).ok_or("no algorithm")?;
    let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
    let signature = decoded(signature)?;
    let check = |signature: &[u8]| AwsLc.verify_signature(algorithm, key, signature, signed.as_bytes());
    if check(&signature) != Ok(true) || check(b"") != Ok(false) {
        return Err("the signature does not hold, or nothing does".into());
    }
    let microseconds = |signature: &[u8]| {
        fastest(|| {
            let _ = black_box(check(black_box(signature)));
        })
    };
    Ok((microseconds(&signature), microseconds(b"")))
}

/// Microseconds of one callback in which a guest has the host check a signature.
fn guest(engine: &Engine, number: u8, key: &[u8], token: &str) -> Result<f64, Box<dyn Error>> {
    let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
    let mut argument = vec![number];
    for part in [key, &decoded(signature)?] {
        argument.extend(u32::try_from(part.len())?.to_le_bytes());
        argument.extend_from_slice(part);
    }
    argument.extend_from_slice(signed.as_bytes());
    let escaped: String = argument.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let module = format!(
        r#"(module
          (import "env" "proxy_call_foreign_function" (func $call (param i32 i32 i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 2) (func (export "proxy_abi_version_0_2_1"))
          (func (export "malloc") (param i32) (result i32) (i32.const 65536))
          (data (i32.const 100) "crypto_verify_signature") (data (i32.const 1000) "{escaped}")
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $call (i32.const 100) (i32.const 23) (i32.const 1000) (i32.const {}) (i32.const 64)
              (i32.const 68)))
            (i32.eqz (i32.load8_u (i32.load (i32.const 64))))))"#,
        argument.len()
    );
    callback(&Module::compile(engine, &wat::parse_str(module)?)?, String::new(), Some(Rc::new(AwsLc)), "")
}

/// Microseconds of one request with and without the host's cryptography, as columns of the table.
fn in_filter(filter: Option<&Module>, vectors: &Value, token: &str) -> Result<String, Box<dyn Error>> {
    let Some(filter) = filter else { return Ok("|".to_owned()) };
    let issuer = json!({"issuer": "https://issuer.test", "jwks": {"inline": vectors["jwks"]}});
    let config = json!({"issuers": [issuer]}).to_string();
    let by_host = callback(filter, config.clone(), Some(Rc::new(AwsLc)), token)?;
    let by_itself = callback(filter, config, None, token)?;
    Ok(format!("{by_host:.1} | {by_itself:.1}"))
}

/// Microseconds of a request headers callback that goes on, with its stream's beginning and end.
fn callback(
    module: &Module,
    config: String,
    cryptography: Option<Rc<dyn Cryptography>>,
    token: &str,
) -> Result<f64, Box<dyn Error>> {
    let services = Rc::new(cryptography.map(FakeServices::with_cryptography).unwrap_or_default());
    services.now_ns.set(u64::try_from(NOW.as_nanos())?);
    let mut config = PluginConfig { configuration: config.into(), ..PluginConfig::default() };
    // What is measured is how long it takes, however long that is.
    config.limits.callback_cpu = Duration::from_secs(10);
    let mut plugin = Plugin::start(module, Arc::new(config), services)?;
    let authorization = format!("Bearer {token}");
    let headers =
        [(":method", "GET"), (":path", "/"), (":authority", "a"), ("authorization", authorization.as_str())];
    let mut request = || -> Result<Action, Box<dyn Error>> {
        let stream = Rc::new(RefCell::new(FakeStream::with_request_headers(&headers)));
        let id = plugin.create_stream(stream)?;
        let action = plugin.on_request_headers(id, headers.len(), true)?;
        plugin.finish_stream(id)?;
        while plugin.next_effect().is_some() {}
        Ok(action)
    };
    if request()? != Action::Continue {
        return Err("the token is refused".into());
    }
    Ok(fastest(|| {
        let _ = black_box(request());
    }))
}

/// Microseconds of processor time of one run.
fn fastest(mut run: impl FnMut()) -> f64 {
    let time = |runs: u32, run: &mut dyn FnMut()| {
        let began = thread_time();
        (0..runs).for_each(|_| run());
        thread_time() - began
    };
    let once = time(10, &mut run) / 10;
    let runs = u32::try_from(ROUND.as_nanos() / once.as_nanos().max(1)).unwrap_or(u32::MAX).max(1);
    let rounds = (0..ROUNDS).map(|_| time(runs, &mut run) / runs);
    rounds.min().unwrap_or_default().as_secs_f64() * 1e6
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A public key of the set, as the host takes it.
fn key(vectors: &Value, id: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let keys = vectors["jwks"]["keys"].as_array().ok_or("no keys")?;
    let key = keys.iter().find(|key| key["kid"] == id).ok_or("no such key")?;
    if key["kty"] == "RSA" {
        let (e, n) = (decoded(text(&key["e"])?)?, decoded(text(&key["n"])?)?);
        return Ok([&[u8::try_from(e.len())?], &e[..], &n].concat());
    }
    Ok([decoded(text(&key["x"])?)?, decoded(text(&key["y"])?)?].concat())
}

fn text(value: &Value) -> Result<&str, Box<dyn Error>> {
    Ok(value.as_str().ok_or("no text")?)
}

/// Base64url of what is legal.
fn decoded(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let sextet = ALPHABET.iter().position(|known| *known == byte).ok_or("not base64url")?;
        bits = bits << 6 | u32::try_from(sextet)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Ok(bytes)
}
