"""
Hundreds of connections that make trouble (tests/hostile) beside correct
ones, while the helper is killed and stopped and NGINX reloaded: no correct
handshake fails, nothing is left behind.

HOSTILE_SECONDS (10) says for how long; E2E_ASAN has ASan look on.
"""

import os
import random
import re
import subprocess
import time

import pytest

from support import proc, tls
from support.certs import self_signed
from support.nginx import ASAN, BUILD
from support.wait import wait_for

pytestmark = pytest.mark.deep

SECONDS = int(os.environ.get("HOSTILE_SECONDS", "10"))
CONNECTIONS = 500
NAMES = {"p256.example.com": "secp256r1", "p384.example.com": "secp384r1"}

MAIN = "worker_rlimit_nofile 8192; worker_shutdown_timeout 30s;"

HTTP = """
    resolver 127.0.0.1;
    autocert_ca https://127.0.0.1:9/dir;
    autocert_path {dir}/store;
    client_header_timeout 3s;
    access_log off;
    server {
        listen 127.0.0.1:8080;
        location /status { stub_status; }
    }
    server {
        listen 443 ssl;
        listen [::]:80;
        server_name p256.example.com;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
    server {
        listen 443 ssl;
        server_name p384.example.com;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""

# what the troublemakers bring about by themselves, and the kills
NOISE = (r"SSL_do_handshake\(\) failed", r"exited on signal 9",
         r"peer closed connection in SSL handshake",
         r"SSL_read\(\) failed",
         # NGINX's own: connections and their events, a ring
         r"SUMMARY: AddressSanitizer: \d+ byte\(s\) leaked in 3 allocation")


class Hostile:
    def __init__(self, seconds, seed):
        self.seconds = seconds
        self.process = subprocess.Popen(
            [f"{BUILD}/hostile", "443", str(CONNECTIONS), str(seconds),
             str(seed), *NAMES], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def running(self):
        return self.process.poll() is None

    def finish(self):
        said = self.process.communicate(timeout=self.seconds + 60)[0]
        assert self.process.returncode == 0, said
        numbers = dict((what, int(n)) for n, what in
                       re.findall(r"(\d+) ([a-z ]+)", said))
        assert numbers["cut off"] and numbers["answers"], said
        assert numbers["finished"] and not numbers["refused"], said
        return said


def status():
    body = tls.fetch("localhost", "/status", port=8080, tls=False)[2].decode()
    return int(re.search(r"Active connections: (\d+)", body).group(1))


def memory(pid):
    """(descriptors, KiB of its own)"""

    with open(f"/proc/{pid}/smaps_rollup") as f:
        text = f.read()
    return (len(os.listdir(f"/proc/{pid}/fd")),
            sum(int(n) for n in re.findall(r"Private_\w+: +(\d+)", text)))


def with_pause(server, seconds):
    """The helper stands still for a while: what a busy machine does."""

    helper = server.helper(timeout=60)
    server.signal("STOP", helper)
    time.sleep(seconds)
    server.signal("CONT", helper)


def trouble(server, dice, hostile, stream):
    """Reloads, kills and stops of the helper, in any order."""

    killed = 0
    old = []

    while hostile.running():
        what = dice.choice(["reload", "kill", "stop", "wait"])

        if what == "reload":
            old += server.workers()
            server.reload(timeout=60)
            server.helper(timeout=60)

        # more often, and it is taken for a helper that dies at once
        elif what == "kill" and time.monotonic() - killed > 15:
            helper = server.helper(timeout=60)
            server.signal("KILL", helper)
            server.helper(other_than=[helper])
            killed = time.monotonic()

        elif what == "stop":
            with_pause(server, dice.random() / 2)

        stream.wait(10)

    return old


def settled(server):
    """Only the connection that asks is left, and the workers of now."""

    wait_for(lambda: set(server.workers(leaving=True))
             == set(server.workers()), 60, "old workers gone")
    wait_for(lambda: status() == 1, 30, lambda: f"one, not {status()}")


@pytest.mark.limit(SECONDS * 2 + 300)
def test_hostile(nginx):
    dice = random.Random(int(os.environ.get("HOSTILE_SEED", "1")))

    server = nginx(HTTP, MAIN, log_level="warn", leaks=True)
    for pattern in NOISE:
        server.allow(pattern)
    with open(server.conf_path) as f:
        conf = f.read()
    with open(server.conf_path, "w") as f:
        f.write(conf.replace("worker_connections 256",
                             "worker_connections 2048"))

    for name, curve in NAMES.items():
        self_signed(name, curve).store(f"{server.dir}/store", name)
    server.start()

    one, two = NAMES
    with tls.HandshakeStream(one, version=tls.TLS13, timeout=30) as stream, \
            tls.HandshakeStream(two, timeout=30) as other:
        hostile = Hostile(SECONDS, 1)
        old = trouble(server, dice, hostile, stream)
        print(hostile.finish())
        stream.wait(20, 60)
        other.wait(20, 60)

    assert not stream.failures
    assert not other.failures
    print(f"{stream.done} + {other.done} correct, slowest {stream.slowest:.2f}"
          f" and {other.slowest:.2f} s; {len(old)} workers replaced")
    settled(server)

    # the same processes now from beginning to end: what do they keep?

    processes = server.workers() + server.helpers()
    hostile = Hostile(max(SECONDS // 20, 5), 2)
    time.sleep(1)
    # all of them wait at a time: no more stacks will ever be needed
    with_pause(server, 1.5)
    hostile.finish()
    settled(server)
    before = {pid: memory(pid) for pid in processes}

    Hostile(max(SECONDS // 10, 5), 3).finish()
    settled(server)
    after = {pid: memory(pid) for pid in processes}

    for pid in processes:
        assert proc.alive(pid)
        assert after[pid][0] <= before[pid][0] + 2, (before, after)
        # freed blocks are kept a while by ASan
        if not ASAN:
            assert after[pid][1] < before[pid][1] + 3000, (before, after)

    print(before, after)
    for name in NAMES:
        assert tls.fetch(name)[2] == b"hello\n"
