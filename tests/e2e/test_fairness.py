"""Who is next, who waits for whom, and how much the CA is asked."""

import shutil

import pytest

from support import tls
from support.engine import (ALL_WAIT, DAY, conf, failed, failures, issued,
                            old_pair, settled, some, state)
from support.proxy import window
from support.wait import wait_for

LIFE = 90 * DAY
FIVE = [f"n{i}.test" for i in range(5)]


@pytest.fixture
def ca(proxy):
    return proxy(validity=LIFE)


@pytest.mark.parametrize("kind", some(["order", "authz", "finalize", "poll"],
                                      "authz"))
def test_slow_for_one(nginx, ca, kind):
    ca.answer(kind, slow=4, name="n0.test")
    server = nginx(conf(ca, " ".join(FIVE[:3]))).start()
    for name in FIVE[:3]:
        issued(server, name)
    assert ca.count("order") == 3
    assert not server.grep("no certificate")


def skipped(server, ca, clock, seconds, condition):
    """Time passes until it is so, but not while the CA is at n1.test."""

    def so():
        if condition():
            return True
        settled(server)
        last = ca.requests[-1]
        if last.name != "n1.test" or last.kind == "certificate":
            clock.skip(server, seconds)

    wait_for(so, 100, "so")


@pytest.mark.limit(180)
@pytest.mark.parametrize("kind", ["order", "authz"])
def test_never_for_one(nginx, ca, clock, kind):
    """It has its own deadline, and then it is the others' turn."""

    ca.answer(kind, slow=1000, name="n0.test", times=None)
    server = nginx(conf(ca, " ".join(FIVE[:2])), env=clock.env).start()
    wait_for(lambda: ca.count(kind), 30, "asked")
    began = clock.now()
    skipped(server, ca, clock, 31,
            lambda: server.grep('certificate of "n1.test" issued'))
    assert clock.now() - began < 900
    assert ca.ordered()[:2] == FIVE[:2]

    # nor is it the CA that is to blame, from then on
    mark = server.mark()
    skipped(server, ca, clock, 31,
            lambda: state(server, "n0.test").get("failures", 0) > 1)
    assert not server.grep(ALL_WAIT, since=mark)


@pytest.mark.limit(180)
def test_never_for_one_whose_order_is_under_way(nginx, ca, clock):
    """The CA says that it is busy, but to others it is not."""

    ca.answer("authz", 503, detail="busy", name="n0.test", times=None)
    server = nginx(conf(ca, " ".join(FIVE[:2])), env=clock.env).start()
    assert ALL_WAIT in failed(server, "n0.test")
    assert state(server, "n0.test")["order"]
    clock.skip(server, 61)
    issued(server, "n1.test")
    kept = failures(server, 1, "n0.test")
    assert ca.count("order", "n0.test") == 1

    # as its challenge was pending, it may have been answered before
    ca.normal()
    for wait in kept["next_attempt"] - clock.now() + 1, 11:
        clock.skip(server, wait)
        settled(server)
    issued(server, "n0.test")
    assert ca.count("order", "n0.test") == 1


@pytest.mark.limit(180)
def test_pending_for_ever(nginx, ca, clock, dns):
    """A validation without an end."""

    ca.answer("challenge", status=200, reply=None, html="{}", name="n0.test",
              times=None)
    server = nginx(conf(ca, " ".join(FIVE[:2])), env=clock.env).start()
    wait_for(lambda: ca.count("challenge"), 30, "asked")
    began = clock.now()
    skipped(server, ca, clock, 10,
            lambda: server.grep('certificate of "n1.test" issued'))
    assert clock.now() - began < 700


def test_order_of_work(nginx, ca, authority):
    """No certificate, then nearest to the end; the failed come last."""

    ends = {"a.test": 5, "b.test": 2, "c.test": 3, "d.test": None, "e.test": 1}
    server = nginx(conf(ca, " ".join(ends)))
    for name, left in ends.items():
        if left:
            old_pair(authority, server, name, left)
    server.start()
    for name in ends:
        issued(server, name)
    assert ca.ordered() == ["d.test", "e.test", "b.test", "c.test", "a.test"]


def test_failed_come_last(nginx, ca, clock, authority):
    server = nginx(conf(ca, "a.test b.test"), env=clock.env)
    ca.answer("order", 400, "malformed", "no", name="a.test")
    old_pair(authority, server, "b.test", 60, age=30)
    server.start()
    failures(server, 1, "a.test")

    # both are due when the host comes back
    server.stop()
    clock.passed += 58 * DAY
    clock.write()
    server.start()
    for name in "a.test", "b.test":
        issued(server, name)
    assert ca.ordered() == ["a.test", "b.test", "a.test"]


def test_one_connection(nginx, ca):
    now = 10 ** 10
    ca.windows(lambda certid: window(now, now + DAY))
    server = nginx(conf(ca, " ".join(FIVE))).start()
    for name in FIVE:
        issued(server, name)
    wait_for(lambda: ca.count("renewal-info") == 5, 30, "windows")
    assert ca.connections == 1
    assert {r.connection for r in ca.requests} == {1}
    assert ca.count("directory") == ca.count("account") == 1
    assert ca.count("nonce") <= 1


def needed(requests):
    """Without the polls that a CA which is slow for once has brought about."""

    kinds = [r.kind for r in requests]
    return (len(kinds) - max(kinds.count("authz") - 2, 0)
            - max(kinds.count("poll") - 1, 0))


def test_requests_per_certificate(nginx, proxy):
    """8 with a fresh authorization, 5 with one that is valid."""

    ca = proxy(authz_reuse=100)
    names = FIVE[:3]
    server = nginx(conf(ca, " ".join(names))).start()
    for name in names:
        issued(server, name)
        assert needed([r for r in ca.requests if r.name == name]) <= 8
    assert ca.count("directory") == ca.count("nonce") == 1
    posts = ca.pebble.count(" POST /")
    assert posts == len([r for r in ca.requests if r.method == "POST"])

    server.stop()
    for name in names:
        shutil.rmtree(f"{server.dir}/store/{name}")
    mark, since = server.mark(), ca.mark()
    server.start()
    for name in names:
        issued(server, name, since=mark)
        assert needed([r for r in ca.requests[since:] if r.name == name]) <= 5
    assert ca.count("challenge", since=since) == 0
    assert ca.pebble.count(" POST /") - posts \
        == len([r for r in ca.requests[since:] if r.method == "POST"])


def test_added_while_others_wait(nginx, ca, clock):
    """A failing name's wait is nobody else's."""

    ca.answer("order", 400, "malformed", "no", times=None, name="a.test",
              retry_after=7200)
    server = nginx(conf(ca, "a.test"), env=clock.env).start()
    failures(server, 1, "a.test")
    server.write(conf(ca, "a.test b.test"))
    server.reload()
    issued(server, "b.test")
    assert tls.handshake("b.test", root=ca.pebble.root())
    assert ca.count("order", "a.test") == 1
    assert state(server, "a.test")["failures"] == 1
