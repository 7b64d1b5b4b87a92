"""Keeps the access log of a candidate that can only send it: a TCP listener that appends all it receives to a file."""

import socket
import threading

READ_BYTES = 1 << 20


class LogReceiver:
    """Receives on a thread of its own until the process ends; one sender at a time."""

    def __init__(self, port, path):
        self._listener = socket.create_server(("127.0.0.1", port))
        self._path = path
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        with open(self._path, "ab", buffering=0) as file:
            while True:
                sender, _ = self._listener.accept()
                with sender:
                    while data := sender.recv(READ_BYTES):
                        file.write(data)
