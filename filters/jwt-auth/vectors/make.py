#!/usr/bin/env python3
"""Makes vectors.json: a key and a token for each algorithm, signed by an implementation that is not the filter's.

Needs the `cryptography` package. The keys are made anew each time and thrown away.
"""
import base64
import json
import os

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
# The tests' clock stands at 2026-01-01T00:00:00Z.
NOW = 1_767_225_600
# 2100: hosts that run the same tokens have their own clocks.
FAR = 4_102_444_800


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def token(algorithm, kid, sign, **claims):
    header = {"alg": algorithm, "typ": "JWT", "kid": kid}
    claims = {"iss": "https://issuer.test", "sub": "ann", "aud": ["shop"], "exp": FAR, "nbf": NOW, **claims}
    text = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{b64(sign(text.encode()))}"


def rsa_jwk(key, kid):
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "kid": kid, "use": "sig", "n": number(numbers.n), "e": number(numbers.e)}


def main():
    keys, tokens = [], {}

    def add(jwk, algorithm, sign, name=None):
        if not any(known["kid"] == jwk["kid"] for known in keys):
            keys.append(jwk)
        tokens[name or algorithm] = token(algorithm, jwk["kid"], sign)

    rsa_2048 = rsa.generate_private_key(65537, 2048)
    rsa_4096 = rsa.generate_private_key(65537, 4096)
    for bits, hash_ in HASHES.items():
        add(rsa_jwk(rsa_2048, "rsa"), f"RS{bits}", lambda text: rsa_2048.sign(text, padding.PKCS1v15(), hash_))
        pss = padding.PSS(padding.MGF1(hash_), hash_.digest_size)
        add(rsa_jwk(rsa_2048, "rsa"), f"PS{bits}", lambda text: rsa_2048.sign(text, pss, hash_))
    for name, algorithm in (("RS256 with 4096 bits", "RS256"), ("RS512 with 4096 bits", "RS512")):
        hash_ = HASHES[algorithm[2:]]
        add(rsa_jwk(rsa_4096, "rsa-4096"), algorithm, lambda text: rsa_4096.sign(text, padding.PKCS1v15(), hash_), name)
    for curve, name, algorithm, size in ((ec.SECP256R1(), "P-256", "ES256", 32), (ec.SECP384R1(), "P-384", "ES384", 48)):
        key = ec.generate_private_key(curve)
        point = key.public_key().public_numbers()
        jwk = {"kty": "EC", "kid": name, "crv": name, "x": number(point.x, size), "y": number(point.y, size)}

        def sign(text):
            r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(HASHES[algorithm[2:]])))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")

        add(jwk, algorithm, sign)
    ed = ed25519.Ed25519PrivateKey.generate()
    add({"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(ed.public_key().public_bytes_raw())}, "EdDSA", ed.sign)
    secret = os.urandom(64)
    for bits, hash_ in HASHES.items():

        def sign(text):
            mac = hmac.HMAC(secret, hash_)
            mac.update(text)
            return mac.finalize()

        add({"kty": "oct", "kid": "secret", "k": b64(secret)}, f"HS{bits}", sign)
    # The attack of the confused algorithm: the public key's text used as a secret.
    public = json.dumps(keys[0]).encode()
    mac = hmac.HMAC(public, HASHES["256"])
    confused_head = token("HS256", "rsa", lambda text: b"")
    mac.update(confused_head.rstrip(".").encode())
    tokens["confused"] = confused_head + b64(mac.finalize())
    with open(os.path.join(os.path.dirname(__file__), "vectors.json"), "w") as file:
        json.dump({"jwks": {"keys": keys}, "secret": b64(secret), "tokens": tokens}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
