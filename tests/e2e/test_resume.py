"""An order that was interrupted is gone on with, if the CA still has it."""

import os

import pytest

from support import tls
from support.engine import (DAY, HOW, conf, failed, hasten, issued, obtained,
                            pairs, reload, some, state, waits)
from support.proxy import window
from support.wait import wait_for

LIFE = 90 * DAY
BEGUN = ["authz", "challenge", "poll", "finalize", "certificate"]
STEPS = ["order", *BEGUN]


@pytest.fixture
def ca(proxy):
    return proxy(validity=LIFE)


@pytest.mark.parametrize("kind, cut", some(
    pairs(["directory", "nonce", "account", *STEPS], ["before", "after"]),
    ("account", "after"), ("order", "after"), ("finalize", "before"),
    ("finalize", "after"), ("certificate", "after")))
def test_one_cut(nginx, ca, clock, kind, cut):
    """One connection that is cut is not worth a failure."""

    ca.answer(kind, cut=cut)
    server = nginx(conf(ca), env=clock.env).start()
    wait_for(lambda: ca.count(kind), 30, "cut")

    def done():
        if server.grep('certificate of "example.com" issued'):
            return True
        if waits(server, clock):
            clock.skip(server, 100)

    wait_for(done, 40, "issued", interval=0.5)

    # what is sent again has a nonce that is used up
    assert len([r for r in ca.of("order") if r.status != 400]) <= 2
    assert ca.pebble.issued() == 1
    assert ca.connections >= 2


@pytest.mark.parametrize("kind, how", some(
    pairs(BEGUN, ["nothing", *HOW]), ("poll", "reload"),
    ("finalize", "restart")))
def test_network_lost(nginx, ca, clock, kind, how):
    """For long; it is the order of before that is ended then."""

    ca.answer(kind, cut="before", times=None)
    server = nginx(conf(ca), env=clock.env).start()
    failed(server)
    order = wait_for(lambda: state(server).get("order"), 10, "an order")
    token = state(server).get("token")
    assert os.stat(f"{server.dir}/store/example.com/state.json").st_mode \
        & 0o777 == 0o600
    if how != "nothing":
        HOW[how](server)
    assert state(server)["order"] == order
    assert state(server).get("token") == token

    mark = server.mark()
    ca.normal()
    clock.skip(server, 100)
    server.wait_log('going on with the order for "example.com"', 30,
                    since=mark)
    issued(server)
    assert ca.count("order") == 1
    assert ca.pebble.issued() == 1


@pytest.mark.parametrize("kind, how", some(
    pairs(BEGUN, HOW), ("challenge", "kill"), ("finalize", "reload"),
    ("poll", "restart")))
def test_in_the_middle_of_a_request(nginx, ca, kind, how):
    ca.answer(kind, slow=1.5)
    server = nginx(conf(ca)).start()
    wait_for(lambda: ca.count(kind), 30, "asked")
    HOW[how](server)
    server.wait_log('going on with the order for "example.com"', 30)
    issued(server)
    assert ca.count("order") == ca.count("account") == 1
    assert ca.count("finalize") <= 2
    assert ca.pebble.issued() == 1
    assert not server.grep("no certificate")


def test_ca_has_forgotten_all(nginx, ca, clock):
    """Account and order: both are made anew, by itself."""

    ca.answer("finalize", cut="before", times=None)
    server = nginx(conf(ca), env=clock.env).start()
    failed(server)
    ca.pebble.stop()
    ca.pebble.start()
    ca.normal()
    clock.skip(server, 100)
    issued(server)
    assert ca.count("account") == 2
    assert ca.pebble.count("POST /sign-me-up") == 2
    assert ca.pebble.issued() == 1
    assert tls.handshake("example.com", root=ca.pebble.root())

    # and what is there of the old one is of no use to anyone
    assert not state(server).get("order")


def test_account_forgotten_before_a_renewal(nginx, ca, clock):
    """The order that replaces another account's names none."""

    far = {"now": False}
    ca.windows(lambda certid: window(
        clock.now() + (-2 if far["now"] else 10) * DAY,
        clock.now() + (-1 if far["now"] else 20) * DAY, retry_after=60))
    server = nginx(conf(ca), env=clock.env).start()
    issued(server)
    wait_for(lambda: state(server).get("renew_at"), 10, "a window")
    ca.pebble.stop()
    ca.pebble.start()

    far["now"] = True
    ca.before("order", lambda r: far.update(now=False))
    clock.skip(server, 62)
    server.wait_log('certificate of "example.com" renewed', 30)
    assert ca.count("account") == 2
    assert "replaces" not in ca.of("order")[-1].payload


def test_order_gone(nginx, ca, clock):
    """A CA that does not have it any more: a new one."""

    ca.answer("finalize", cut="before", times=None)
    server = nginx(conf(ca), env=clock.env).start()
    failed(server)
    ca.normal()
    ca.answer("poll", 404, "malformed", "no such order")
    clock.skip(server, 100)
    issued(server)
    assert ca.count("order") == 2
    assert ca.pebble.issued() == 1


def test_removed_and_added_in_the_middle(nginx, ca, clock):
    ca.answer("authz", slow=2, name="example.com")
    server = nginx(conf(ca), env=clock.env).start()
    wait_for(lambda: ca.count("authz"), 30, "asked")
    server.write(conf(ca, "b.test"))
    reload(server)
    issued(server, "b.test")
    server.write(conf(ca, "b.test example.com"))
    reload(server)
    hasten(server, clock, obtained(server))
    assert ca.count("order", "example.com") == 1
