"""The checks against small servers that answer well, or wrong in one respect."""

import contextlib
import socket
import ssl
import tempfile
import threading
import unittest

import certificate
import check
from h2load_test import named

BODY = named("keepalive").body.encode()


@contextlib.contextmanager
def server(body=BODY, head="HTTP/1.1 200 OK", closes=True, context=None):
    """Answers one request on each connection, then ends it or leaves it open."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve():
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with contextlib.suppress(OSError):
                if context:
                    connection = context.wrap_socket(connection, server_side=True)
                connection.recv(4096)
                connection.sendall(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            if closes:
                connection.close()
            else:
                held.append(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


class Answers(unittest.TestCase):
    def test_what_must_be_right(self):
        for served, filtered, wrong in [
            ({}, False, None),
            ({"body": BODY[:-1]}, False, "a body of 127 bytes"),
            ({"head": "HTTP/1.1 503 Busy"}, False, "status 503"),
            ({}, True, "x-filter is None instead of 'on'"),
            ({"head": "HTTP/1.1 200 OK\r\nx-filter: on"}, True, None),
            ({"head": "HTTP/1.1 200 OK\r\nx-filter: on"}, False, "x-filter is 'on' instead of None"),
        ]:
            with server(**served) as port:
                said = check.wrong(named("keepalive"), None, port, filtered)
            if wrong is None:
                self.assertIsNone(said)
            else:
                self.assertIn(wrong, said)

    def test_a_connection_must_end_where_each_request_has_its_own(self):
        with server() as port:
            self.assertIsNone(check.wrong(named("connections"), None, port))
        with server(closes=False) as port:
            self.assertIn("stays open", check.wrong(named("connections"), None, port))
            self.assertIsNone(check.wrong(named("keepalive"), None, port))
        with server(body=BODY + b"x") as port:
            self.assertIn("the connection ended with", check.stays_open(port, BODY))


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.made = certificate.make(cls.directory.name)
        cls.client = ssl.create_default_context(cafile=cls.made.cert)

    def server_context(self, made):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.both)
        return context

    def test_our_certificate_is_verified(self):
        with server(context=self.server_context(self.made)) as port:
            self.assertIsNone(check.wrong_answer(port, BODY, context=self.client))
            self.assertIsNone(check.stays_open(port, BODY, self.client))

    def test_another_certificate_or_none_is_refused(self):
        with tempfile.TemporaryDirectory() as directory, server(context=self.server_context(certificate.make(directory))) as port:
            self.assertIn("CERTIFICATE_VERIFY_FAILED", check.wrong_answer(port, BODY, context=self.client))
        with server() as port:
            self.assertIn("GET / failed", check.wrong_answer(port, BODY, context=self.client))

    def test_sessions_must_be_resumed(self):
        with server(context=self.server_context(self.made)) as port:
            self.assertIsNone(check.not_resumed(port, self.client))
        without = self.server_context(self.made)
        without.num_tickets = 0
        with server(context=without) as port:
            self.assertIsNotNone(check.not_resumed(port, self.client))


class Connections(unittest.TestCase):
    def test_new_connections_are_as_many_as_requests(self):
        self.assertIsNone(check.not_new(named("connections"), 1000, 1000))
        self.assertIn("they were not new", check.not_new(named("connections"), 999, 1000))
        self.assertIsNone(check.not_new(named("keepalive"), 32, 1000))

    def test_kept_connections_are_few(self):
        for name, opened, kept in [("keepalive", 32, True), ("keepalive", 10_000, False), ("connections", 10_100, True), ("connections", 20_000, False)]:
            self.assertEqual(check.not_kept(named(name), opened, 10_000) is None, kept, (name, opened))


if __name__ == "__main__":
    unittest.main()
