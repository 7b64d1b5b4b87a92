"""Calls of a grpcio client through the gateway to a grpcio server. See `check`, which runs this.

Messages are plain bytes: nothing here depends on protobuf. Each check is a function whose name says what holds.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time

import grpc

MIB = 1 << 20
LARGE = os.urandom(8 * MIB)
# Longer than the gateway's default timeout for routes, which must not concern calls.
SILENCE_SECONDS = 16
PATIENCE_SECONDS = 20
OPTIONS = [("grpc.max_receive_message_length", 64 * MIB), ("grpc.max_send_message_length", 64 * MIB)]

CONFIG = """
workers: 2
admin: off
accessLog: off
listeners: [{{name: web, bind: "127.0.0.1:{listen}"}}]
routes:
  - {{match: [{{path: {{prefix: /test.Echo}}}}, {{path: {{prefix: /test.Ends}}}}], to: server}}
  - {{match: {{path: {{prefix: /test.Down}}}}, to: down}}
  - {{match: {{path: {{prefix: /test.Members}}}}, respond: {{status: 403, body: members only}}}}
  - {{match: {{path: {{prefix: /test.Hurried}}}}, to: server, timeout: 500ms, rewrite: {{path: {{full: /test.Ends/Sleep}}}}}}
upstreams:
  server: {{endpoints: ["127.0.0.1:{server}"], protocol: http2}}
  down: {{endpoints: ["127.0.0.1:{down}"], protocol: http2}}
"""

ended = queue.Queue()
flooded = []


def stream_of(requests):
    yield from requests


class Service(grpc.GenericRpcHandler):
    """The server: echoes in all four kinds, and ends calls in every way."""

    def service(self, details):
        name = details.method.rsplit("/", 1)[1]
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Large": grpc.unary_unary_rpc_method_handler(lambda request, _: LARGE + request[:0]),
            "Hash": grpc.stream_unary_rpc_method_handler(self.hash),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "PingPong": grpc.stream_stream_rpc_method_handler(self.ping_pong),
            "Late": grpc.stream_stream_rpc_method_handler(self.late),
            "Enough": grpc.stream_unary_rpc_method_handler(self.enough),
            "Sleep": grpc.unary_unary_rpc_method_handler(self.sleep),
            "Forever": grpc.unary_stream_rpc_method_handler(self.forever),
            "Flood": grpc.unary_stream_rpc_method_handler(self.flood),
            "Refuse": grpc.unary_unary_rpc_method_handler(self.refuse),
            "RefuseLater": grpc.unary_stream_rpc_method_handler(self.refuse_later),
        }
        return kinds.get(name)

    def unary(self, request, context):
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-initial", sent.get("x-text", "")), ("x-initial-bin", sent.get("x-raw-bin", b""))])
        context.set_trailing_metadata([("x-trailing", "end"), ("x-trailing-bin", bytes(range(256)))])
        return request

    def hash(self, requests, _):
        digest = hashlib.sha256()
        for request in requests:
            digest.update(request)
        return digest.digest()

    def count(self, request, _):
        for number in range(int(request)):
            yield b"%d" % number

    def ping_pong(self, requests, _):
        for request in requests:
            yield request

    def late(self, requests, _):
        time.sleep(SILENCE_SECONDS)
        yield from requests

    def enough(self, requests, _):
        return next(requests)

    def sleep(self, request, context):
        context.add_callback(lambda: ended.put("sleep"))
        time.sleep(float(request))
        return b"slept"

    def forever(self, _, context):
        context.add_callback(lambda: ended.put("forever"))
        number = 0
        while context.is_active():
            yield b"%d" % number
            number += 1
            time.sleep(0.01)

    def flood(self, _, context):
        context.add_callback(lambda: ended.put("flood"))
        piece = os.urandom(MIB)
        while context.is_active():
            flooded.append(len(piece))
            yield piece

    def refuse(self, _, context):
        context.set_trailing_metadata([("grpc-status-details-bin", b"\x08\x09\x00details\xff"), ("x-why", "stock")])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "sold out: 100% \u00fc\u2603")

    def refuse_later(self, _, context):
        yield b"first"
        context.abort(grpc.StatusCode.DATA_LOSS, "gone")


class Calls:
    """The client."""

    def __init__(self, channel):
        self.channel = channel

    def unary(self, method):
        return self.channel.unary_unary(method)

    def to_stream(self, method):
        return self.channel.unary_stream(method)

    def from_stream(self, method):
        return self.channel.stream_unary(method)

    def both(self, method):
        return self.channel.stream_stream(method)


def error_of(call):
    try:
        result = call()
        list(result) if hasattr(result, "__next__") else result
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call succeeded")


def wait_for(what):
    seen = ended.get(timeout=PATIENCE_SECONDS)
    assert seen == what, seen


def check_unary_with_metadata_both_ways(calls):
    raw = bytes(range(255, -1, -1))
    metadata = [("x-text", "some text"), ("x-raw-bin", raw)]
    answer, call = calls.unary("/test.Echo/Unary").with_call(b"hello", metadata=metadata, timeout=PATIENCE_SECONDS)
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert answer == b"hello"
    assert (initial["x-initial"], initial["x-initial-bin"]) == ("some text", raw), initial
    assert (trailing["x-trailing"], trailing["x-trailing-bin"]) == ("end", bytes(range(256))), trailing


def check_empty_messages(calls):
    assert calls.unary("/test.Echo/Unary")(b"", timeout=PATIENCE_SECONDS) == b""
    assert list(calls.to_stream("/test.Echo/Count")(b"0", timeout=PATIENCE_SECONDS)) == []


def check_server_streaming(calls):
    numbers = list(calls.to_stream("/test.Echo/Count")(b"5000", timeout=PATIENCE_SECONDS))
    assert numbers == [b"%d" % number for number in range(5000)]


def check_client_streaming(calls):
    pieces = [os.urandom(4099) for _ in range(500)]
    digest = calls.from_stream("/test.Echo/Hash")(stream_of(pieces), timeout=PATIENCE_SECONDS)
    assert digest == hashlib.sha256(b"".join(pieces)).digest()


def check_bidirectional_streaming_where_each_side_waits(calls):
    pending = queue.Queue()
    answers = calls.both("/test.Echo/PingPong")(iter(pending.get, None), timeout=PATIENCE_SECONDS)
    for number in range(1000):
        pending.put(b"%d" % number)
        assert next(answers) == b"%d" % number
    pending.put(None)
    assert list(answers) == []


def check_many_streams_at_once(calls):
    pending = [queue.Queue() for _ in range(90)]
    streams = [calls.both("/test.Echo/PingPong")(iter(one.get, None), timeout=60) for one in pending]
    for turn in range(5):
        for one in pending:
            one.put(b"%d" % turn)
        assert all(next(stream) == b"%d" % turn for stream in streams)
    for one in pending:
        one.put(None)
    assert all(list(stream) == [] for stream in streams)


def check_large_messages(calls):
    assert calls.unary("/test.Echo/Unary")(LARGE, timeout=PATIENCE_SECONDS) == LARGE
    assert calls.unary("/test.Echo/Large")(b"", timeout=PATIENCE_SECONDS) == LARGE
    assert list(calls.both("/test.Echo/PingPong")(stream_of([LARGE] * 4), timeout=60)) == [LARGE] * 4


def check_compressed_messages(calls):
    text = b"a" * MIB
    answer = calls.unary("/test.Echo/Unary")(text, compression=grpc.Compression.Gzip, timeout=PATIENCE_SECONDS)
    assert answer == text


def check_deadline_ends_the_call_on_both_sides(calls):
    begun = time.monotonic()
    error = error_of(lambda: calls.unary("/test.Ends/Sleep")(b"2", timeout=0.4))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.monotonic() - begun < 1.5
    wait_for("sleep")
    error = error_of(lambda: calls.to_stream("/test.Ends/Forever")(b"", timeout=0.4))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    wait_for("forever")


def check_timeout_of_a_route_is_a_deadline(calls):
    error = error_of(lambda: calls.unary("/test.Hurried/Sleep")(b"1.5", timeout=PATIENCE_SECONDS))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert error.details() == "the upstream took too long", error
    wait_for("sleep")


def check_cancel_reaches_the_server(calls):
    stream = calls.to_stream("/test.Ends/Forever")(b"", timeout=PATIENCE_SECONDS)
    assert next(stream) == b"0"
    stream.cancel()
    wait_for("forever")
    future = calls.unary("/test.Ends/Sleep").future(b"2", timeout=PATIENCE_SECONDS)
    time.sleep(0.3)
    future.cancel()
    wait_for("sleep")


def check_slow_reader_holds_up_the_server(calls):
    stream = calls.to_stream("/test.Ends/Flood")(b"")
    assert len(next(stream)) == MIB
    time.sleep(2)
    sent = len(flooded)
    time.sleep(1)
    assert len(flooded) == sent and sent < 32, (sent, len(flooded))
    stream.cancel()
    wait_for("flood")


def check_server_may_answer_before_the_client_is_done(calls):
    hold = queue.Queue()
    hold.put(b"enough")
    assert calls.from_stream("/test.Ends/Enough")(iter(hold.get, None), timeout=PATIENCE_SECONDS) == b"enough"
    hold.put(None)


def check_error_details(calls):
    error = error_of(lambda: calls.unary("/test.Ends/Refuse")(b"", timeout=PATIENCE_SECONDS))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert error.details() == "sold out: 100% \u00fc\u2603", error
    trailing = dict(error.trailing_metadata())
    assert trailing["grpc-status-details-bin"] == b"\x08\x09\x00details\xff", trailing
    assert trailing["x-why"] == "stock", trailing
    stream = calls.to_stream("/test.Ends/RefuseLater")(b"", timeout=PATIENCE_SECONDS)
    assert next(stream) == b"first"
    error = error_of(lambda: stream)
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "gone"), error


def check_what_the_gateway_says(calls):
    cases = [
        ("/test.Nothing/Unary", grpc.StatusCode.UNIMPLEMENTED, "no route for this request"),
        ("/test.Down/Unary", grpc.StatusCode.UNAVAILABLE, "the upstream refused the connection"),
        ("/test.Members/Unary", grpc.StatusCode.PERMISSION_DENIED, "members only"),
        ("/test.Echo/Unknown", grpc.StatusCode.UNIMPLEMENTED, "Method not found!"),
    ]
    for method, code, details in cases:
        error = error_of(lambda: calls.unary(method)(b"", timeout=PATIENCE_SECONDS))
        assert (error.code(), error.details()) == (code, details), (method, error)


def check_silence_ends_no_stream(calls):
    def idle():
        pending = queue.Queue()
        answers = calls.both("/test.Echo/PingPong")(iter(pending.get, None))
        pending.put(b"before")
        assert next(answers) == b"before"
        time.sleep(SILENCE_SECONDS)
        pending.put(b"after")
        assert next(answers) == b"after"
        pending.put(None)
        assert list(answers) == []

    def late():
        pending = queue.Queue()
        answers = calls.both("/test.Echo/Late")(iter(pending.get, None))
        pending.put(b"waits")
        assert next(answers) == b"waits"
        pending.put(None)
        assert list(answers) == []

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(idle), pool.submit(late)]:
            done.result(timeout=SILENCE_SECONDS + PATIENCE_SECONDS)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(gateway):
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=256)
    server = grpc.server(pool, handlers=[Service()], options=OPTIONS)
    ports = {"server": server.add_insecure_port("127.0.0.1:0"), "listen": free_port(), "down": free_port()}
    server.start()
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory, "gateway.yaml")
        config.write_text(CONFIG.format(**ports), encoding="utf-8")
        process = subprocess.Popen([gateway, "run", "-c", str(config)])
        try:
            failed = run_checks(ports["listen"])
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_SECONDS)
            server.stop(None)
    return failed


def run_checks(port):
    failed = []
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        grpc.channel_ready_future(channel).result(timeout=PATIENCE_SECONDS)
        checks = [check for name, check in globals().items() if name.startswith("check_")]
        for check in checks:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            begun = time.monotonic()
            try:
                check(Calls(channel))
            except Exception as error:  # Every failure is reported, and the other checks still run.
                failed.append(name)
                print(f"FAILED  {name}: {type(error).__name__}: {error}")
            else:
                print(f"ok      {name} ({time.monotonic() - begun:.1f} s)")
    print(f"grpcio {grpc.__version__}: {len(checks) - len(failed)} of {len(checks)} checks hold")
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1]) else 0)
