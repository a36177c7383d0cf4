#!/usr/bin/env python3
"""How much more several nodes deliver than one, when the processor of a node is the limit.

Starts packaging/cluster.sh with one node and then with three, each node bounded to a quarter of a core by a control
group, in turn. Load: events of 1 KiB from 60 clients (wrk) to all nodes in turn, each event for one of 500 webhooks,
whose receiver is nginx. Counted from the first post until everything is delivered. Prints, of each run, deliveries a
second, CPU of the nodes and of PostgreSQL for 10,000 deliveries, statements, commits and WAL bytes for a delivery, and
at the end the ratio of the medians.

Needs Linux with cgroups and root, wrk, nginx, and what packaging/cluster.sh needs.

    python3 benches/nodes.py target/release/postrider [--seconds 15] [--rounds 3] [--nodes 1,3] [--share 0.25]
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

CLIENTS = 60
PERIOD_US = 20_000
TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
CPU_FILES = Path("/sys/fs/cgroup/cpu")


class Share:
    """A control group for each node that gives it a share of one core."""

    def __init__(self, name, share):
        version_1 = (CPU_FILES / "cpu.cfs_quota_us").exists()
        self.path = (CPU_FILES if version_1 else Path("/sys/fs/cgroup")) / name
        self.path.mkdir(exist_ok=True)
        quota = int(PERIOD_US * share)
        if version_1:
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.path / "cpu.max").write_text(f"{quota} {PERIOD_US}")

    def remove(self):
        for _ in range(50):
            try:
                return self.path.rmdir()
            except OSError:
                time.sleep(0.1)


def cpu_seconds(root):
    """CPU time of a process, its children, and those that have ended."""
    of_parent = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            of_parent.setdefault(int(fields[1]), []).append((int(entry), sum(map(int, fields[11:15]))))
            if int(entry) == root:
                total = sum(map(int, fields[11:15]))
    waiting = [root]
    while waiting:
        for pid, ticks in of_parent.get(waiting.pop(), []):
            total += ticks
            waiting.append(pid)
    return total / os.sysconf("SC_CLK_TCK")


class Cluster:
    def __init__(self, program, nodes, share, tools):
        self.dir = Path(tempfile.mkdtemp(prefix="nodes-"))
        self.shares = [Share(f"postrider-bench-{os.getpid()}-{n}", share) for n in range(nodes)]
        wrapper = self.dir / "postrider"
        wrapper.write_text(
            "#!/bin/bash\n"
            f'if [ "$1" = serve ]; then n=${{POSTRIDER_CLUSTER__NODE#node-}}; '
            f'echo $$ > "{self.shares[0].path.parent}/postrider-bench-{os.getpid()}-$((n - 1))/cgroup.procs"; fi\n'
            f'exec "{program}" "$@"\n'
        )
        wrapper.chmod(0o755)
        settings = {
            "NODES": str(nodes), "PORT": "0", "WEBHOOKS": "0", "CADDY": "/nowhere",
            "POSTRIDER_NETWORK__ALLOW": "127.0.0.0/8", "POSTRIDER_LIMITS__REQUESTS_PER_MINUTE": "0",
            "POSTRIDER_STORAGE__CONNECTIONS": "10",
            "POSTGRES_SETTINGS": "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track_planning = on",
        }
        self.process = subprocess.Popen(
            ["bash", "packaging/cluster.sh", str(wrapper)], env=os.environ | settings, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        text = self.until("help, quit")
        self.token = re.search(r"Bearer (\S+)'", text).group(1)
        self.place = re.search(r"logs +(\S+)/node-1\.log", text).group(1)
        self.command("status")
        self.command("help")
        self.urls = re.findall(r"ready +(http://\S+)", self.until("help, quit"))
        self.postmaster = int(Path(self.place, "data/postmaster.pid").read_text().split()[0])
        self.psql = [str(tools / "psql"), "-h", self.place, "-U", "postgres", "-At", "-c"]

    def until(self, text):
        read = ""
        while text not in read:
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"packaging/cluster.sh has ended:\n{read}")
            read += line
        return read

    def command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def query(self, sql):
        return subprocess.run(self.psql + [sql], check=True, capture_output=True, text=True).stdout.strip()

    def numbers(self):
        row = self.query(
            "SELECT (SELECT count(*) FROM log), (SELECT count(*) FROM queue), "
            "(SELECT sum(xact_commit) FROM pg_stat_database), (SELECT wal_bytes FROM pg_stat_wal), "
            "(SELECT sum(calls) FROM pg_stat_statements)"
        )
        return [int(number or 0) for number in row.split("|")]

    def post(self, path, body):
        request = urllib.request.Request(
            self.urls[0] + path, json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        return json.load(urllib.request.urlopen(request, timeout=30))

    def end(self):
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.wait()
        for share in self.shares:
            share.remove()


def receiver(directory, nginx, port):
    conf = directory / "nginx.conf"
    conf.write_text(
        f"pid {directory}/nginx.pid; error_log /dev/null crit; worker_processes 1; daemon off; events {{}}\n"
        f"http {{ access_log off; keepalive_requests 1000000;\n"
        + "".join(f"{name}_temp_path {directory}/{name};\n" for name in TEMPORARY)
        + f"server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ return 200; }} }} }}\n"
    )
    process = subprocess.Popen([nginx, "-c", str(conf), "-p", str(directory)])
    wait_for(lambda: answers(port), 10, "an answer of nginx")
    return process


def answers(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).status == 200
    except OSError:
        return False


def wait_for(condition, seconds, what):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"{what} did not come within {seconds} s")
        time.sleep(0.1)


STATEMENTS = """SELECT format('%s us a delivery, %s calls, %s us planning: %s',
round((total_exec_time * 1000 / {delivered})::numeric, 1), calls, round((total_plan_time * 1000 / {delivered})::numeric, 1),
left(regexp_replace(query, E'\\s+', ' ', 'g'), 110))
FROM pg_stat_statements ORDER BY total_exec_time + total_plan_time DESC LIMIT {n}"""

SCRIPT = """
local n = math.random(0, {webhooks} - 1)
local padding = string.rep("x", 980)
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/json"
request = function()
  n = (n + 1) % {webhooks}
  return wrk.format("POST", "/v1/events", nil, '{{"event_type":"load.n' .. n .. '","payload":{{"padding":"' .. padding .. '"}}}}')
end
"""


def run(options, nodes, port):
    cluster = Cluster(options.program, nodes, options.share, options.postgres)
    try:
        cluster.query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        for n in range(options.webhooks):
            webhook = {"name": f"n{n}", "url": f"http://127.0.0.1:{port}/{n}", "events": [f"load.n{n}"]}
            cluster.post("/v1/webhooks", webhook)
        for n in range(options.webhooks):
            cluster.post("/v1/events", {"event_type": f"load.n{n}", "payload": {}})
        wait_for(lambda: cluster.numbers()[1] == 0, 60, "the first event at each webhook")
        script = cluster.dir / "post.lua"
        script.write_text(SCRIPT.format(token=cluster.token, webhooks=options.webhooks))
        cluster.query("SELECT pg_stat_statements_reset()")
        before, database_cpu = cluster.numbers(), cpu_seconds(cluster.postmaster)
        nodes_cpu = cpu_seconds(cluster.process.pid)
        began = time.monotonic()
        loads = [
            subprocess.Popen(
                ["wrk", "-t1", f"-c{CLIENTS // nodes}", f"-d{options.seconds}s", "-s", str(script), "--timeout", "30s", url],
                stdout=subprocess.PIPE, text=True,
            )
            for url in cluster.urls
        ]
        texts = [load.communicate()[0] for load in loads]
        posted = time.monotonic() - began
        wait_for(lambda: cluster.numbers()[1] == 0, 300, "an empty queue")
        took = time.monotonic() - began
        database_cpu, nodes_cpu = cpu_seconds(cluster.postmaster) - database_cpu, cpu_seconds(cluster.process.pid) - nodes_cpu
        after = cluster.numbers()
        delivered, _, commits, wal, statements = (b - a for a, b in zip(before, after))
        refused = [line.strip() for text in texts for line in text.splitlines() if "Non-2xx" in line]
        rate = delivered / took
        print(
            f"{nodes} node{'s' if nodes > 1 else ' '}: {delivered} deliveries in {took:.1f} s ({posted:.1f} s of posts), "
            f"{rate:.0f}/s; for 10,000: nodes {nodes_cpu / delivered * 1e4:.2f} s, "
            f"PostgreSQL {database_cpu / delivered * 1e4:.2f} s; for one: {commits / delivered:.3f} commits, "
            f"{statements / delivered:.2f} statements, {wal / delivered:.0f} WAL bytes {' '.join(refused)}",
            flush=True,
        )
        if options.statements:
            print(cluster.query(STATEMENTS.format(n=options.statements, delivered=delivered)))
        return rate
    finally:
        cluster.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda path: Path(path).resolve(strict=True))
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", default="1,3")
    parser.add_argument("--share", type=float, default=0.25, help="of a core, for each node")
    parser.add_argument("--webhooks", type=int, default=500)
    parser.add_argument("--statements", type=int, default=0, help="print so many statements that take longest")
    parser.add_argument("--nginx", default="nginx")
    options = parser.parse_args()
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
    options.postgres = newest.parent
    with tempfile.TemporaryDirectory(prefix="nodes-") as directory:
        port = 18_080
        sink = receiver(Path(directory), options.nginx, port)
        try:
            rates = {}
            for _ in range(options.rounds):
                for nodes in map(int, options.nodes.split(",")):
                    rates.setdefault(nodes, []).append(run(options, nodes, port))
        finally:
            sink.terminate()
            sink.wait()
    medians = {nodes: statistics.median(of) for nodes, of in rates.items()}
    least = min(medians)
    for nodes, median in medians.items():
        print(f"{nodes}: {median:.0f}/s, {median / medians[least]:.2f} times {least}")


if __name__ == "__main__":
    main()
