"""A worker that is taken over: nobody but itself has harm of it."""

import socket
import struct
import time

import pytest

from support import proc, tls
from support.aside import NAME, Stopped, serving
from support.nginx import BUILD, MODULES
from support.taken import PROT_ALL, chain, command, take
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


# NGINX's own channel to the helper, whose master's end all workers have

QUIT, TERMINATE, REOPEN, OPEN, CLOSE = 3, 4, 5, 1, 2

ORDERS = {
    "quit": (command(QUIT), 0),
    "terminate": (command(TERMINATE), 0),
    "reopen": (command(REOPEN), 0),
    "close": (command(CLOSE), 0),
    "no descriptor": (command(OPEN), 0),
    "descriptors": (command(OPEN), 8),
    "descriptors that nobody wants": (command(QUIT), 200),
    "short": (b"\3", 0),
    "garbage": (b"\xff" * 300, 0),
}


@pytest.mark.parametrize("order", ORDERS)
def test_commands(server, order):
    """
    The helper goes by its master alone.  That uses signals from then on, of
    which NGINX has something to say.
    """

    data, descriptors = ORDERS[order]
    server.allow("wrote to the helper's channel")
    server.allow(r"sendmsg\(\) failed \(32: Broken pipe\)")
    taken, other = take(server)
    helper = server.helper()
    before = len(proc.descriptors(helper))

    taken.send(taken.channel_of(helper), data, [taken.fd] * descriptors)
    server.wait_log(f"{helper}#.*process {taken.pid} wrote to the helper's")
    assert len(proc.descriptors(helper)) == before
    check_orders(server, taken, other, helper)


def test_commands_out_of_band(server):
    server.allow("wrote to the helper's channel")
    server.allow(r"sendmsg\(\) failed \(32: Broken pipe\)")
    taken, other = take(server)
    helper = server.helper()

    taken.call("send", taken.channel_of(helper), b"!", 1, socket.MSG_OOB)
    server.wait_log(f"{helper}#.*process {taken.pid} wrote to the helper's")
    check_orders(server, taken, other, helper)


def test_commands_shut(server):
    """Nothing was written: it can't be told from the end of the master."""

    server.allow(r"sendmsg\(\) failed \(32: Broken pipe\)")
    taken, other = take(server)
    helper = server.helper()

    taken.call("shutdown", taken.channel_of(helper), socket.SHUT_RDWR)
    check_orders(server, taken, other, helper)


def test_commands_behind(server):
    """What the master has said before the helper looked is not lost."""

    server.allow("wrote to the helper's channel")
    server.allow(r"sendmsg\(\) failed \(32: Broken pipe\)")
    taken, other = take(server)
    helper = server.helper()
    channel = taken.channel_of(helper)

    server.signal("STOP", helper)
    wait_for(lambda: proc.stat(helper)[0] == "T", 5, "stopped")
    for _ in range(3):
        taken.send(channel, command(OPEN), [taken.fd])
    mark = server.mark()
    server.signal("USR1")
    server.wait_log("reopening logs", since=mark)
    server.signal("CONT", helper)

    server.wait_log(f"{helper}#.*process {taken.pid} wrote to the helper's")
    server.wait_log(f"{helper}#.*reopening logs")


def check_orders(server, taken, other, helper):
    """It serves, and does what the master wants: reopens, drains, leaves."""

    assert tls.handshake(NAME).der == server.pair.der
    assert not server.grep(f"{helper}#.*(reopening|exiting|until they have)")
    assert server.helper() == helper

    server.signal("USR1")
    server.wait_log(f"{helper}#.*reopening logs")
    assert server.helper() == helper

    server.reload()
    new = server.helper(timeout=20, other_than=[helper])
    server.wait_gone([taken.pid, other, helper])
    server.wait_log(f"{helper}#.*workers until they have left")
    assert tls.handshake(NAME).der == server.pair.der
    assert server.helper() == new


# descriptors whose close takes a minute


def refused(taken, slow):
    return [(taken.door(), b"x", [slow])]


def more_than_are_taken(taken, slow):
    return [(taken.door(), taken.hello(), [slow] * 200)]


def with_a_question(taken, slow):
    return [(taken.ready(), chain(), [slow])]


def left_in_a_channel(taken, slow):
    channel = taken.ready()
    return [(channel, b"x", []), (channel, chain(), [slow])]


def brought_in_a_channel(taken, slow):
    """One that is refused: what is in it goes with it."""

    ours, theirs = taken.pair()
    return [(ours, b"x", [slow]), (taken.door(), taken.hello(1), [theirs])]


def brought_too_often(taken, slow):
    """Their process has channels enough."""

    ours, theirs = taken.pair()
    return [(ours, b"x", [slow]), (taken.door(), taken.hello(), [theirs])] * 9


@pytest.mark.parametrize("way", [refused, more_than_are_taken, with_a_question,
                                 left_in_a_channel, brought_in_a_channel,
                                 brought_too_often])
def test_slow_to_close(server, way):
    """The clock, the store, the CA wait for none of them, nor does a stop."""

    server.allow("no channel to the door|no channel for worker process")
    server.allow("its channel is closed")
    taken, other = take(server)
    helper = server.helper()

    with socket.create_server(("127.0.0.1", 9999)):
        slow = taken.lingering(9999)
        said = way(taken, slow)
        ours = {slow, *[fd for fd, _, _ in said],
                *[fd for _, _, fds in said for fd in fds]}

        # or who closes first would not be the last, and have the waiting
        with Stopped(server):
            for fd, data, fds in said:
                taken.send(fd, data, fds)
            for fd in ours - {taken.door()}:
                taken.call("close", fd)

        assert tls.handshake(NAME).der == server.pair.der
        server.signal("USR1")
        server.wait_log(f"{helper}#.*reopening logs")

        server.signal("TERM", helper)
        new = server.helper(other_than=[helper])
        server.wait_log(f"{new}#.*signing for worker process {other}")
        assert tls.handshake(NAME).der == server.pair.der


# the door and the channels


def test_door_shut(server):
    """What it can do: nobody comes any more, and it is said how to mend it."""

    server.allow("has shut the door")
    taken, other = take(server)
    helper = server.helper()

    taken.call("shutdown", taken.door(), socket.SHUT_RDWR)
    server.wait_log(f"{helper}#.*has shut the door")
    assert tls.handshake(NAME).der == server.pair.der

    server.reload()
    new = server.helper(timeout=20, other_than=[helper])
    server.wait_log(f"{new}#.*signing for worker process")
    assert tls.handshake(NAME).der == server.pair.der
