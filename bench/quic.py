"""
Handshakes of QUIC, with a request each.

    quic-1.3-C  curve of the certificate; one at a time, as the client (aioquic)
                takes longer than the server: so there is CPU alone.  A worker
                waits for a signature here.  Where NGINX has no HTTP/3, or
                aioquic is not there, the cases are left out
"""

import os
import time

from support import quic
from support.certs import self_signed

from .common import PAIRS, SECONDS, report
from .handshake import CURVES, Server, name_of

METRICS = {"cpu": ("CPU us each", 0)}
LABELS = {metric: label for metric, (label, _) in METRICS.items()}
TARGETS = []


class Case:
    def __init__(self, curve):
        self.curve = curve
        self.name = f"quic-1.3-{curve}"


CASES = [Case(curve) for curve in CURVES]


class Quic(Server):
    def configuration(self, workers):
        listen = f"listen {self.port} ssl;"
        return super().configuration(workers).replace(
            listen, f"{listen} listen {self.port} quic;")


def handshakes(server, case):
    spent, until, n = server.cpu(), time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        quic.get(name_of(case.curve), port=server.port)
        n += 1
    return {"cpu": (server.cpu() - spent) / n * 1e6}


def run(cases, dir, results):
    if not quic.had():
        print(f"{cases[0].name:24}left out: NGINX without HTTP/3, or no "
              "aioquic")
        return

    pairs = {curve: self_signed(name_of(curve), kind)
             for curve, kind in CURVES.items()}
    all_cores = sorted(os.sched_getaffinity(0))
    servers = {side: Quic(f"{dir}/quic-{side}", side,
                          all_cores[1:2] or all_cores, 1, pairs)
               for side in ("stock", "autocert")}
    try:
        for server in servers.values():
            server.start()
        os.sched_setaffinity(0, all_cores[:1])
        for case in cases:
            runs = {side: [] for side in servers}
            for _ in range(PAIRS):
                for side, server in servers.items():
                    runs[side].append(handshakes(server, case))
            report(case.name, runs, METRICS, TARGETS, results)
    finally:
        os.sched_setaffinity(0, all_cores)
        for server in servers.values():
            server.stop("TERM")
