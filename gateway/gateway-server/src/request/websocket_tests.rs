use super::*;

#[test]
fn the_proof_is_that_of_the_example_in_the_rfc() {
    // RFC 6455, section 1.3.
    assert_eq!(proof("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn base64_gives_the_test_vectors_of_the_rfc() {
    // RFC 4648, section 10.
    let vectors = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];
    for (plain, encoded) in vectors {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}

#[test]
fn every_challenge_is_new_and_has_its_own_proof() {
    let ((key, accept), (other, _)) = (challenge(), challenge());
    assert_ne!(key, other);
    assert_eq!(key.len(), 24, "16 bytes");
    assert_eq!(accept.to_str().unwrap(), proof(key.to_str().unwrap()));
}
