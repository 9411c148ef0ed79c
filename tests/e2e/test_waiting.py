"""
Handshakes that cannot be laid aside: the worker waits for the helper, but
not for long.  Here no stack can be had (nostack.c); HTTP/3 and shadow stacks
lead to the same place.
"""

import ssl

import pytest

from support import tls
from support.aside import (NAME, UNSIGNED, Stopped, configured, quiet,
                           stacks)
from support.nginx import BUILD
from support.wait import wait_for

VERSIONS = [tls.TLS12, tls.TLS13]
NONE = "no memory for the stack of a handshake"


@pytest.fixture
def server(nginx):
    server = configured(nginx, env={"LD_PRELOAD": f"{BUILD}/nostack.so"})
    server.allow(NONE)
    server.allow(UNSIGNED)
    yield server.start()
    # of each worker once a minute, however many handshakes there were
    assert 1 <= len(server.grep(NONE)) <= 4
    assert stacks(server) == 0


def serves(server, version=None):
    try:
        return tls.handshake(NAME, version=version).der == server.pair.der
    except (OSError, ssl.SSLError):
        return False


@pytest.mark.parametrize("version", VERSIONS)
def test_waits(server, version):
    with tls.HandshakeStream(NAME, threads=3, version=version) as stream:
        stream.wait(30)
        server.reload()
        stream.wait(30)

    assert stream.failures == []
    assert list(stream.certificates) == [server.pair.der]
    assert tls.fetch(NAME)[2] == b"hello\n"
    quiet()


@pytest.mark.parametrize("version", VERSIONS)
def test_not_for_long(server, version):
    """The worker goes on, helper or not, and so do handshakes with it."""

    worker = server.workers()
    assert serves(server, version)

    with Stopped(server, pace=1):
        for _ in range(10):
            assert not serves(server, version)
        assert tls.fetch(NAME, port=8080, tls=False)[2] == b"plain\n"

    wait_for(lambda: serves(server, version), 10, "served again")
    quiet()
    assert server.workers() == worker


def test_helper_dies(server):
    server.allow("exited on signal 9")
    worker = server.workers()
    assert serves(server)

    helper = server.helper()
    server.signal("KILL", helper)
    server.helper(other_than=[helper])

    wait_for(lambda: serves(server), 10, "served again")
    assert server.workers() == worker
