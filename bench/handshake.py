"""
Handshakes and requests against the same NGINX with ssl_certificate.

All servers are up all the time, the client goes to one after the other
(ABAB), each pair gives a ratio.  The table shows medians with their least and
greatest.  "waits" are the modules where workers wait for each signature.  CPU
is what the workers and the helper took, over what the client counted.  The
client has one core to itself, all of NGINX the other; where two workers serve
there is no free core, and the client competes with them.

Pairs during which other processes took more than OTHERS of a core are measured
again, up to TRIES times as many; of all, the least disturbed are taken.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import time

from support import stacks, tls
from support.certs import self_signed
from support.nginx import BUILD, MODULES, Nginx

from .common import CLIENT, CONNECTIONS, PAIRS, QUICK, SECONDS, Target, \
    cpu, find_target, pinned, print_row, spread

CURVES = {"p256": "secp256r1", "p384": "secp384r1"}
PORTS = {"stock": 8443, "autocert": 443}

# the modules where no handshake can be laid aside: what that is worth
if platform.machine() == "x86_64":
    PORTS["waits"] = 9443

SIDES = tuple(PORTS)
WAITS = {"LD_PRELOAD": f"{BUILD}/bench/waits.so"}

OTHERS = 0.1
TRIES = 1 if QUICK else 3

# requests beside a storm: so many a second, over so many connections, for so
# many times SECONDS, as what is rare is looked for; p99.9 is of the requests of
# all runs together, as one has too few
BESIDE_RATE = 200
BESIDE_CONNECTIONS = 20
BESIDE_LONGER = 2.5
BESIDE_LOAD = 0.6

# what a CA asks for, where nothing is pending
TOKEN = "/.well-known/acme-challenge/" + "A" * 43

CPU = ("cpu", "CPU us each")
RATE = ("rate", "per second")
P50, P99, P999 = ((p, f"{p} us") for p in ("p50", "p99", "p99.9"))
LABELS = dict([CPU, RATE, P50, P99, P999])


TARGETS = [
    Target("full-*-p256-1w", "rate", least=1.05, aim=1.2),
    Target("full-*-p384-1w", "rate", least=2.5, aim=3.2),
    Target("full-*-p256-2w", "rate", least=1.00),
    Target("full-*-p384-2w", "rate", least=2.2),
    Target("full-*-p256-*", "cpu", most=1.00, aim=0.9),
    Target("full-*-p384-*", "cpu", most=0.45, aim=0.36),
    Target("beside*", "p50", most=0.3),
    Target("beside*", "p99", most=0.6, aim=0.3),
    Target("beside*", "p99.9", most=1.0),
    Target("one-*-p256-*", "p50", most=50, plus=True),
    Target("one-*-p384-*", "p50", most=1.00),
    Target("resumed-*", "rate", least=1.00, noise=True),
    Target("resumed-*", "cpu", most=1.00, noise=True),
    Target("requests-*", "rate", least=1.00, noise=True),
    Target("requests-*", "cpu", most=1.00, noise=True),
]

FRAME = """
    %(modules)s
    worker_processes %(workers)d;
    user www-data;
    pid {dir}/nginx.pid;
    error_log {dir}/error.log warn;
    worker_rlimit_nofile 8192;
    events { worker_connections 4096; }
    http {
        access_log off;
        keepalive_requests 1000000000;
        ssl_protocols TLSv1.2 TLSv1.3;
        %(http)s
        %(servers)s
    }
"""

SERVER = """
        server {
            listen %(port)d ssl;
            server_name %(name)s;
            %(certificate)s
            location / { return 204; }
            location /.well-known/ { return 404; }
        }
"""


class Case:
    """run(servers) gives {metric: value} of one run against one side."""

    def __init__(self, kind, version, curve, workers=1):
        self.kind = kind
        self.version = version
        self.curve = curve
        self.workers = workers
        self.name = f"{kind}-{version}-{curve}-{workers}w"
        self.metrics = {"one": [P50, P99, CPU],
                        "beside": [P50, P99, P999],
                        "beside60": [P50, P99, P999]}.get(kind, [CPU, RATE])
        self.paced = None

    def client(self, server, *options, seconds=SECONDS, pace=()):
        return Client(server, "-n", name_of(self.curve), "-t", self.version,
                      "-d", str(seconds), *options, pace=pace)

    def storm(self, server, seconds=SECONDS, rate=None):
        paced = ["-r", f"{rate:.0f}"] if rate else []
        return self.client(server, "-c", str(CONNECTIONS), *paced,
                           seconds=seconds)

    def prepare(self, servers):
        """Both sides warm; the load that "beside60" means."""

        rate = {}
        for side in SIDES:
            rate[side] = self.storm(servers[side], min(SECONDS, 1)) \
                .result()["rate"]

        for side in SIDES:
            servers[side].prove_stacks()

        if self.kind == "beside60":
            self.paced = BESIDE_LOAD * rate["stock"]

    def run(self, server):
        if self.kind.startswith("beside"):
            return self.beside(server)

        options = {"full": ["-c", str(CONNECTIONS)],
                   "resumed": ["-c", str(CONNECTIONS), "-s"],
                   "requests": ["-c", str(CONNECTIONS), "-k"],
                   "flood-http": ["-c", str(CONNECTIONS), "-u", TOKEN],
                   "flood-alpn": ["-c", str(CONNECTIONS), "-a"],
                   "one": ["-c", "1"]}[self.kind]

        return self.client(server, *options).result()

    def beside(self, server):
        """
        The requests' client goes before the storm's on the core of both, or
        it would measure that it waits for it.
        """

        seconds = SECONDS * BESIDE_LONGER
        storm = self.storm(server, seconds, self.paced)
        requests = self.client(server, "-k", "-c", str(BESIDE_CONNECTIONS),
                               "-r", str(BESIDE_RATE), seconds=seconds - 0.1,
                               pace=["chrt", "-f", "10"])
        rate = storm.result()["rate"]
        return {**requests.result(), "storm": rate}


CASES = [Case("full", version, curve, workers)
         for workers in (1, 2) for version in ("1.3", "1.2")
         for curve in CURVES] \
    + [Case(kind, version, curve) for kind in ("one", "resumed", "requests")
       for version in ("1.3", "1.2") for curve in CURVES] \
    + [Case("flood-http", "1.3", "p256")] \
    + [Case("flood-alpn", version, "p256") for version in ("1.3", "1.2")] \
    + [Case(kind, version, "p384", workers)
       for workers in (1, 2) for kind in ("beside", "beside60")
       for version in ("1.3", "1.2")]


class Server(Nginx):
    """On cores of its own; cpu() is what its workers and helper took, in s."""

    def __init__(self, dir, side, cores, workers, pairs, more=""):
        self.side = side
        self.more = more
        self.port = PORTS[side]
        self.cores = cores
        self.dir = dir
        os.makedirs(dir)
        super().__init__(dir, conf=self.configuration(workers),
                         workers=workers,
                         env=WAITS if side == "waits" else None)

        for curve, pair in pairs.items():
            if side == "stock":
                pair.write(f"{dir}/{curve}.pem", f"{dir}/{curve}.key")
            else:
                pair.store(f"{dir}/store", name_of(curve))

    def configuration(self, workers):
        modules, http, own = "", "", """
            ssl_certificate {dir}/%(curve)s.pem;
            ssl_certificate_key {dir}/%(curve)s.key;"""

        if self.side != "stock":
            # copies: a build meanwhile would write into what is mapped
            modules = "".join(f"load_module {shutil.copy(m, self.dir)};\n"
                              for m in MODULES)

            # nobody is there, and nobody is needed: the pairs are fresh
            http = """
        autocert_path {dir}/store;
        autocert_ca https://127.0.0.1:1/directory;
        autocert_resolver 127.0.0.1;"""
            own = "autocert on; autocert_key_type %(kind)s;"

        servers = "".join(
            SERVER % {"port": self.port, "name": name_of(curve),
                      "certificate": own % {"curve": curve, "kind": kind}}
            for curve, kind in CURVES.items())

        return FRAME % {"modules": modules, "workers": workers,
                        "http": http + self.more, "servers": servers}

    def command(self, *args):
        return pinned(self.cores, super().command(*args))

    def cpu(self):
        return cpu(self.workers() + self.helpers())

    def prove(self, curve, version, pair):
        """The load client takes signatures unseen: here they are verified."""

        peer = tls.handshake(name_of(curve), self.port, root=pair.pem,
                             version=getattr(tls, "TLS" + version.replace(
                                 ".", "")))
        assert peer.der == pair.der, f"{self.side}: not its certificate"

    def prove_stacks(self):
        """After a storm: handshakes are laid aside by autocert alone."""

        found = sum(len(stacks.find(pid)) for pid in self.workers())
        if bool(found) != (self.side == "autocert"):
            raise SystemExit(f"bench: {self.side}: {found} stacks of "
                             "handshakes that are laid aside")


class Client:
    """A load client that runs; result() waits for it."""

    cores = []
    timeout = 60 + 10 * SECONDS

    def __init__(self, server, *options, pace=()):
        self.server = server
        self.began = Machine(server)
        self.process = subprocess.Popen(
            pinned(self.cores, [*pace, CLIENT, "-p", str(server.port),
                                *options]),
            stdout=subprocess.PIPE, text=True)

    def result(self):
        out, _ = self.process.communicate(timeout=self.timeout)
        took = Machine(self.server) - self.began
        if self.process.returncode != 0:
            raise SystemExit(f"bench: {self.server.side}: the client failed: "
                             f"{out}\n{self.server.log()[-2000:]}")

        found = json.loads(out)
        found["rate"] = found["done"] / found["seconds"]
        found["cpu"] = took.server / found["done"] * 1e6
        found["server"] = took.server / took.elapsed
        found["client"] = took.client / took.elapsed
        found["others"] = max(0, took.busy - took.server - took.client) \
            / took.elapsed
        return found


class Machine:
    """Seconds so far: of the clock, the cores, the server, all clients."""

    def __init__(self, server):
        self.elapsed = time.monotonic()
        self.server = server.cpu()
        self.client = sum(os.times()[2:4])
        with open("/proc/stat") as f:
            user, nice, system, _, _, irq, softirq, steal = map(
                int, f.readline().split()[1:9])
        self.busy = (user + nice + system + irq + softirq + steal) \
            / os.sysconf("SC_CLK_TCK")

    def __sub__(self, other):
        found = object.__new__(Machine)
        for key, value in vars(self).items():
            setattr(found, key, value - getattr(other, key))
        return found


def name_of(curve):
    return f"{curve}.example.com"


def summary(case, runs):
    """
    {metric: {side: spread, ...}}, of each pair's ratio and difference as well.
    """

    found = {}
    for metric, _ in case.metrics:
        stock = [run[metric] for run in runs["stock"]]
        found[metric] = {"stock": spread(stock)}
        for side in SIDES[1:]:
            values = [run[metric] for run in runs[side]]
            found[metric][side] = spread(values)
            found[metric][f"{side}/stock"] = spread(
                [a / b for a, b in zip(values, stock)])
            found[metric][f"{side}-stock"] = spread(
                [a - b for a, b in zip(values, stock)])

    if case.kind.startswith("beside"):
        pool(found["p99.9"], runs)
    return found


def pool(values, runs):
    """In place of the medians of runs: p99.9 of all their requests."""

    for side in SIDES:
        done = sum(run["done"] for run in runs[side])
        slowest = sorted((us for run in runs[side] for us in run["slowest"]),
                         reverse=True)
        values[side]["median"] = slowest[done - 1 - int(done * 0.999)]

    for side in SIDES[1:]:
        values[f"{side}/stock"]["median"] = \
            values[side]["median"] / values["stock"]["median"]


def print_case(case, result, marks):
    for metric, label in case.metrics:
        print_row(case.name, label, result["summary"][metric], SIDES,
                  find_target(TARGETS, case.name, metric), marks,
                  first=metric == case.metrics[0][0])

    if case.kind in ("full", "beside") \
            and result["server"] < 0.9 and case.workers == 1:
        print(f"{'':24}not saturated: {result['server']:.2f} of its core")
    if result["client"] > 0.9:
        print(f"{'':24}the client was busy {result['client']:.0%} of the time")
    if result["others"] > OTHERS:
        print(f"{'':24}other processes took {result['others']:.2f} of a core")


def measure(case, servers):
    case.prepare(servers)
    rounds = []

    def disturbed(round):
        return max(run["others"] for run in round.values())

    while len(rounds) < PAIRS * TRIES \
            and sum(disturbed(r) < OTHERS for r in rounds) < PAIRS:
        rounds.append({side: case.run(servers[side]) for side in SIDES})

    best = sorted(rounds, key=disturbed)[:PAIRS]
    every = [run for round in best for run in round.values()]
    runs = {side: [round[side] for round in best] for side in SIDES}

    shares = {who: statistics.median(run[who] for run in every)
              for who in ("server", "client", "others")}

    return {"summary": summary(case, runs), "runs": runs,
            "tried": len(rounds), **shares}


def run(cases, dir, results):
    pairs = {curve: self_signed(name_of(curve), kind)
             for curve, kind in CURVES.items()}
    all_cores = sorted(os.sched_getaffinity(0))

    for workers in sorted({case.workers for case in cases}):
        free = workers < len(all_cores)
        Client.cores = all_cores[:1] if free else all_cores
        cores = all_cores[1:1 + workers] if free else all_cores
        servers = {}

        try:
            for side in SIDES:
                servers[side] = Server(f"{dir}/{side}-{workers}", side, cores,
                                       workers, pairs)
                servers[side].start()

            for case in cases:
                if case.workers != workers:
                    continue
                for server in servers.values():
                    server.prove(case.curve, case.version, pairs[case.curve])
                result = measure(case, servers)
                results["cases"][case.name] = result
                print_case(case, result, results["marks"])

            for server in servers.values():
                server.check_log()
        finally:
            for server in servers.values():
                server.stop("TERM")
