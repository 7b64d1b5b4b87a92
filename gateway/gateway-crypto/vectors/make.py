#!/usr/bin/env python3
"""Makes vectors.json: signatures, tags and hashes, good and bad, with what must be said of each.

Those of RFCs are as they stand there; the others are made by OpenSSL (the `cryptography` package) or by the arithmetic
below, with keys that are made anew each time and thrown away. Good ones are checked with OpenSSL before they are written.
"""
import base64
import hashlib
import hmac as python_hmac
import json
import os
import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

HASHES = {256: hashes.SHA256(), 384: hashes.SHA384(), 512: hashes.SHA512()}
NUMBERS = {"RS256": 1, "RS384": 2, "RS512": 3, "PS256": 4, "PS384": 5, "PS512": 6, "ES256": 7, "ES384": 8, "EdDSA": 9}
HOLDS, FAILS, BAD_KEY = "holds", "does not hold", "bad key"
TEXT = b"what was signed"
SIGNATURES = []


def add(name, algorithm, key, signature, text, verdict):
    SIGNATURES.append(
        {"name": f"{algorithm}: {name}", "algorithm": NUMBERS[algorithm], "key": key.hex(), "signature": signature.hex(),
         "text": text.hex(), "verdict": verdict})


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value, size=None):
    return value.to_bytes(size or (value.bit_length() + 7) // 8, "big")


def rsa_key(n, e=65537):
    """RFC 3110, section 2."""
    return bytes([len(number(e))]) + number(e) + number(n)


def flipped(octets, place):
    return octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1:]


def rsa_vectors():
    token, n = RFC_7515_A2
    text, signature = token.rsplit(".", 1)
    add("RFC 7515, A.2", "RS256", rsa_key(int.from_bytes(unb64(n), "big")), unb64(signature), text.encode(), HOLDS)
    keys = {bits: rsa.generate_private_key(65537, bits) for bits in (2048, 3072, 4096)}
    for size, private in keys.items():
        n = private.public_key().public_numbers().n
        for bits, hash_ in HASHES.items():
            signature = private.sign(TEXT, padding.PKCS1v15(), hash_)
            add(f"{size} bits", f"RS{bits}", rsa_key(n), signature, TEXT, HOLDS)
            add(f"{size} bits, another text", f"RS{bits}", rsa_key(n), signature, TEXT + b".", FAILS)
            pss = private.sign(TEXT, padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)
            add(f"{size} bits", f"PS{bits}", rsa_key(n), pss, TEXT, HOLDS)
            add(f"{size} bits, one bit changed", f"PS{bits}", rsa_key(n), flipped(pss, 99), TEXT, FAILS)
    small = rsa.generate_private_key(3, 2048)
    three = rsa_key(small.public_key().public_numbers().n, 3)
    add("exponent 3", "RS256", three, small.sign(TEXT, padding.PKCS1v15(), HASHES[256]), TEXT, HOLDS)
    rsa_forms(keys[2048])
    rsa_keys(keys[2048])


def rsa_forms(private):
    """Signatures with another form than the one that there is."""
    numbers = private.private_numbers()
    n, d = numbers.public_numbers.n, numbers.d
    key = rsa_key(n)
    sha256 = HASHES[256]
    good = private.sign(TEXT, padding.PKCS1v15(), sha256)
    for algorithm in ("RS256", "PS256"):
        while True:
            pad = padding.PKCS1v15() if algorithm == "RS256" else padding.PSS(padding.MGF1(sha256), 32)
            text = secrets.token_bytes(16)
            signature = private.sign(text, pad, sha256)
            value = int.from_bytes(signature, "big")
            if value + n < 1 << 2048:
                break
        add("found again", algorithm, key, signature, text, HOLDS)
        add("plus the modulus", algorithm, key, number(value + n, 256), text, FAILS)
        add("nothing", algorithm, key, b"", text, FAILS)
        add("one byte short", algorithm, key, signature[:-1], text, FAILS)
        add("a zero before it", algorithm, key, b"\0" + signature, text, FAILS)
        add("a zero after it", algorithm, key, signature + b"\0", text, FAILS)
        add("zeros", algorithm, key, bytes(256), text, FAILS)
        add("one", algorithm, key, number(1, 256), text, FAILS)
        add("the modulus", algorithm, key, number(n, 256), text, FAILS)
        add("the modulus less one", algorithm, key, number(n - 1, 256), text, FAILS)
        add("512 ones", algorithm, key, b"\xff" * 512, text, FAILS)
    add("as RS384", "RS384", key, good, TEXT, FAILS)
    add("as PS256", "PS256", key, good, TEXT, FAILS)
    digest = hashlib.sha256(TEXT).digest()
    prefix = bytes.fromhex("3031300d060960864801650304020105000420")

    def raw(info, pad_to=256):
        block = b"\0\1" + b"\xff" * (pad_to - 3 - len(info)) + b"\0" + info
        block += secrets.token_bytes(256 - len(block))
        return number(pow(int.from_bytes(block, "big"), d, n), 256)

    add("made by hand", "RS256", key, raw(prefix + digest), TEXT, HOLDS)
    add("DigestInfo without its NULL", "RS256", key, raw(bytes.fromhex("302f300b0609608648016503040201") + b"\4\x20" + digest), TEXT, FAILS)
    add("DigestInfo with a long length", "RS256", key, raw(bytes.fromhex("308131300d060960864801650304020105000420") + digest), TEXT, FAILS)
    add("garbage after the hash", "RS256", key, raw(prefix + digest, 80), TEXT, FAILS)
    add("the hash of SHA-512 cut to the length", "RS256", key, raw(prefix + hashlib.sha512(TEXT).digest()[:32]), TEXT, FAILS)
    for name, salt in (("no salt", 0), ("a shorter salt", 20), ("the longest salt", 222)):
        signature = private.sign(TEXT, padding.PSS(padding.MGF1(sha256), salt), sha256)
        add(name, "PS256", key, signature, TEXT, FAILS)
    other_mask = private.sign(TEXT, padding.PSS(padding.MGF1(HASHES[512]), 32), sha256)
    add("MGF1 of another hash", "PS256", key, other_mask, TEXT, FAILS)


def rsa_keys(private):
    n = private.public_key().public_numbers().n
    signature = private.sign(TEXT, padding.PKCS1v15(), HASHES[256])
    short = rsa.generate_private_key(65537, 1024)
    cases = [
        ("no key", b""),
        ("1024 bits", rsa_key(short.public_key().public_numbers().n)),
        ("2047 bits", rsa_key(n >> 1 | 1)),
        ("2049 bits", rsa_key(n << 1 | 1)),
        ("4104 bits", rsa_key(1 << 4103 | n)),
        ("an even modulus", rsa_key(n - 1)),
        ("a zero before the modulus", bytes([3, 1, 0, 1, 0]) + number(n)),
        ("no exponent", b"\0" + number(n)),
        ("exponent 1", b"\1\1" + number(n)),
        ("exponent 2", b"\1\2" + number(n)),
        ("an exponent of five bytes", b"\5\1\0\0\0\1" + number(n)),
        ("a zero before the exponent", b"\4\0\1\0\1" + number(n)),
        ("an exponent that is longer than the key", b"\xff\1\0\1"),
        ("no modulus", b"\3\1\0\1"),
    ]
    for name, key in cases:
        add(name, "RS256", key, signature, TEXT, BAD_KEY)
        add(name, "PS512", key, b"", TEXT, BAD_KEY)


def ecdsa_vectors():
    token, x, y = RFC_7515_A3
    text, signature = token.rsplit(".", 1)
    add("RFC 7515, A.3", "ES256", unb64(x) + unb64(y), unb64(signature), text.encode(), HOLDS)
    orders = {256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
              384: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973}
    fields = {256: 2**256 - 2**224 + 2**192 + 2**96 - 1, 384: 2**384 - 2**128 - 2**96 + 2**32 - 1}
    for bits, curve in ((256, ec.SECP256R1()), (384, ec.SECP384R1())):
        algorithm, size, order, field = f"ES{bits}", bits // 8, orders[bits], fields[bits]
        private = ec.generate_private_key(curve)
        point = private.public_key().public_numbers()
        key = number(point.x, size) + number(point.y, size)
        der = private.sign(TEXT, ec.ECDSA(HASHES[bits]))
        r, s = utils.decode_dss_signature(der)

        def pair(r, s):
            return number(r, size) + number(s, size)

        good = pair(r, s)
        add("good", algorithm, key, good, TEXT, HOLDS)
        add("its mirror, which ECDSA allows", algorithm, key, pair(r, order - s), TEXT, HOLDS)
        add("another text", algorithm, key, good, TEXT + b".", FAILS)
        add("one bit changed", algorithm, key, flipped(good, size), TEXT, FAILS)
        add("DER", algorithm, key, der, TEXT, FAILS)
        add("nothing", algorithm, key, b"", TEXT, FAILS)
        add("one byte short", algorithm, key, good[:-1], TEXT, FAILS)
        add("one byte long", algorithm, key, good + b"\0", TEXT, FAILS)
        add("zeros before both", algorithm, key, b"\0" + good[:size] + b"\0" + good[size:], TEXT, FAILS)
        for name, r_, s_ in (("r = 0", 0, s), ("s = 0", r, 0), ("both 0", 0, 0), ("r = n", order, s), ("s = n", r, order),
                             ("1 and 1", 1, 1), ("r = n + 1", order + 1, s)):
            add(name, algorithm, key, pair(r_, s_), TEXT, FAILS)
        add("all ones", algorithm, key, b"\xff" * 2 * size, TEXT, FAILS)
        other = "ES384" if bits == 256 else "ES256"
        add("a key of the other curve", other, key, good, TEXT, BAD_KEY)
        for name, bad in (("no point", flipped(key, size)), ("(0, 0)", bytes(2 * size)), ("no key", b""),
                          ("one byte short", key[:-1]), ("SEC 1", b"\4" + key), ("x = p", number(field, size) + key[size:]),
                          ("all ones", b"\xff" * 2 * size)):
            add(f"key: {name}", algorithm, bad, good, TEXT, BAD_KEY)


P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def edwards_add(one, other):
    (x1, y1), (x2, y2) = one, other
    t = D * x1 * x2 * y1 * y2 % P
    return ((x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P)


def decompressed(y):
    """A point with that y, or None."""
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return None if (x * x - x2) % P else (x, y)


def small_order():
    """Every encoding of the eight points, canonical or not."""
    y8 = next(y for y in OF_ORDER_8)
    ys = {0, 1, P - 1, y8, P - y8}
    for y in ys:
        point = decompressed(y)
        for _ in range(3):
            point = edwards_add(point, point)
        assert point == (0, 1), hex(y)
    ys |= {P, P + 1}
    return [(y | sign << 255).to_bytes(32, "little") for y in sorted(ys) for sign in (0, 1)]


OF_ORDER_8 = [int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")]


def ed25519_vectors():
    token, x = RFC_8037_A4
    text, signature = token.rsplit(".", 1)
    add("RFC 8037, A.4", "EdDSA", unb64(x), unb64(signature), text.encode(), HOLDS)
    for name, seed, key, text, signature in RFC_8032:
        private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
        assert private.sign(bytes.fromhex(text)).hex() == signature, name
        add(f"RFC 8032, 7.1, {name}", "EdDSA", bytes.fromhex(key), bytes.fromhex(signature), bytes.fromhex(text), HOLDS)
    seed = secrets.token_bytes(32)
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    key = private.public_key().public_bytes_raw()
    good = private.sign(TEXT)
    s = int.from_bytes(good[32:], "little")
    add("good", "EdDSA", key, good, TEXT, HOLDS)
    add("another text", "EdDSA", key, good, TEXT + b".", FAILS)
    add("one bit changed", "EdDSA", key, flipped(good, 0), TEXT, FAILS)
    add("S + L, which is the same number", "EdDSA", key, good[:32] + (s + L).to_bytes(32, "little"), TEXT, FAILS)
    add("S = L", "EdDSA", key, good[:32] + L.to_bytes(32, "little"), TEXT, FAILS)
    add("all ones", "EdDSA", key, b"\xff" * 64, TEXT, FAILS)
    add("zeros", "EdDSA", key, bytes(64), TEXT, FAILS)
    for name, bad in (("nothing", b""), ("one byte short", good[:-1]), ("one byte long", good + b"\0")):
        add(name, "EdDSA", key, bad, TEXT, FAILS)
    scalar = bytearray(hashlib.sha512(seed).digest()[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    a = int.from_bytes(scalar, "little")
    for r in small_order():
        k = int.from_bytes(hashlib.sha512(r + key + TEXT).digest(), "little")
        made = r + (k * a % L).to_bytes(32, "little")
        add(f"R of small order: {r.hex()}", "EdDSA", key, made, TEXT, FAILS)
        add(f"key of small order: {r.hex()}", "EdDSA", r, r + bytes(32), TEXT, BAD_KEY)
    # A y that is no y of a point: found, not chosen.
    off = next(y for y in range(2, 99) if decompressed(y) is None)
    add("a key that is no point", "EdDSA", off.to_bytes(32, "little"), good, TEXT, FAILS)
    other_form = next(y for y in range(2, 19) if decompressed(y))
    add("a key that is not encoded as it must be", "EdDSA", (P + other_form).to_bytes(32, "little"), good, TEXT, BAD_KEY)
    for name, bad in (("no key", b""), ("one byte short", key[:-1]), ("one byte long", key + b"\0")):
        add(f"key: {name}", "EdDSA", bad, good, TEXT, BAD_KEY)


def macs():
    token, key = RFC_7515_A1
    text, tag = token.rsplit(".", 1)
    cases = [{"name": "RFC 7515, A.1", "hash": 1, "key": unb64(key).hex(), "text": text.encode().hex(), "tag": unb64(tag).hex()}]
    # RFC 4231, sections 4.2, 4.3, 4.4 and 4.7: inputs of the RFC, tags of another implementation.
    inputs = [("4.2", b"\x0b" * 20, b"Hi There"), ("4.3", b"Jefe", b"what do ya want for nothing?"), ("4.4", b"\xaa" * 20, b"\xdd" * 50),
              ("4.7", b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First"), ("no key", b"", b"")]
    for name, key, text in inputs:
        for place, hash_ in enumerate(("sha256", "sha384", "sha512")):
            tag = python_hmac.new(key, text, hash_).hexdigest()
            cases.append({"name": f"RFC 4231, {name}, {hash_}", "hash": place + 1, "key": key.hex(), "text": text.hex(), "tag": tag})
    assert any(case["tag"].startswith("b0344c61d8db38535ca8afceaf0bf12b") for case in cases)
    return cases


def digests():
    cases = []
    for text in (b"", b"abc", b"a" * 111, b"a" * 112, b"a" * 1000):
        for place, hash_ in enumerate(("sha256", "sha384", "sha512")):
            cases.append({"hash": place + 1, "text": text.hex(), "digest": hashlib.new(hash_, text).hexdigest()})
    assert any(case["digest"].startswith("ba7816bf8f01cfea414140de5dae2223b00361a3") for case in cases)
    return cases


PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
RFC_7515_A1 = (
    f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{PAYLOAD}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
RFC_7515_A2 = (
    f"eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArL"
    "IARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re"
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ")
RFC_7515_A3 = (
    f"eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")
RFC_8037_A4 = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
RFC_8032 = [
    ("test 1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("test 2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("test 3", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]


def check_good():
    """What is said to hold, holds by OpenSSL."""
    for case in SIGNATURES:
        if case["verdict"] != HOLDS:
            continue
        key, signature, text = (bytes.fromhex(case[part]) for part in ("key", "signature", "text"))
        kind = next(name for name, place in NUMBERS.items() if place == case["algorithm"])
        if kind[:2] in ("RS", "PS"):
            e, n = (int.from_bytes(part, "big") for part in (key[1:1 + key[0]], key[1 + key[0]:]))
            hash_ = HASHES[int(kind[2:])]
            pad = padding.PKCS1v15() if kind[0] == "R" else padding.PSS(padding.MGF1(hash_), hash_.digest_size)
            rsa.RSAPublicNumbers(e, n).public_key().verify(signature, text, pad, hash_)
        elif kind[:2] == "ES":
            half = len(key) // 2
            curve = ec.SECP256R1() if half == 32 else ec.SECP384R1()
            x, y, r, s = (int.from_bytes(part, "big") for part in (key[:half], key[half:], signature[:half], signature[half:]))
            public = ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
            public.verify(utils.encode_dss_signature(r, s), text, ec.ECDSA(HASHES[int(kind[2:])]))
        else:
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, text)


def main():
    rsa_vectors()
    ecdsa_vectors()
    ed25519_vectors()
    check_good()
    document = {"signatures": SIGNATURES, "macs": macs(), "digests": digests()}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json")
    with open(path, "w") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
