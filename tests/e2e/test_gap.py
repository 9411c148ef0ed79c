"""Handshakes while the helper is replaced, and while there is none."""

import re
import socket
import ssl
import subprocess
import threading

import pytest

from support import proc, tls
from support.certs import self_signed
from support.clock import Clock
from support.wait import wait_for

HTTP = """
    autocert_path {dir}/store;
    server {
        listen 443 ssl;
        server_name example.com;
        autocert on;
    }
"""


@pytest.fixture
def server(nginx):
    server = nginx(HTTP)
    server.pair = self_signed("example.com", "secp384r1")
    server.pair.store(f"{server.dir}/store", "example.com")
    server.allow(r"autocert helper \d+ exited on signal 9")
    return Clock.slow(server)


@pytest.mark.limit(300)
def test_reloads_and_kills_under_handshakes(server):
    """
    Twenty reloads and five deaths of the helper, while clients without
    retry do one full handshake after the other: none fails.
    """

    server.start()
    seen = [server.helper()]

    with tls.HandshakeStream("example.com", threads=3) as stream:
        stream.wait(30)

        for n in range(20):
            server.reload()
            seen.append(server.helper(timeout=30, other_than=seen))
            stream.wait(10)

            if n % 4 == 3:
                server.signal("KILL", seen[-1])
                seen.append(server.helper(other_than=seen))
                stream.wait(10)

        stream.wait(30)

    assert stream.failures == []
    assert list(stream.certificates) == [server.pair.der]
    assert len(set(seen)) == 26
    assert len(server.grep("exited on signal 9")) == 5


class Waiting:
    """A handshake in a thread: done, der, error."""

    def __init__(self, version):
        self.der = self.error = None
        self.version = version
        self.sent = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls.client_context(self.version).wrap_bio(
            into, out, server_hostname="example.com")

        try:
            with socket.create_connection(("127.0.0.1", 443), 20) as self.raw:
                while self.der is None:
                    try:
                        client.do_handshake()
                        self.der = client.getpeercert(binary_form=True)
                    except ssl.SSLWantReadError:
                        self.raw.sendall(out.read())
                        self.sent.set()
                        data = self.raw.recv(65536)
                        assert data, "closed by the server"
                        into.write(data)
        except Exception as e:
            self.error = e
        finally:
            self.sent.set()

    def taken(self):
        """The server has read all that was sent."""

        port = f":{self.raw.getsockname()[1]:04X}"
        with open("/proc/net/tcp") as f:
            for line in f:
                field = line.split()
                if field[2].endswith(port) and field[9] != "0":
                    return field[4].endswith(":00000000")
        return False

    @property
    def over(self):
        return self.der is not None or self.error is not None


@pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13])
def test_handshake_waits_across_the_gap(server, version):
    """
    The master stands still, so that the helper that dies has no successor:
    a handshake begun now is taken by a worker and waits, and is done when
    the master goes on.
    """

    server.start()
    old = server.helper()
    peer = tls.handshake("example.com", version=version)
    assert peer.der == server.pair.der

    server.signal("STOP")
    try:
        server.signal("KILL", old)
        wait_for(lambda: server.helpers() == [], 10, "no helper")

        waiting = Waiting(version)
        assert waiting.sent.wait(10)
        wait_for(waiting.taken, 10, "read by a worker")

        assert server.helpers() == []
        assert not waiting.over, waiting.error
    finally:
        server.signal("CONT")

    waiting.thread.join(20)
    assert waiting.error is None
    assert waiting.der == server.pair.der
    assert server.helper() != old


def test_no_helper_for_long(server):
    """
    Nobody waits for ever for a helper that does not come; and when it comes,
    the same workers serve again.
    """

    server.start()
    old, workers = server.helper(), server.workers()

    server.signal("STOP")
    try:
        server.signal("KILL", old)
        wait_for(lambda: server.helpers() == [], 10, "no helper")

        server.clock.pace(1)
        with pytest.raises((OSError, ssl.SSLError)):
            tls.handshake("example.com", timeout=20)

        assert proc.alive(workers[0]) and proc.alive(workers[1])
    finally:
        server.signal("CONT")

    server.helper()

    def serves():
        try:
            return tls.handshake("example.com").der == server.pair.der
        except OSError:
            return False

    wait_for(serves, 20, "served again")
    assert server.workers() == workers


def descriptors(worker, n):
    """How many it may have; by one of its own user, whom it can't refuse."""

    subprocess.run(["setpriv", "--reuid", "www-data", "--regid", "www-data",
                    "--clear-groups", "prlimit", "--pid", str(worker),
                    f"--nofile={n}:"], check=True)


def test_no_descriptor_for_a_channel(server):
    """It is tried again and again, and told at once and once a minute."""

    server.start()
    old, workers = server.helper(), server.workers()
    mark = server.mark()

    # else NGINX's own channel would bring them what they have no place for
    server.signal("STOP")
    try:
        for worker in workers:
            descriptors(worker, 3)

        server.signal("KILL", old)

        # two minutes in six seconds
        with server.clock.paced(20):
            for worker in workers:
                told = rf"{worker}#.*autocert: .*Too many open files"
                wait_for(lambda: len(server.grep(told, mark)) >= 3, 60, "told")

        for worker in workers:
            descriptors(worker, 512)
    finally:
        server.signal("CONT")

    for worker in workers:
        tries = [int(n) for n in re.findall(
            rf"{worker}#.*could not be reached, tried (\d+)",
            server.log(mark))]
        assert tries[0] == 1
        assert min(tries[1:]) > 50, tries

    wait_for(lambda: len(server.grep("signing for worker", mark)) >= 2, 20,
             "both workers have a channel")
    assert tls.handshake("example.com").der == server.pair.der
    assert server.workers() == workers
