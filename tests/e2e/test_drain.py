"""Old cycles that drain for as long as their clients like, beside stock's."""

import socket

import pytest

from support import proc, tls
from support.beside import OURS, STOCK
from support.certs import self_signed
from support.engine import some
from support.nginx import ASAN
from support.shaking import Shaking
from support.wait import wait_for

NAMES = [f"n{n}.example.com" for n in range(200)]
MOST = 2048             # KiB that a cycle costs more than stock's

HTTP = """
    server_names_hash_max_size 8192;
"""

CA = """
    autocert_path {dir}/store;
    autocert_ca https://127.0.0.1:1/directory;
    autocert_resolver 127.0.0.1;
    autocert_key_type secp256r1;
"""

SERVER = """
    server {
        listen %d ssl;
        server_name %s;
        %s
        root {dir};
        limit_rate 100;
    }
"""


def serve(nginx, port, names):
    ours = port == OURS
    http = HTTP + (CA if ours else "")
    for name in names:
        http += SERVER % (
            port, name,
            "autocert on;" if ours else "ssl_certificate {dir}/%s.pem;"
            "ssl_certificate_key {dir}/%s.key;" % (name, name))

    server = nginx(http, modules=ours, workers=1, log_level="notice")
    for name in names:
        pair = self_signed(name)
        if ours:
            pair.store(f"{server.dir}/store", name)
        else:
            pair.write(f"{server.dir}/{name}.pem", f"{server.dir}/{name}.key")
    with open(f"{server.dir}/long", "w") as f:
        f.write("x" * 1000000)
    return server.start()


def cost(server):
    """KiB of all its processes, what is shared divided among who shares it."""

    kib = 0
    for pid in server.processes():
        with open(f"/proc/{pid}/smaps_rollup") as f:
            kib += sum(int(line.split()[1]) for line in f
                       if line.startswith("Pss:"))
    return kib


def leaves(pid):
    return "shutting down" in proc.title(pid)


class Cycle:
    """One that has served all names, left behind by a reload."""

    def __init__(self, server, port, names):
        for name in names:
            tls.handshake(name, port=port)
        self.worker, = server.workers()
        self.helpers = [p for p in server.helpers() if not leaves(p)]
        assert len(self.helpers) == server.modules

        # a handshake that has just begun, and a download that takes hours
        self.late = Shaking(NAMES[1], port=port)
        self.rest = self.late.flight()
        self.late.sock.sendall(self.rest[:3])
        self.download = tls.client_context().wrap_socket(
            socket.create_connection(("127.0.0.1", port), 30),
            server_hostname=NAMES[0])
        self.download.sendall(f"GET /long HTTP/1.1\r\nHost: {NAMES[0]}\r\n\r\n"
                              .encode())
        assert self.download.recv(100).startswith(b"HTTP/1.1 200")

        server.reload()
        wait_for(lambda: all(map(leaves, [self.worker, *self.helpers])), 30,
                 "told to leave")

    def finish(self):
        """The handshake, at last; the download goes on."""

        self.late.sock.sendall(self.rest[3:])
        self.late.finish()
        self.late.close()


@pytest.mark.limit(300)
@pytest.mark.parametrize("n", some([5, 20], 5))
def test_old_cycles(nginx, measured, n):
    old_cycles(nginx, measured, n, NAMES[:20])


@pytest.mark.deep
@pytest.mark.limit(300)
def test_old_cycles_of_many_names(nginx, measured):
    old_cycles(nginx, measured, 5, NAMES)


def old_cycles(nginx, measured, n, names):
    """
    Each keeps a worker and its helper, which signs, holds no lock, and leaves
    with the worker.
    """

    cycles, more = {}, {}

    for port in OURS, STOCK:
        server = serve(nginx, port, names)
        for name in names:
            tls.handshake(name, port=port)
        before = cost(server)
        cycles[server] = [Cycle(server, port, names) for _ in range(n)]
        for name in names:
            tls.handshake(name, port=port)
        more[port] = (cost(server) - before) / n

    measured(f"{n} old cycles of {len(names)} names, KiB each",
             f"ours {more[OURS]:.0f}, stock's {more[STOCK]:.0f}")

    for server, old in cycles.items():
        assert len(server.processes()) == 2 + n + server.modules * (1 + n)
        for cycle in old:
            cycle.finish()
            assert not any(map(proc.locks, cycle.helpers))
            cycle.download.close()
            server.wait_gone([cycle.worker, *cycle.helpers])
        assert len(server.processes()) == 2 + server.modules

    assert ASAN or more[OURS] < more[STOCK] + MOST
