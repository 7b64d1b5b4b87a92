"""Upstreams that a filter calls itself, for checks: each answers what the cases file says, and 404 to everything else."""

import http.server
import json
import threading
import time

CLUSTER = """  - name: {name}
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
"""


class CalloutServers:
    """`upstreams` maps a name to {"METHOD /path": {"status", "body", "delay_ms"}}; an object as body is sent as JSON, and the
    body "ECHO" is the request's."""

    def __init__(self, upstreams, ports):
        self._servers = []
        self.clusters = ""
        for name, answers in upstreams.items():
            port = next(ports)
            self._servers.append(_server(port, answers))
            self.clusters += CLUSTER.format(name=name, port=port)

    def close(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _server(port, answers):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            received = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = answers.get(f"{self.command} {self.path}", {"status": 404})
            time.sleep(answer.get("delay_ms", 0) / 1000)
            body = answer.get("body", "")
            text = received if body == "ECHO" else (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(answer.get("status", 200))
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
