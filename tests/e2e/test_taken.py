"""A worker that is taken over: nobody but itself has harm of it."""

import struct
import time

import pytest

from support import proc, tls
from support.aside import NAME, serving
from support.nginx import BUILD, MODULES
from support.taken import PROT_ALL, take
from support.wait import wait_for


@pytest.fixture
def server(nginx, monkeypatch):
    monkeypatch.setattr("support.nginx.MODULES",
                        [*MODULES, f"{BUILD}/taken.so"])
    return serving(nginx, workers=2)


# memory


@pytest.mark.parametrize("byte", [0x01, 0x7f, 0xff])
def test_scribbles(server, byte):
    """
    All that it shares with others is written over, and then it dies: no
    master follows, a helper is started as ever, what is served is served.
    """

    server.allow("exited on signal 9")
    server.allow("shared memory zone")
    taken, other = take(server)
    master, helper = server.master, server.helper()

    taken.scribble(byte)
    server.signal("KILL", taken.pid)
    server.wait_log(f"worker process {taken.pid} exited")
    wait_for(lambda: len(set(server.workers()) - {taken.pid}) == 2, 10,
             "another worker")
    assert server.master == master and proc.alive(master)
    assert server.helper() == helper and other in server.workers()

    server.signal("KILL", helper)
    new = server.helper(other_than=[helper])
    server.wait_log(f"{new}#.*signing for worker process")
    assert tls.handshake(NAME).der == server.pair.der

    server.reload()
    assert tls.handshake(NAME).der == server.pair.der


def test_forged_starts(server):
    """
    What it writes where a helper looks for its own starts can make the next
    one wait, half a minute at most, and does not occupy it.
    """

    server.allow("exited on signal 9")
    server.allow("the helper was started")
    taken, other = take(server)
    helper = server.helper()
    now = int(time.time())
    forged = 0

    for at, size in taken.shared():
        taken.call("mprotect", at, size, PROT_ALL)
        if abs(struct.unpack("q", taken.get(at, 8))[0] - now) < 100:
            taken.put(struct.pack("6qQ", *[now] * 6, (1 << 64) - 1), at)
            forged += 1

    assert forged == 1
    server.signal("KILL", helper)
    server.wait_log("was started 7 times .* serves keys after 30000 ms")
    assert proc.alive(server.helper(other_than=[helper]))
