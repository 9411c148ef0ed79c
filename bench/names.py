"""
Many names: handshakes for any of them, the first for each, start and reload,
memory.

    names-N     full handshakes, each for one of N names at random, once each
                has been seen; "one" is the same with one name; "variables" is
                stock NGINX with ssl_certificate from a variable, which opens
                files at each handshake, "cached" the same with
                ssl_certificate_cache, which NGINX has since 1.27.4
    first-N-C   a handshake for each of N names that nobody has asked for yet,
                and then a second one; C: curve of their certificates
    start-N-L   start and reload with N names on disk, in one server block or
                in as many (L: one, many).  "stock" has the same blocks and no
                certificates, "files" has them as files.  CPU is that of all
                processes until the helper has nothing to do
    status-N    the worker's CPU for the status of N names, by form; pause is
                the longest that another request on that worker took, each
                round, with and without such a request beside it
"""

import http.client
import json
import os
import resource
import subprocess
import threading
import time

from support.certs import Authority
from support.nginx import MODULES, VERSION, Nginx
from support.wait import wait_for

from .common import CLIENT, CONNECTIONS, PAIRS, QUICK, SECONDS, Target, \
    cpu, pinned, report
from .handshake import CURVES

DOMAIN = "names.example.com"
ROUNDS = 1 if QUICK else min(PAIRS, 3)
IDLE = 0.5      # s without work, then a start is over

VARIABLES = ("variables", "cached")

METRICS = {"cpu": ("CPU us each", 0), "rate": ("per second", 0),
           "worker": ("worker KiB", 1), "helper": ("helper KiB", 1),
           "start": ("start CPU s", 2), "reload": ("reload CPU s", 2),
           "wall": ("until idle s", 2), "memory": ("MiB of all", 1),
           "json": ("JSON CPU ms", 1), "prometheus": ("metrics CPU ms", 1),
           "html": ("page CPU ms", 1), "pause": ("pause ms", 1)}
LABELS = {metric: label for metric, (label, _) in METRICS.items()}

TARGETS = [
    Target("names-*", "rate", least=0.98, of="autocert/one"),
    Target("first-*", "cpu", most=2.00, of="first/later"),
    Target("first-*", "worker", most=12, of="autocert", unit="KiB"),
    Target("first-*", "helper", most=16, of="autocert", unit="KiB"),
    Target("start-*", "start", most=0.5, plus=True, unit="s"),
    Target("start-*", "reload", most=0.5, plus=True, unit="s"),
    Target("status-*", "json", most=20, of="autocert", unit="ms"),
    Target("status-*", "prometheus", most=20, of="autocert", unit="ms"),
    Target("status-*", "pause", most=5, of="status-idle", unit="ms"),
]

FRAME = """
    %(modules)s
    worker_processes 1;
    user %(user)s;
    pid {dir}/nginx.pid;
    error_log {dir}/error.log warn;
    worker_rlimit_nofile 8192;
    events { worker_connections 4096; }
    http {
        access_log off;
        server_names_hash_max_size 262144;
        server_names_hash_bucket_size 128;
        ssl_protocols TLSv1.2 TLSv1.3;
        %(http)s
        %(servers)s
    }
"""

OURS = """
        autocert_path %(root)s/store;
        autocert_ca https://127.0.0.1:1/directory;
        autocert_resolver 127.0.0.1;
        autocert_key_type %(type)s;
"""

SERVER = """
        server {
            listen 443 ssl;
            server_name %(names)s;
            %(certificate)s
            location / { return 204; }
        }
"""

STATUS = """
        server {
            listen 80;
            location / { return 204; }
            location = /status { autocert_status; }
        }
"""


class Case:
    def __init__(self, kind, n, layout=None):
        self.kind = kind
        self.n = n
        self.layout = layout
        self.curve = layout if layout in CURVES else "p256"
        self.name = "-".join(map(str, filter(None, (kind, n, layout))))


CASES = [Case("names", n) for n in (1, 100, 10000)] \
    + [Case("first", 1000, curve) for curve in CURVES] \
    + [Case("first", 10000, "p256")] \
    + [Case("start", n, "one") for n in (1, 1000, 10000)] \
    + [Case("start", n, "many") for n in (1000, 10000)] \
    + [Case("status", 10000)]


def name_of(i):
    return f"n{i}.{DOMAIN}"


class Server(Nginx):
    """side: autocert, stock (no certificates), files, variables, cached."""

    def __init__(self, root, side, n, layout="one", curve="p256"):
        self.side = side
        names = [name_of(i) for i in range(n)]
        blocks = [names] if layout == "one" else [[name] for name in names]
        modules = "".join(f"load_module {m};\n" for m in MODULES)
        dir = f"{root}/{side}-{n}-{layout}"
        os.makedirs(dir, exist_ok=True)

        super().__init__(dir, workers=1, conf=FRAME % {
            "modules": modules if side == "autocert" else "",
            "user": "root" if side in VARIABLES else "www-data",
            "http": OURS % {"root": root, "type": CURVES[curve]}
                    if side == "autocert" else
                    f"ssl_certificate_cache max={n};" if side == "cached"
                    else "",
            "servers": "".join(SERVER % {
                "names": "\n".join(block),
                "certificate": self.certificate(root, block)}
                for block in blocks)
                + (STATUS if side == "autocert" else "")})

    def certificate(self, root, block):
        if self.side == "autocert":
            return "autocert on;"
        if self.side == "stock":
            return "ssl_reject_handshake on;"
        name = "$ssl_server_name" if self.side in VARIABLES else block[0]
        return f"ssl_certificate {root}/files/{name}.pem;" \
            f"ssl_certificate_key {root}/files/{name}.key;"

    def command(self, *args):
        return pinned(cores()[1], super().command(*args))

    def all(self):
        return [self.master, *self.workers(), *self.helpers()]

    def settle(self):
        """Until nothing is done any more; when that was."""

        seen = [cpu(self.all()), time.monotonic()]

        def idle():
            now = cpu(self.all())
            if now - seen[0] > 0.001:
                seen[:] = now, time.monotonic()
            return time.monotonic() - seen[1] > IDLE

        wait_for(idle, 120, "an idle server")
        return seen[1]


def cores():
    """The client's and the server's."""

    found = sorted(os.sched_getaffinity(0))
    return found[:1], found[1:2] or found


def pss(pids):
    """KiB, what is shared divided among those who share it."""

    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += sum(int(line.split()[1]) for line in f
                         if line.startswith("Pss:"))
    return total


def make_pairs(root, n, curve="p256"):
    """In the store, and as files."""

    authority = Authority()
    os.makedirs(f"{root}/files", exist_ok=True)

    for i in range(n):
        pair = authority.issue(name_of(i), CURVES[curve])
        pair.store(f"{root}/store", name_of(i))
        pair.write(f"{root}/files/{name_of(i)}.pem",
                   f"{root}/files/{name_of(i)}.key")


def client(n, *options):
    done = subprocess.run(
        pinned(cores()[0], [CLIENT, "-p", "443", "-n", DOMAIN, "-m", str(n),
                            *map(str, options)]),
        stdout=subprocess.PIPE, text=True, timeout=600)
    if done.returncode != 0:
        raise SystemExit(f"bench: the client failed: {done.stdout}")
    found = json.loads(done.stdout)
    found["rate"] = found["done"] / found["seconds"]
    return found


def measured(server, n, *options):
    before = cpu(server.all())
    found = client(n, *options)
    found["cpu"] = (cpu(server.all()) - before) / found["done"] * 1e6
    return found


def each_once(server, n):
    return measured(server, n, "-o", "-c", 1)


def storm(server, n):
    return measured(server, n, "-d", SECONDS, "-c", CONNECTIONS)


def run_names(root, case):
    """One server after the other: they are on the same port."""

    sides = {"one": ("autocert", 1), "autocert": ("autocert", case.n),
             "variables": ("variables", case.n)}

    if VERSION >= (1, 27, 4):
        sides["cached"] = ("cached", case.n)
    else:
        print(f"{'':24}left out: ssl_certificate_cache, not before NGINX "
              "1.27.4")

    runs = {side: [] for side in sides}

    for _ in range(PAIRS):
        for side, (kind, n) in sides.items():
            server = Server(root, kind, n)
            server.start(timeout=120)
            server.settle()
            each_once(server, n)
            runs[side].append(storm(server, n))
            server.stop("TERM")

    return runs


def run_first(root, case):
    runs = {"later": [], "first": [], "autocert": []}

    for _ in range(ROUNDS):
        server = Server(root, "autocert", case.n, curve=case.curve)
        server.start(timeout=120)
        server.settle()
        # what the first handshake of all takes is not a name's
        warm = case.n // 10
        each_once(server, warm)
        before = [pss(server.workers()), pss(server.helpers())]
        first = each_once(server, case.n)
        after = [pss(server.workers()), pss(server.helpers())]
        later = each_once(server, case.n)
        new = case.n - warm
        first["cpu"] = (first["cpu"] * case.n - later["cpu"] * warm) / new
        runs["first"].append(first)
        runs["later"].append(later)
        runs["autocert"].append({
            "worker": (after[0] - before[0]) / new,
            "helper": (after[1] - before[1]) / new})
        server.stop("TERM")

    return runs


def run_start(root, case):
    sides = ("stock", "autocert", "files") if case.layout == "many" \
        else ("stock", "autocert")
    runs = {side: [] for side in sides}

    for _ in range(ROUNDS):
        for side in sides:
            server = Server(root, side, case.n, case.layout)
            began, spent = time.monotonic(), children()
            server.start(timeout=300)
            ended = server.settle()
            found = {"start": cpu(server.all()) + children() - spent,
                     "wall": ended - began, "memory": pss(server.all()) / 1024}

            spent = cpu([server.master])
            server.reload(timeout=300)
            server.settle()
            found["reload"] = cpu(server.all()) - spent
            runs[side].append(found)
            server.stop("TERM")

    return runs


class Beside:
    """A request after the other on one connection; the longest took ms."""

    def __enter__(self):
        self.took, self.ended = 0, False
        self.thread = threading.Thread(target=self.ask)
        self.thread.start()
        return self

    def ask(self):
        there = http.client.HTTPConnection("127.0.0.1", timeout=10)
        while not self.ended:
            began = time.monotonic()
            there.request("GET", "/")
            there.getresponse().read()
            self.took = max(self.took, (time.monotonic() - began) * 1e3)

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()


def status(form):
    """By a program: this one's threads are not to wait for each other."""

    subprocess.run(["curl", "-sf", "-o", "/dev/null",
                    f"http://127.0.0.1/status?format={form}"], check=True,
                   timeout=60)


def run_status(root, case):
    runs = {"idle": [], "status": [], "autocert": []}
    server = Server(root, "autocert", case.n)
    server.start(timeout=120)
    server.settle()

    for _ in range(ROUNDS * 3):
        found = {}
        for form in ("json", "prometheus", "html"):
            status(form)
            before = cpu(server.workers())
            status(form)
            found[form] = (cpu(server.workers()) - before) * 1e3
        runs["autocert"].append(found)
        with Beside() as beside:
            time.sleep(0.2)
        runs["idle"].append({"pause": beside.took})
        with Beside() as beside:
            status("json")
            status("prometheus")
        runs["status"].append({"pause": beside.took})

    server.stop("TERM")
    return runs


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(cases, dir, results):
    root = f"{dir}/names"

    for curve in {case.curve for case in cases}:
        make_pairs(f"{root}-{curve}", max(case.n for case in cases
                                          if case.curve == curve), curve)

    for case in cases:
        runs = globals()[f"run_{case.kind}"](f"{root}-{case.curve}", case)
        report(case.name, runs, METRICS, TARGETS, results)
