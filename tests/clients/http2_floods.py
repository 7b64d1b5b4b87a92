"""Clients of HTTP/2 that flood, one kind at a time and again when they are cut, and a bystander on the same worker that takes
the time of each of its requests. The gateway has a processor of its own. Called by `http2-floods`."""

import http.client
import multiprocessing
import os
import pathlib
import resource
import socket
import socketserver
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

SECONDS = 2
# What the bystander sends in a second.
PACE = 500
# What a flood does before anything is measured.
WARM_UP = 0.5
# Seconds from one connection that floods to the next.
AGAIN = 0.05
LARGE = b"x" * (1 << 20)
STREAMS = 100
IDLE = 6000
# What a flood, again and again, may add: one connection with all of its streams.
FLOOD_BYTES = 8 << 20
# What an idle connection may hold.
IDLE_BYTES = 28 << 10
KIB, MIB = 1 << 10, 1 << 20

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
# GET http://a/ in the static table of HPACK; `:path` /large as a literal.
REQUEST = b"\x82\x86\x84\x41\x01a"
LARGE_REQUEST = b"\x82\x86\x44\x06/large\x41\x01a"
# No response may have a body.
NO_WINDOW = struct.pack(">HI", 4, 0)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def ask(stream, block=REQUEST, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, block)


def cookie_bomb():
    """A cookie of 4,000 bytes that is put into the table once, and a block that names it 32 times."""
    entry = b"\x60\x7f" + bytes([(4000 - 127) & 0x7F | 0x80, (4000 - 127) >> 7]) + b"c" * 4000
    return REQUEST + entry, REQUEST + b"\xbe" * 32


ENTRY, BOMB = cookie_bomb()

# Name, what a connection begins with, and what it goes on with for its n-th request.
FLOODS = [
    ("requests called off", b"", lambda n: ask(2 * n + 1) + frame(RST, 0, 2 * n + 1, b"\0\0\0\x08")),
    ("resets brought about", b"", lambda n: ask(2 * n + 1) + frame(WINDOW, 0, 2 * n + 1, b"\0\0\0\0")),
    ("malformed requests", b"", lambda n: ask(2 * n + 1, b"\x82\x82\x86\x84")),
    ("streams over the limit", frame(SETTINGS, 0, 0, NO_WINDOW), lambda n: ask(2 * n + 1)),
    ("SETTINGS", b"", lambda n: frame(SETTINGS, 0, 0) * 10),
    ("PING", b"", lambda n: frame(PING, 0, 0, b"\0" * 8) * 10),
    ("PRIORITY", b"", lambda n: frame(PRIORITY, 0, 1, b"\0" * 5) * 10),
    ("WINDOW_UPDATE", b"", lambda n: frame(WINDOW, 0, 0, b"\0\0\0\1") * 10),
    ("empty DATA", ask(1, flags=END_HEADERS), lambda n: frame(DATA, 0, 1) * 10),
    ("empty CONTINUATION", ask(1, flags=0), lambda n: frame(CONTINUATION, 0, 1) * 10),
    ("CONTINUATION of 16 KiB", ask(1, flags=0), lambda n: frame(CONTINUATION, 0, 1, b"\0" * 16384)),
    ("unknown frames of 16 KiB", b"", lambda n: frame(0x42, 0, 0, b"\0" * 16384)),
    ("cookies over the limit", ask(1, ENTRY), lambda n: ask(2 * n + 3, BOMB)),
]


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def flooding(port, name, cut):
    """Floods until it is ended by force; counts the connections that were cut."""
    _, begin, more = next(flood for flood in FLOODS if flood[0] == name)
    while True:
        began = time.monotonic()
        with connect(port) as connection:
            connection.setblocking(False)
            pending, number = PREFACE + frame(SETTINGS, 0, 0) + begin, 0
            while True:
                try:
                    if not pending:
                        pending = b"".join(more(number + each) for each in range(10))
                        number += 10
                    pending = pending[connection.send(pending):]
                    if not connection.recv(65536):
                        break
                except BlockingIOError:
                    time.sleep(0.0002)
                except OSError:
                    break
            with cut.get_lock():
                cut.value += 1
        time.sleep(max(0, began + AGAIN - time.monotonic()))


def standing_by(port, seconds, times, failed):
    """Asks at an even pace over one kept connection; notes how long each request took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    began = time.monotonic()
    for number in range(int(seconds * PACE)):
        time.sleep(max(0, began + number / PACE - time.monotonic()))
        asked = time.monotonic()
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"ok")
        except (OSError, http.client.HTTPException, AssertionError):
            with failed.get_lock():
                failed.value += 1
            connection.close()
        times[number] = time.monotonic() - asked


class Origin(socketserver.StreamRequestHandler):
    """Answers every request with a megabyte."""

    def handle(self):
        try:
            while self.rfile.readline():
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(LARGE) + LARGE)
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 1024


class Memory(threading.Thread):
    """The resident memory of the gateway: now, and the most since this began."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status, self.over = pathlib.Path(f"/proc/{pid}/status"), threading.Event()
        self.first = self.most = self.now()

    def now(self):
        line = next(line for line in self.status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * KIB

    def run(self):
        while not self.over.wait(0.02):
            self.most = max(self.most, self.now())

    def growth(self):
        self.over.set()
        self.join()
        return max(self.most, self.now()) - self.first


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(gateway, folder, origin):
    port = free_port()
    config = folder / "gateway.yaml"
    config.write_text(
        f"workers: 1\nadmin: off\naccessLog: off\nlisteners: [{{name: web, bind: '127.0.0.1:{port}'}}]\nroutes:\n"
        "- {match: {path: {exact: /large}}, to: origin}\n- {respond: {status: 200, body: ok}}\n"
        f"upstreams: {{origin: '127.0.0.1:{origin}'}}\n"
    )
    process = subprocess.Popen([gateway, "run", "-c", config], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            connect(port).close()
            return process, port
        except OSError:
            time.sleep(0.1)
    sys.exit("the gateway does not listen")


def bystander(port, seconds=SECONDS):
    """50th, 99th and 100th percentile of its times in microseconds, and how many requests failed."""
    times, failed = multiprocessing.Array("d", int(seconds * PACE)), multiprocessing.Value("i", 0)
    process = multiprocessing.Process(target=standing_by, args=(port, seconds, times, failed), daemon=True)
    process.start()
    process.join()
    ordered = sorted(times)
    pick = lambda share: ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e6
    return pick(0.5), pick(0.99), pick(1), failed.value


def flooded(port, pid, name):
    """The bystander alone and beside one flood: the 99th percentiles of its times, and whether it got all and nothing grew."""
    _, quiet, _, _ = bystander(port)
    cut = multiprocessing.Value("i", 0)
    attacker = multiprocessing.Process(target=flooding, args=(port, name, cut), daemon=True)
    attacker.start()
    time.sleep(WARM_UP)
    memory = Memory(pid)
    memory.start()
    median, p99, most, failed = bystander(port)
    attacker.terminate()
    attacker.join()
    growth = memory.growth()
    good = not failed and cut.value > 0 and growth <= FLOOD_BYTES
    print(f"{name}: {cut.value} connections cut; bystander p50 {median:.0f} us, p99 {p99:.0f} us (alone {quiet:.0f}), "
          f"most {most:.0f} us, {failed} failed; memory +{growth / MIB:.1f} MiB"
          f"{'' if good else ': NOT AS IT SHOULD BE'}", flush=True)
    return quiet, p99, good


def starved(port, pid, window):
    """Streams of a megabyte each that are given no room, or one byte; what the gateway holds for them."""
    memory = Memory(pid)
    memory.start()
    settings = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, window))
    with connect(port) as connection:
        requests = b"".join(ask(2 * number + 1, LARGE_REQUEST) for number in range(STREAMS))
        connection.sendall(PREFACE + settings + requests)
        served = bystander(port, 2)
    growth = memory.growth()
    good = growth <= 8 * MIB and not served[3]
    print(f"{STREAMS} streams of 1 MiB with a window of {window}: memory +{growth / MIB:.1f} MiB; "
          f"bystander {served[3]} failed{'' if good else ': NOT AS IT SHOULD BE'}", flush=True)
    return good


def idle(port, pid):
    """Kept connections that ask nothing more."""
    memory = Memory(pid)
    memory.start()
    connections = []
    for _ in range(IDLE):
        connection = connect(port)
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert connection.recv(4096).endswith(b"ok")
        connections.append(connection)
    median, p99, _, failed = bystander(port, 2)
    growth = memory.growth()
    for connection in connections:
        connection.close()
    good = growth / IDLE <= IDLE_BYTES and not failed
    print(f"{IDLE} idle connections: memory +{growth / MIB:.1f} MiB, {growth / IDLE / KIB:.1f} KiB each; bystander p50 "
          f"{median:.0f} us, p99 {p99:.0f} us, {failed} failed{'' if good else ': NOT AS IT SHOULD BE'}", flush=True)
    return good


def main(gateway):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    processors = os.sched_getaffinity(0)
    first = {min(processors)}
    os.sched_setaffinity(0, processors - first or first)
    origin = Server(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        process, port = start(gateway, pathlib.Path(folder), origin.server_address[1])
        for thread in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), first)
        try:
            floods = [flooded(port, process.pid, flood[0]) for flood in FLOODS]
            # A single one says more of what else the system did.
            alone, beside = (statistics.median(times) for times in list(zip(*floods))[:2])
            print(f"p99 beside a flood {beside:.0f} us, alone {alone:.0f} us (medians): {beside / alone:.2f}", flush=True)
            good = [good for *_, good in floods] + [beside <= 2 * alone]
            good += [starved(port, process.pid, window) for window in (0, 1)]
            good.append(idle(port, process.pid))
        finally:
            process.terminate()
            process.wait(40)
    sys.exit(0 if all(good) else 1)


main(sys.argv[1])
