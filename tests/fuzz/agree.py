"""Reads what the message gate let through with llhttp and with h11, and compares with what was read elsewhere."""

import json
import sys

import h11
import httptools

# Fewer comparisons than this say that something is wrong with the readings.
MIN_COMPARED = 300


class Llhttp:
    """Requests as llhttp reads them."""

    def __init__(self):
        self.requests = []

    def on_message_begin(self):
        self.url = self.body = b""

    def on_url(self, url):
        self.url += url

    def on_body(self, body):
        self.body += body

    def on_message_complete(self):
        method = self.parser.get_method().decode()
        self.requests.append((method, self.url.decode(), self.body.hex()))


def by_llhttp(data):
    reader = Llhttp()
    reader.parser = httptools.HttpRequestParser(reader)
    try:
        reader.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    return reader.requests


def by_h11(data):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    requests = []
    request, body = None, b""
    while True:
        event = connection.next_event()
        if event in (h11.NEED_DATA, h11.PAUSED):
            return requests
        if isinstance(event, h11.Request):
            request, body = event, b""
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            requests.append((request.method.decode(), request.target.decode(), body.hex()))
            connection.send(h11.Response(status_code=400, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return requests
            connection.start_next_cycle()
        else:
            return requests


def main(path):
    compared = {"llhttp": 0, "h11": 0}
    unknown = {"llhttp": 0, "h11": 0}
    refused = {"llhttp": 0, "h11": 0}
    differences = []
    with open(path, encoding="ascii") as lines:
        readings = [json.loads(line) for line in lines]
    for reading in readings:
        expected = [tuple(request) for request in reading["requests"]]
        for name, read in (("llhttp", by_llhttp), ("h11", by_h11)):
            # As the next server gets it: it must be read, and read the same.
            data = bytes.fromhex(reading["forwarded"])
            try:
                seen = read(data)
            except httptools.HttpParserInvalidMethodError:
                # llhttp knows a list of methods; any name is legal.
                unknown[name] += 1
                continue
            except (httptools.HttpParserError, h11.RemoteProtocolError) as error:
                seen = repr(error)
            compared[name] += 1
            if seen != expected:
                differences.append(f"{name}: {data!r}\n  expected {expected}\n  seen     {seen}")
            # As the client sent it: another parser may refuse it, or stop at what ends the connection or asks for another
            # protocol, but must not see other requests.
            data = bytes.fromhex(reading["bytes"])
            if b"upgrade" in data.lower():
                continue
            try:
                seen = read(data)
            except (httptools.HttpParserError, h11.RemoteProtocolError):
                refused[name] += 1
                continue
            if seen != expected[: reading["ends"] or None]:
                differences.append(f"{name}: {data!r}\n  expected {expected}\n  seen     {seen}")
    print(f"compared: {compared}; left out, methods not known: {unknown}; refused as the client sent it: {refused}")
    for difference in differences[:20]:
        print(difference)
    if differences or min(compared.values()) < MIN_COMPARED:
        print(f"{len(differences)} differences")
        sys.exit(1)


main(sys.argv[1])
