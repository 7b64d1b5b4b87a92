"""Whether a candidate does what the scenario is about: asked before it is measured, and again afterwards."""

import http.client
import socket
import ssl
import subprocess

import h2load
import load

TIMEOUT_SECONDS = 2
READ_BYTES = 1 << 16
# Connections in a round beyond which they were not kept: a share of the requests, and so many in any case.
UNKEPT_SHARE = 0.1
UNKEPT_ALLOWANCE = 1000


def wrong(scenario, certificate, port, filtered=False):
    """None if all is as it should be; otherwise what is not. A connection of TLS must be by our certificate."""
    body = scenario.body.encode()
    context = ssl.create_default_context(cafile=certificate.cert) if scenario.tls else None
    return (
        wrong_answer(port, body, filtered, context)
        or (scenario.new_connections and stays_open(port, body, context))
        or (scenario.resumed and not_resumed(port, context))
        or (scenario.tls and wrong_handshake(scenario, certificate, port))
        or (scenario.http2 and wrong_http2_answer(scenario, certificate, port))
        or None
    )


def wrong_answer(port, body, filtered=False, context=None):
    """None if GET / answers 200 with `body`, with `x-filter: on` exactly when filtered."""
    if context:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        received = response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"GET / failed: {error!r}"
    finally:
        connection.close()
    if response.status != 200:
        return f"status {response.status} instead of 200: {received[:200]!r}"
    if received != body:
        return f"a body of {len(received)} bytes, {received[:200]!r}, instead of {len(body)} bytes, {body[:200]!r}"
    expected = "on" if filtered else None
    if response.getheader("x-filter") != expected:
        return f"response header x-filter is {response.getheader('x-filter')!r} instead of {expected!r}"
    return None


def stays_open(port, body, context=None):
    """None if the connection ends after a request that asks for that, and after the whole body."""
    try:
        with _connect(port, context) as connection:
            received = _last_answer(connection)
    except TimeoutError:
        return "the connection stays open after `Connection: close`"
    except OSError as error:
        return f"a request with `Connection: close` failed: {error!r}"
    return None if received.endswith(body) else f"the connection ended with {received[-200:]!r}"


def not_resumed(port, context):
    """None if a second connection resumes the session of a first one."""
    try:
        with _connect(port, context) as first:
            _last_answer(first)  # The ticket has come before its end.
            session = first.session
        with _connect(port, context, session) as second:
            _last_answer(second)
            return None if second.session_reused else "a second connection did not resume the session of the first"
    except OSError as error:
        return f"resuming a session failed: {error!r}"


def _connect(port, context=None, session=None):
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
    if context is None:
        return connection
    try:
        return context.wrap_socket(connection, server_hostname="127.0.0.1", session=session)
    except OSError:
        connection.close()
        raise


def _last_answer(connection):
    """All that comes until the connection ends, for a request that asks for that."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    received = b""
    while data := connection.recv(READ_BYTES):
        received += data
    return received


def wrong_handshake(scenario, certificate, port):
    """None if protocol, cipher and key exchange are those of the scenario."""
    try:
        probe = subprocess.run(h2load.probe_argv(scenario, load.address(scenario, port)), capture_output=True, text=True,
                               timeout=TIMEOUT_SECONDS, env=load.environment(certificate))
    except subprocess.TimeoutExpired:
        return f"h2load has no answer after {TIMEOUT_SECONDS} s"
    said = h2load.summary(probe.stdout)
    if said is None or said.failed or said.requests != 1:
        return f"h2load failed: {probe.stdout}{probe.stderr}"
    return h2load.wrong_protocol(scenario, said)


def wrong_http2_answer(scenario, certificate, port):
    """None if the body over HTTP/2 is the right one: nghttp speaks nothing else."""
    try:
        answer = subprocess.run(["nghttp", load.address(scenario, port)], capture_output=True, timeout=TIMEOUT_SECONDS,
                                env=load.environment(certificate))
    except subprocess.TimeoutExpired:
        return f"nghttp has no answer after {TIMEOUT_SECONDS} s"
    if answer.stdout != scenario.body.encode():
        return f"over HTTP/2: {answer.stdout[:200]!r} {answer.stderr[:200]!r}"
    return None


def not_new(scenario, opened, requests):
    """None, or that requests shared connections although each should have had its own. `opened` is the kernel's count."""
    if scenario.new_connections and opened < requests:
        return f"{requests:,} requests over {opened:,} connections: they were not new"
    return None


def not_kept(scenario, opened, requests):
    """None, or that connections (the client's, or those to the origin) were opened for requests that could have shared them."""
    expected = requests if scenario.new_connections else 0
    if opened - expected > UNKEPT_SHARE * requests + UNKEPT_ALLOWANCE:
        return f"opened {opened - expected:,} connections more than {requests:,} requests needed"
    return None
