"""What TLS needs: one certificate for all candidates, made for this run, and the same offer from every client."""

import os
import subprocess
from dataclasses import dataclass

from processes import BenchError

# All that clients offer, so that every candidate does the same work.
CIPHER = "TLS_AES_128_GCM_SHA256"
GROUP = "X25519"

_CLIENT = f"""openssl_conf = bench
[bench]
ssl_conf = ssl
[ssl]
system_default = offer
[offer]
MinProtocol = TLSv1.3
Ciphersuites = {CIPHER}
Groups = {GROUP}
"""


@dataclass(frozen=True)
class Certificate:
    """Paths of PEM files; `both` holds the certificate and the key. `client_config` is for clients that use OpenSSL."""

    cert: str
    key: str
    both: str
    client_config: str


def make(directory):
    """A self-signed certificate (ECDSA P-256) for 127.0.0.1 and localhost. The key is gone with the directory."""
    cert, key, both, client = (os.path.join(directory, name) for name in ("cert.pem", "key.pem", "both.pem", "client.cnf"))
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert]
    made = subprocess.run(argv, capture_output=True, text=True)
    if made.returncode != 0:
        raise BenchError(f"failed: {' '.join(argv)}\n{made.stderr}")
    with open(both, "w") as file:
        for path in (cert, key):
            with open(path) as part:
                file.write(part.read())
    with open(client, "w") as file:
        file.write(_CLIENT)
    return Certificate(cert, key, both, client)
