//! The table of tokens of `jwt-auth` on its compiled module: with the host's cryptography, and without it, as in Envoy.
#![allow(clippy::duplicate_mod, reason = "one table, on two hosts")]

use std::cell::Cell;
use std::io::{BufReader, BufWriter, pipe};
use std::rc::Rc;

use gateway_crypto::AwsLc;
use gateway_sdk::testing::TestHost;
use gateway_sdk_testing::ModuleHost;
use gateway_tests::wasm;
use jwt_auth::JwtAuth;
use proxy_wasm_host::crypto::{BadKey, Cryptography, Hash, SignatureAlgorithm};

/// Runs the module on a thread of its own until the test is over.
fn over(
    serve: impl FnOnce(BufReader<std::io::PipeReader>, BufWriter<std::io::PipeWriter>) + Send + 'static,
) -> TestHost {
    let (test_end, module_end) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    let (requests, answers) = (BufReader::new(test_end.0), BufWriter::new(module_end.1));
    std::thread::spawn(move || serve(requests, answers));
    TestHost::new().over(BufWriter::new(test_end.1), BufReader::new(module_end.0))
}

fn compiled() -> ModuleHost {
    ModuleHost::new(&wasm::shipped("jwt-auth")).expect("a module that the gateway loads")
}

mod with_cryptography;
mod without_cryptography;

/// Counts what it is asked, and says that no signature holds.
#[derive(Debug, Default)]
struct Denier {
    signatures: Cell<u32>,
    macs: Cell<u32>,
}

impl Cryptography for Denier {
    fn hash(&self, hash: Hash, text: &[u8], out: &mut Vec<u8>) {
        AwsLc.hash(hash, text, out);
    }

    fn hmac(&self, hash: Hash, key: &[u8], text: &[u8], out: &mut Vec<u8>) {
        AwsLc.hmac(hash, key, text, out);
    }

    fn verify_hmac(&self, _: Hash, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        self.macs.set(self.macs.get() + 1);
        false
    }

    fn verify_signature(&self, _: SignatureAlgorithm, _: &[u8], _: &[u8], _: &[u8]) -> Result<bool, BadKey> {
        self.signatures.set(self.signatures.get() + 1);
        Ok(false)
    }
}

/// A host that lies is believed: the module itself computes nothing where there is one.
#[test]
fn the_module_leaves_signatures_to_the_host() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../filters/jwt-auth/vectors/vectors.json"))
            .expect("JSON");
    let config = serde_json::json!({"issuers": [{"issuer": "https://issuer.test", "jwks": {"inline": vectors["jwks"]}}]});
    let (sender, counted) = std::sync::mpsc::channel();
    let host = over(move |requests, answers| {
        let denier = Rc::new(Denier::default());
        compiled().serve_with(denier.clone(), requests, answers).expect("served until the end");
        sender.send((denier.signatures.get(), denier.macs.get())).expect("somebody who counts");
    });
    let mut tester = host.start::<JwtAuth>(&config.to_string()).expect("a legal configuration");
    let public_keys =
        vectors["jwks"]["keys"].as_array().expect("a list").iter().filter(|key| key["kty"] != "oct");
    let public_keys = u32::try_from(public_keys.count()).expect("a few");
    for name in ["RS256", "PS512", "ES256", "ES384", "EdDSA", "HS256"] {
        let token = vectors["tokens"][name].as_str().expect("a token");
        let request =
            gateway_sdk::testing::TestRequest::get("/").header("authorization", format!("Bearer {token}"));
        assert_eq!(tester.request(request).refusal(), (401, "jwt_bad_signature"), "{name}");
    }
    drop(tester);
    assert_eq!(
        counted.recv().expect("the counts"),
        (public_keys + 5, 1),
        "each key once, and each token once"
    );
}
