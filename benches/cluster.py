#!/usr/bin/env python3
"""From a post to the arrival of its delivery, within one node and across nodes.

Posts events at a steady rate to nodes that share a database, in turn, for webhooks to a receiver in this process.
Prints the median, the 99th percentile and the maximum: for events that were posted to the node that sends them, and
for those posted to another one. Which node sends to a webhook is found by its counters. Standard library only.

    bash packaging/cluster.sh          # in another terminal; it prints the token, `status` the addresses of the nodes
    python3 benches/cluster.py --token TOKEN http://127.0.0.1:PORT_1 http://127.0.0.1:PORT_2
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from urllib.parse import urlsplit

WEBHOOKS = 16
COUNTER = 'postrider_attempts_total{outcome="delivered",error_kind=""} '


class Node:
    """Keeps some connections to a node."""

    def __init__(self, url, token):
        parts = urlsplit(url)
        self.url, self.host, self.port, self.token = url, parts.hostname, parts.port or 80, token
        self.idle = []

    async def request(self, method, path, body=None):
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        status, text = await read_message(reader)
        self.idle.append((reader, writer))
        return int(status.split()[1]), text


async def read_message(reader):
    """The first line and the body of a request or a response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(fields.get("content-length", 0)))
    return lines[0], body


class Receiver:
    """Answers 200 and remembers when the first request for each event came."""

    def __init__(self):
        self.arrived = {}
        self.any = asyncio.Event()

    async def serve(self, reader, writer):
        try:
            while True:
                _, body = await read_message(reader)
                self.arrived.setdefault(json.loads(body)["n"], time.perf_counter())
                self.any.set()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def wait_for(self, numbers, seconds):
        until = time.perf_counter() + seconds
        while not numbers <= self.arrived.keys() and time.perf_counter() < until:
            self.any.clear()
            try:
                await asyncio.wait_for(self.any.wait(), until - time.perf_counter())
            except asyncio.TimeoutError:
                break
        return numbers - self.arrived.keys()


async def delivered(nodes):
    counts = []
    for node in nodes:
        status, text = await node.request("GET", "/metrics")
        if status != 200:
            sys.exit(f"{node.url}/metrics answers {status}; it has to be open to this machine")
        line = next(line for line in text.decode().splitlines() if line.startswith(COUNTER))
        counts.append(float(line.removeprefix(COUNTER)))
    return counts


async def post(node, n, webhook):
    body = {"event_type": f"latency.w{webhook}", "payload": {"n": n, "padding": "x" * 1000}}
    status, text = await node.request("POST", "/v1/events", body)
    if status != 202:
        sys.exit(f"{node.url} answers {status}: {text.decode()}")


async def holders(nodes, receiver):
    """Which node sends to each webhook: the one whose counter rises."""
    found = []
    for webhook in range(WEBHOOKS):
        before = await delivered(nodes)
        await post(nodes[0], -1 - webhook, webhook)
        if await receiver.wait_for({-1 - webhook}, 10):
            sys.exit("an event did not arrive; network.allow must contain 127.0.0.1")
        after = before
        while after == before:
            await asyncio.sleep(0.02)
            after = await delivered(nodes)
        found.append(next(i for i, (a, b) in enumerate(zip(after, before)) if a > b))
    return found


def words(name, latencies):
    if not latencies:
        return f"{name:<18} none"
    ms = sorted(1000 * latency for latency in latencies)
    p99 = ms[min(len(ms) - 1, len(ms) * 99 // 100)]
    figures = [("p50", statistics.median(ms)), ("p99", p99), ("max", ms[-1])]
    return f"{name:<18} {len(ms):6} events" + "".join(f"   {word} {figure:7.2f} ms" for word, figure in figures)


async def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("nodes", nargs="+", help="addresses of nodes")
    options.add_argument("--token", required=True, help="an API key with the scope admin")
    options.add_argument("--rate", type=int, default=100, help="events a second (default: 100)")
    options.add_argument("--seconds", type=int, default=20, help="how long (default: 20)")
    args = options.parse_args()
    nodes = [Node(url.rstrip("/"), args.token) for url in args.nodes]
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = []
    for webhook in range(WEBHOOKS):
        body = {"url": f"http://127.0.0.1:{port}/{webhook}", "events": [f"latency.w{webhook}"]}
        status, text = await nodes[0].request("POST", "/v1/webhooks", body)
        if status != 201:
            sys.exit(f"{nodes[0].url} answers {status}: {text.decode()}")
        made.append(json.loads(text)["data"]["id"])
    try:
        held = await holders(nodes, receiver)
        total, began, posted, tasks = args.rate * args.seconds, time.perf_counter(), {}, set()
        for n in range(total):
            await asyncio.sleep(max(0, began + n / args.rate - time.perf_counter()))
            posted[n] = time.perf_counter()
            node = nodes[n // WEBHOOKS % len(nodes)]
            task = asyncio.ensure_future(post(node, n, n % WEBHOOKS))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        missing = await receiver.wait_for(set(posted), 10)
        within, across = [], []
        for n in posted.keys() - missing:
            group = within if held[n % WEBHOOKS] == n // WEBHOOKS % len(nodes) else across
            group.append(receiver.arrived[n] - posted[n])
        print(f"webhooks by node: {[held.count(i) for i in range(len(nodes))]}; missing: {len(missing)}")
        print(words("within one node", within))
        if len(nodes) > 1:
            print(words("across nodes", across))
    finally:
        for webhook in made:
            await nodes[0].request("DELETE", f"/v1/webhooks/{webhook}")


asyncio.run(main())
