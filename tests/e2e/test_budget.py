"""No cause whatever brings about more certificates than the budget has."""

import os
import shutil

import pytest

from support import proc, tls
from support.engine import (DAY, budget, conf, die_at, failed, failures,
                            hasten, issued, kill, next_try, obtained, of_ca,
                            reload, restart, some, state, waits, within)
from support.proxy import window
from support.wait import wait_for

USED_UP = (r'\[error\].*no (new )?certificate for "example.com": the budget '
           r'is used up: \d certificates since \S+, at most \d in')
BUDGET = 6              # NGX_AUTOCERT_FAIL_BUDGET


def refused(server, ca, n=3):
    """It is told and remembered, and outlives all."""

    server.wait_log(USED_UP, 60)
    assert failed(server) in server.grep(USED_UP)
    wait_for(lambda: state(server).get("kind") == BUDGET, 10, "remembered")
    assert len(budget(server)) == n
    assert ca.count("finalize") == n

    for how in reload, kill, restart:
        how(server)
    assert ca.count("finalize") == n
    assert ca.count("order") <= n


def test_counted(nginx, proxy):
    ca = proxy(validity=90 * DAY)
    server = nginx(conf(ca)).start()
    issued(server)
    at, = budget(server)
    assert abs(at - ca.of("finalize")[0].at) < 3


def test_taken_back(nginx, proxy, clock):
    """What came to nothing; it is counted while the CA is asked."""

    seen = []
    ca = proxy(validity=90 * DAY)
    ca.answer("finalize", 400, "badCSR", "no", times=4)
    server = nginx(conf(ca), env=clock.env)
    ca.before("finalize", lambda r: seen.append(len(budget(server))))
    server.start()

    for n in range(1, 5):
        kept = failures(server, n)
        assert budget(server) == []
        clock.skip(server, kept["next_attempt"] - clock.now() + 1)

    issued(server)
    assert len(budget(server)) == 1
    assert seen == [1] * 5


@pytest.mark.limit(180)
@pytest.mark.parametrize("before", some(["1s", "10000d"]))
def test_short_lives(nginx, proxy, before):
    """What is asked for by a certificate that is always about to end."""

    ca = proxy(validity=6)
    server = nginx(conf(ca, more=f"autocert_renew_before {before};")).start()
    wait_for(lambda: ca.count("finalize") >= 4, 90, "four certificates")
    assert within(ca.of("finalize"), 19) <= 3
    assert tls.handshake("example.com")


def test_window_always_past(nginx, proxy, clock):
    ca = proxy(validity=90 * DAY)
    ca.windows(lambda certid: window(clock.now() - 2 * DAY,
                                     clock.now() - DAY, retry_after=60))
    server = nginx(conf(ca), env=clock.env).start()
    refused(server, ca)

    # the third is as good as any
    assert tls.handshake("example.com", root=ca.pebble.root())
    for _ in range(5):
        clock.skip(server, 7200)
        restart(server)
    assert ca.count("finalize") == 3


def test_orders_lost_again_and_again(nginx, proxy, clock):
    """The one that is made in place of another is one more."""

    ca = proxy(validity=90 * DAY)
    ca.windows(lambda certid: window(clock.now() - 2 * DAY,
                                     clock.now() - DAY, retry_after=60))

    def third(request):
        if ca.count("order") == 3:
            ca.answer("finalize", cut="after", times=None)
            ca.answer("poll", 404, "malformed", "no such order", times=None)

    ca.before("order", third)
    server = nginx(conf(ca), env=clock.env).start()
    failures(server, 1)
    ca.normal("finalize")
    clock.skip(server, 61)
    line = server.wait_log(USED_UP, 60)
    assert next_try(line) > clock.now() + 40 * DAY
    asked = ca.of("finalize")
    assert len({r.path for r in asked}) == len(budget(server)) == 3
    # one more is refused, where a certificate may be replaced but once
    orders = ca.count("order")
    assert sum(r.status == 201 for r in ca.of("order")) == 4

    # each is of the pace
    wait_for(lambda: sum(n for _, n in of_ca(server)["slots"]) == 4, 10,
             lambda: f"four: {of_ca(server)}")

    # nor does it go on with that one
    mark = server.mark()
    restart(server)
    server.wait_log(USED_UP, 60, since=mark)
    assert ca.count("finalize") == len(asked)
    assert ca.count("order") == orders


def test_certificates_already_due(nginx, proxy, clock):
    """They have three days left, of 90."""

    clock.set(87 * DAY)
    ca = proxy(validity=90 * DAY)
    server = nginx(conf(ca), env=clock.env).start()
    refused(server, ca)
    assert next_try(failed(server)) > clock.now() + DAY


@pytest.mark.parametrize("what", some(["pair", "directory", "state"],
                                      "directory"))
def test_deleted_again_and_again(nginx, proxy, what):
    ca = proxy(validity=90 * DAY)
    server = nginx(conf(ca)).start()
    for n in range(4):
        mark = server.mark()
        if n < 3:
            issued(server, since=mark if n else 0)
        else:
            server.wait_log(USED_UP, 30)

        server.stop()
        here = f"{server.dir}/store/example.com"
        if what == "directory":
            shutil.rmtree(here, ignore_errors=True)
        else:
            for file in os.listdir(here):
                if what == "state" or file.endswith(".pem"):
                    os.unlink(f"{here}/{file}")
        mark = server.mark()
        server.start()

    server.wait_log(USED_UP, 30, since=mark)
    assert ca.count("finalize") == 3
    assert ca.count("order") == 3
    assert len(budget(server)) == 3
    assert tls.handshake("example.com").self_signed


@pytest.mark.limit(180)
def test_clock_that_jumps(nginx, proxy, clock):
    """There and back: what was signed in the future counts as now."""

    ca = proxy(validity=365 * DAY)
    server = nginx(conf(ca), env=clock.env).start()
    issued(server)

    for there in 362, 0, 361, -365, 362, 10, 361:
        server.stop()
        clock.set(there * DAY)
        mark = server.mark()
        server.start()
        if there > 360:
            server.wait_log(f"{USED_UP}|the budget is used up", 30,
                            since=mark)
        assert tls.handshake("example.com", root=ca.pebble.root())

    # one, and a year later three
    assert ca.count("finalize") <= 4
    assert ca.count("order") <= 4


@pytest.mark.limit(180)
@pytest.mark.parametrize("kind", some(["finalize", "poll", "certificate"],
                                      "finalize"))
def test_killed_after_finalize(nginx, proxy, clock, kind):
    """Five helpers in a row; in the end there is one certificate."""

    ca = proxy(validity=90 * DAY)
    server = nginx(conf(ca), env=clock.env)
    die_at(server, ca, kind, times=5)
    server.start()

    def done():
        if server.grep('certificate of "example.com" issued'):
            return True
        if waits(server, clock):
            clock.skip(server, 3600)

    wait_for(done, 120, "issued", interval=1)
    assert ca.count("finalize") <= 6
    assert ca.count("order") <= 3
    assert ca.pebble.issued() <= 3
    assert len(budget(server)) <= 3


@pytest.mark.limit(180)
@pytest.mark.parametrize("kind", ["order", "authz"])
def test_crash_loop(nginx, proxy, clock, kind):
    """It dies whenever it asks: three times at once, then it takes time."""

    ca = proxy(validity=90 * DAY)
    server = nginx(conf(ca), env=clock.env)
    die_at(server, ca, kind)
    server.start()

    def often():
        pids = server.helpers()
        if pids and not proc.locks(pids[-1]):
            clock.skip(server, 5)               # the pause of a crash loop
        return ca.count(kind) >= 3

    wait_for(often, 90, "three times", interval=0.3)
    kept = wait_for(lambda: state(server).get("next_attempt", 0)
                    > clock.now() + 20 and state(server), 90, "a wait")
    assert kept["tries"] >= 3
    # it was written down before the last one was asked
    wait_for(lambda: ca.count(kind) == kept["tries"], 10, "asked")
    n = ca.count("order")
    assert n == (4 if kind == "order" else 1)
    for how in reload, restart:
        how(server)
    assert ca.count("order") == n

    ca.hooks.clear()
    clock.skip(server, 3600)
    hasten(server, clock, obtained(server))
    assert not state(server).get("tries")


@pytest.mark.deep
@pytest.mark.limit(240)
def test_pace(nginx, proxy, clock):
    """At most 290 new orders in three hours, counted in the store."""

    ca = proxy(validity=90 * DAY)
    names = [f"n{i}.test" for i in range(300)]
    servers = " ".join(names)
    ca.answer("order", 400, "malformed", "not today", times=None)
    more = "server_names_hash_max_size 8192;"
    server = nginx(conf(ca, servers, more), env=clock.env,
                   log_level="notice").start()
    wait_for(lambda: ca.count("order") >= 290, 180, "290 orders")
    reload(server)
    restart(server)
    assert ca.count("order") == 290

    clock.skip(server, 3 * 3600 + 600)
    wait_for(lambda: len(set(ca.ordered())) == 300, 60, "the others")
