"""The wall clock is set, forward and back, while all goes on."""

import time

import pytest

from support import tls
from support.engine import (DAY, conf, failed, failures, issued, restart,
                            settled, state, waits)
from support.proxy import window
from support.wait import wait_for

LIFE = 90 * DAY


@pytest.fixture
def ca(proxy):
    return proxy(validity=LIFE)


def step(server, clock, ahead):
    """It is seen at the next look, within a minute."""

    by = int(ahead) - clock.ahead
    mark = server.mark()
    clock.set(ahead)
    clock.skip(server, 61)
    line = server.wait_log("the clock was set [0-9]+ s (ahead|back)", 30,
                           since=mark)
    settled(server)
    assert "[notice]" in line
    words = line.split("the clock was set ")[1].split()
    assert abs(int(words[0]) - abs(by)) < 5
    assert words[2].rstrip(",") == ("ahead" if by > 0 else "back")


def test_ten_days_ahead(nginx, ca, clock):
    server = nginx(conf(ca), env=clock.env).start()
    issued(server)
    step(server, clock, 10 * DAY)
    restart(server)
    assert ca.count("order") == 1

    server.write(conf(ca, "example.com b.test"))
    server.reload()
    issued(server, "b.test")
    assert ca.count("order", "example.com") == 1

    # what is due by it is renewed
    step(server, clock, 84 * DAY)
    server.wait_log('certificate of "example.com" renewed', 30)


@pytest.mark.parametrize("stopped", [False, True])
def test_back_by_a_year(nginx, ca, clock, stopped):
    """Nothing is renewed; nor is that put off when the year is over."""

    ca.windows(lambda certid: window(time.time() + 60 * DAY,
                                     time.time() + 61 * DAY))
    server = nginx(conf(ca), env=clock.env).start()
    issued(server)
    der = tls.handshake("example.com").der
    wait_for(lambda: state(server).get("renew_at"), 10, "a window")

    if stopped:
        server.stop()
        clock.set(-365 * DAY)
        server.start()
    else:
        step(server, clock, -365 * DAY)
        restart(server)
    assert tls.handshake("example.com").der == der
    assert ca.count("order") == 1

    step(server, clock, 0)
    assert ca.count("order") == 1
    clock.skip(server, 62 * DAY)
    server.wait_log('certificate of "example.com" renewed', 30)
    assert ca.count("order") == 2


def still(server, ca, clock, seconds, n=1):
    """The clock shows so much more, and nothing has been asked for."""

    clock.skip(server, seconds)
    settled(server)
    assert ca.count("order") == n


@pytest.mark.parametrize("kind", ["wait", "hold"])
@pytest.mark.parametrize("ahead", [10 * DAY, -365 * DAY])
def test_neither_ended_nor_prolonged(nginx, ca, clock, kind, ahead):
    """A wait of the name, or one of the CA; a restart changes nothing."""

    ca.answer("order", 400 if kind == "wait" else 503, "malformed", "no",
              retry_after=1800)
    server = nginx(conf(ca), env=clock.env).start()
    failed(server)
    settled(server)
    step(server, clock, ahead)
    restart(server)
    still(server, ca, clock, 1600)
    step(server, clock, 0)
    restart(server)
    assert ca.count("order") == 1
    clock.skip(server, 200)
    wait_for(lambda: ca.count("order") == 2, 30, "tried again")


@pytest.mark.parametrize("ahead", [10 * DAY, -365 * DAY])
def test_set_in_the_middle_of_an_order(nginx, ca, clock, ahead):
    """What comes of it is told by the new time, and is not moved by it."""

    ca.answer("order", 400, "malformed", "no")
    server = nginx(conf(ca), env=clock.env)
    ca.before("order", lambda r: clock.set(ahead))
    server.start()
    kept = failures(server, 1)
    assert abs(kept["failed_at"] - clock.now()) < 20
    server.wait_log("the clock was set [0-9]+ s (ahead|back)", 30)
    settled(server)
    still(server, ca, clock, 20)
    clock.skip(server, 61)
    wait_for(lambda: ca.count("order") == 2, 30, "tried again")


@pytest.mark.parametrize("days", [6, 400])
def test_waits_of_a_wrong_clock(nginx, ca, clock, days):
    """What was written in another year waits as long in this one."""

    clock.set(days * DAY)
    ca.answer("order", 400, "malformed", "no", retry_after=1800)
    server = nginx(conf(ca), env=clock.env).start()
    failures(server, 1)
    server.stop()
    clock.set(0)
    server.start()
    settled(server)
    still(server, ca, clock, 1700)
    restart(server)
    clock.skip(server, 200)
    issued(server)


def test_begun_in_1970(nginx, ca, clock):
    """A host without a battery; it learns of the date when it is up."""

    clock.set(-int(time.time()) + 600)
    server = nginx(conf(ca), env=clock.env).start()
    assert tls.handshake("example.com")
    wait_for(lambda: ca.count("order"), 30, "asked")
    clock.set(0)
    mark = server.mark()
    clock.skip(server, 61)

    def done():
        if server.grep('certificate of "example.com" (issued|renewed)'):
            return True
        if waits(server, clock):
            clock.skip(server, 60)

    wait_for(done, 60, "issued", interval=1)
    assert server.grep("the clock was set [0-9]+ s ahead", since=mark)
    peer = tls.handshake("example.com", root=ca.pebble.root())
    assert peer.names == ["example.com"]
    assert ca.count("finalize") <= 3

    n = ca.count("order")
    restart(server)
    clock.skip(server, DAY)
    assert ca.count("order") == n
