"""200 slow clients in each mode of slowhttptest, and a bystander that counts its answers. Called by `slow-clients`."""

import http.client
import http.server
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

CONNECTIONS = 200
SECONDS = 45
LARGE = b"x" * (8 << 20)
PROBE_INTERVAL = 0.05
# Connections of the bystander, and of the probe that slowhttptest makes itself.
OTHERS = 4
# Seconds in which all connections are made, and in which the gateway looks at them.
SLACK = 3

# Name, arguments, and the second by which all must be closed: the limit of the configuration's defaults, counted from when it
# begins to run. A body has 10 s and what its bytes add; a response of which nothing is taken, 30 s after the sockets are full.
MODES = [
    ("slow heads", ["-H", "-i", "3", "-x", "24"], 10),
    ("slow bodies", ["-B", "-i", "3", "-x", "10", "-s", "1000000"], 30),
    ("slow reads", ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"], 35),
]


class Origin(http.server.BaseHTTPRequestHandler):
    """Reads bodies to their end before it answers, which is what makes a slow one worth an attack."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = LARGE if self.path == "/large" else b"ok"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.do_GET()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, *_):
        """Clients that are cut take their upstream connections with them."""


class Bystander(threading.Thread):
    """Asks again and again over connections of its own; never retries."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.served, self.failed, self.slowest = port, 0, [], 0.0
        self.over = threading.Event()

    def run(self):
        while not self.over.is_set():
            began = time.monotonic()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/")
                response = connection.getresponse()
                assert (response.status, response.read()) == (200, b"ok")
                connection.close()
                self.served += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(repr(error))
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.over.wait(PROBE_INTERVAL)


class Sockets(threading.Thread):
    """What the system says about the gateway's connections."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.suffix, self.most, self.last = f":{port:04X}", 0, 0.0
        self.over = threading.Event()

    def run(self):
        began = time.monotonic()
        while not self.over.wait(0.25):
            lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
            fields = [line.split() for line in lines]
            # Not yet closed by the gateway: established, or closed by the client alone.
            number = sum(field[1].endswith(self.suffix) and field[3] in ("01", "08") for field in fields)
            self.most = max(self.most, number)
            if number > OTHERS and not self.over.is_set():
                self.last = time.monotonic() - began


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(gateway, folder, origin):
    port, admin = free_port(), free_port()
    config = folder / "gateway.yaml"
    config.write_text(
        f"admin: {{bind: '127.0.0.1:{admin}'}}\naccessLog: off\n"
        f"listeners: [{{name: web, bind: '127.0.0.1:{port}'}}]\n"
        f"routes: [{{to: origin, timeout: 0s}}]\nupstreams: {{origin: '127.0.0.1:{origin}'}}\n"
    )
    process = subprocess.Popen([gateway, "run", "-c", config], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process, port, admin
        except OSError:
            time.sleep(0.1)
    sys.exit("the gateway does not listen")


def reasons(admin):
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=5)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    return {
        line.split('reason="')[1].split('"')[0]: int(float(line.rsplit(" ", 1)[1]))
        for line in lines
        if line.startswith("gateway_replies_total{")
    }


def attack(name, arguments, limit, port, admin):
    path = {"slow reads": "/large"}.get(name, "/")
    bystander = Bystander(port)
    bystander.start()
    before = reasons(admin)
    sockets = Sockets(port)
    sockets.start()
    command = ["slowhttptest", *arguments, "-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-l", str(SECONDS),
               "-v", "0", "-p", "3", "-u", f"http://127.0.0.1:{port}{path}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS + 30)
    for thread in (sockets, bystander):
        thread.over.set()
        thread.join()
    counted = {key: number - before.get(key, 0) for key, number in reasons(admin).items()}
    counted = {key: number for key, number in counted.items() if number}
    good = sockets.most >= CONNECTIONS and sockets.last <= limit + SLACK and not bystander.failed
    print(f"{name}: {sockets.most} connected, the last one closed after {sockets.last:.1f} s (limit {limit} s); "
          f"bystander {bystander.served} served, {len(bystander.failed)} failed, slowest {bystander.slowest * 1000:.0f} ms; "
          f"counted {counted}: {'as it should be' if good else 'NOT AS IT SHOULD BE'}", flush=True)
    for error in bystander.failed[:5]:
        print("   ", error)
    return good


def main(gateway):
    origin = Server(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        process, port, admin = start(gateway, folder, origin.server_address[1])
        try:
            good = [attack(*mode, port, admin) for mode in MODES]
        finally:
            process.terminate()
            process.wait(40)
    sys.exit(0 if all(good) else 1)


main(sys.argv[1])
