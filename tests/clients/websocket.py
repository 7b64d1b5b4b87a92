"""WebSocket through the gateway, with an independent client and server: see the script `websocket` beside this."""

import asyncio
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

CONNECTIONS = 200
ROUNDS = 20
CONFIG = """
workers: 2
admin: off
drain: 2s
accessLog: {{to: access.log, format: json}}
listeners: [{{name: web, bind: '127.0.0.1:{port}'}}]
routes:
  - {{name: chat, match: {{path: {{prefix: /chat}}}}, to: chat, upgrades: [websocket]}}
  - {{name: other, respond: {{status: 404, body: 'round {round}'}}}}
upstreams: {{chat: '127.0.0.1:{upstream}'}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def echo(connection):
    async for message in connection:
        if message == "close me":
            await connection.close(4001, "as you wish")
            return
        await connection.send(message)


async def opened(uri, **options):
    for _ in range(100):
        try:
            return await connect(uri, **options)
        except OSError:
            await asyncio.sleep(0.05)
    raise SystemExit("the gateway does not listen")


async def messages(uri):
    async with await opened(uri, subprotocols=["chat"], max_size=None) as client:
        assert client.subprotocol == "chat", client.subprotocol
        assert "permessage-deflate" in client.response.headers["sec-websocket-extensions"]
        binary = os.urandom(4 << 20)
        for message in ["text", "", "\u00fc\u4e16\U0001f30d", b"", b"\0\xff", binary]:
            await client.send(message)
            assert await client.recv() == message
        await client.send(part for part in ["frag", "", "mented"])
        assert await client.recv() == "fragmented"
        for _ in range(10):
            await asyncio.wait_for(await client.ping(), 5)
        await client.send("close me")
        try:
            await client.recv()
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "as you wish"), closed
    print("messages, fragments, compression, pings and close codes pass")


async def refusal(base):
    try:
        await connect(f"{base}/other")
    except InvalidStatus as refused:
        assert refused.response.status_code == 404
        print("a route without upgrades answers by itself")
        return
    raise SystemExit("a connection changed its protocol where no route allows it")


async def reloads(base, rewrite):
    clients = await asyncio.gather(*(opened(f"{base}/chat/{n}", subprotocols=["chat"]) for n in range(CONNECTIONS)))
    for round_number in range(ROUNDS):
        rewrite(round_number)
        for n, client in enumerate(clients):
            await client.send(f"{n} in round {round_number}")
        for n, client in enumerate(clients):
            assert await asyncio.wait_for(client.recv(), 10) == f"{n} in round {round_number}"
        await asyncio.sleep(0.1)
    await asyncio.gather(*(client.close() for client in clients))
    print(f"{CONNECTIONS} connections pass every message over {ROUNDS} changes of the configuration")


async def main(gateway):
    with tempfile.TemporaryDirectory() as directory:
        folder, port = pathlib.Path(directory), free_port()
        async with serve(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
            upstream = server.sockets[0].getsockname()[1]

            def rewrite(round_number):
                beside = folder / "gateway.tmp"
                beside.write_text(CONFIG.format(port=port, upstream=upstream, round=round_number))
                beside.rename(folder / "gateway.yaml")

            rewrite("none")
            with open(folder / "log", "wb") as log:
                process = subprocess.Popen([gateway, "run", "-c", folder / "gateway.yaml"], stdout=log, stderr=log)
            try:
                base = f"ws://127.0.0.1:{port}"
                await messages(f"{base}/chat")
                await refusal(base)
                await reloads(base, rewrite)
            finally:
                process.terminate()
                process.wait(10)
            lines = [json.loads(line) for line in (folder / "access.log").read_text().splitlines()]
            chats = [line for line in lines if line["response_code"] == 101]
            assert len(chats) == CONNECTIONS + 1, len(chats)
            assert all(line["response_code_details"] is None for line in chats)
            print(f"{len(chats)} access lines, none with a fault")


asyncio.run(main(os.path.abspath(sys.argv[1])))
