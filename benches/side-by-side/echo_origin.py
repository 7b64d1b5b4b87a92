"""An origin that answers 200 to everything and keeps the head of each request, so that a check can ask what really arrived."""

import http.server
import threading


class EchoOrigin:
    """Serves on a thread of its own until closed. `taken()` hands over the heads received since the last call."""

    def __init__(self, port):
        heads = self._heads = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                heads.append({"method": self.command, "path": self.path, "headers": self.headers.items(), "body_bytes": len(body)})
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def taken(self):
        taken = list(self._heads)
        self._heads.clear()
        return taken

    def close(self):
        self._server.shutdown()
        self._server.server_close()
