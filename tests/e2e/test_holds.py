"""What a failure holds, and for how long: a name, a domain, a whole CA."""

import re
import time

import pytest

from support import tls
from support.engine import (ALL_WAIT, DATE, DAY, HOW, conf, edit, failed,
                            failures, hasten, instant, issued, next_try,
                            obtained, of_ca, old_pair, pairs, restart, some,
                            state)
from support.proxy import http_date
from support.wait import wait_for

LIFE = 90 * DAY
NAMES = ["a.test", "b.test", "c.test"]
FORMS = ["seconds", "date"]


@pytest.fixture
def ca(proxy):
    return proxy(validity=LIFE)


def wait(kept):
    return kept["next_attempt"] - kept["failed_at"]


# of a name

def test_backoff(nginx, ca, clock):
    """A minute, twice as much each time, an hour; less up to a quarter."""

    ca.answer("order", 400, "malformed", "no", times=None)
    server = nginx(conf(ca), env=clock.env).start()

    for n in range(1, 9):
        kept = failures(server, n)
        most = min(60 * 2 ** (n - 1), 3600)
        assert most * 3 / 4 <= wait(kept) <= most
        assert ca.count("order") == n
        line = server.grep("no certificate for")[-1]
        assert abs(next_try(line) - kept["next_attempt"]) <= 1
        clock.skip(server, kept["next_attempt"] - clock.now() + 1)

    ca.normal()
    issued(server)
    kept = state(server)
    assert not kept.get("failures") and not kept.get("next_attempt")


def test_daily_after_a_week(nginx, ca, clock):
    ca.answer("order", 400, "malformed", "no", times=None)
    server = nginx(conf(ca), env=clock.env).start()
    failures(server, 1)
    server.stop()
    edit(server, failures=173)
    clock.passed += 3600
    clock.write()
    server.start()

    for n, most in (174, 3600), (175, DAY), (176, DAY):
        kept = wait_for(lambda: state(server)["failures"] >= n
                        and state(server), 30, f"{n} failures")
        if n == 175:
            # the last hour of the week, or the first day after it
            assert 2700 <= wait(kept) <= DAY
        else:
            assert most * 3 / 4 <= wait(kept) <= most
        clock.skip(server, kept["next_attempt"] - clock.now() + 1)


def test_hourly_near_the_end(nginx, ca, clock, authority):
    ca.answer("order", 400, "malformed", "no", times=None)
    server = nginx(conf(ca), env=clock.env)
    pair = old_pair(authority, server, "example.com", 6)
    server.start()
    failures(server, 1)
    server.stop()
    edit(server, failures=300)
    clock.passed += 3600
    clock.write()
    server.start()
    assert 2700 <= wait(failures(server, 301)) <= 3600
    assert tls.handshake("example.com").der == pair.der


@pytest.mark.parametrize("type", some(
    ["caa", "rejectedIdentifier", "unsupportedIdentifier"], "caa"))
def test_lasting(nginx, ca, clock, type):
    """What no time mends is tried daily, and never given up."""

    ca.answer("order", 400, type, "never", times=None)
    server = nginx(conf(ca), env=clock.env).start()
    for n in 1, 2:
        kept = failures(server, n)
        assert DAY * 3 / 4 <= wait(kept) <= DAY
        clock.skip(server, kept["next_attempt"] - clock.now() + 1)


@pytest.mark.parametrize("kind, form", some(
    pairs(["order", "authz", "finalize"], FORMS), ("order", "seconds"),
    ("finalize", "date")))
def test_retry_after(nginx, ca, clock, kind, form):
    """The later of the CA's instant and of ours."""

    at = int(time.time()) + 7200
    ca.answer(kind, 400, "malformed", "no", times=None,
              retry_after=7200 if form == "seconds" else http_date(at))
    server = nginx(conf(ca), env=clock.env).start()
    kept = failures(server, 1)
    if form == "seconds":
        at = ca.of(kind)[0].at + 7200
    assert abs(kept["next_attempt"] - at) < 5

    ca.normal()
    ca.answer(kind, 400, "malformed", "no", times=None, retry_after=1)
    clock.skip(server, 7210)
    assert wait(failures(server, 2)) >= 90


def test_others_are_not_delayed(nginx, ca, clock):
    ca.answer("order", 400, "malformed", "no", name="a.test", times=None)
    ca.answer("finalize", 403, "unauthorized", "no", name="b.test", times=None)
    server = nginx(conf(ca, " ".join(NAMES + ["d.test"])),
                   env=clock.env).start()
    for name in "c.test", "d.test":
        issued(server, name)
    assert failures(server, 1, "a.test") and failures(server, 1, "b.test")
    assert ca.count("order", "a.test") == ca.count("order", "b.test") == 1
    assert not server.grep(ALL_WAIT)
    assert not of_ca(server).get("hold")


@pytest.mark.parametrize("how", HOW)
def test_a_wait_outlives_us(nginx, ca, clock, how):
    """As often as one likes: no request comes of it."""

    ca.answer("order", 400, "malformed", "no", times=None)
    server = nginx(conf(ca), env=clock.env).start()
    kept = failures(server, 1)
    n = len(ca.requests)
    for _ in range(3):
        HOW[how](server)
        assert tls.handshake("example.com").self_signed
    assert len(ca.requests) == n
    assert state(server)["next_attempt"] == kept["next_attempt"]

    # and afterwards goes on where it was
    clock.skip(server, kept["next_attempt"] - clock.now() + 1)
    assert wait(failures(server, 2)) >= 90


# of the CA

HOLDS = {
    "directory 503": ("directory", 503, None),
    "directory 500": ("directory", 500, None),
    "nonce 503": ("nonce", 503, None), "nonce 429": ("nonce", 429, None),
    "account 429": ("account", 429, "rateLimited"),
    "account 503": ("account", 503, None),
    "order 503": ("order", 503, None),
    "order busy": ("order", 503, "rateLimited"),
    "order limited": ("order", 429, "rateLimited"),
    "authz 503": ("authz", 503, None),
    "challenge 503": ("challenge", 503, None),
    "finalize 503": ("finalize", 503, None),
    "certificate 503": ("certificate", 503, None),
}


@pytest.mark.parametrize("what, form", some(
    pairs(HOLDS, FORMS), ("nonce 429", "seconds"), ("order 503", "date")))
def test_ca_hold(nginx, ca, clock, what, form):
    kind, status, type = HOLDS[what]
    at = int(time.time()) + 1800
    ca.answer(kind, status, type, "Service busy; retry later.", times=None,
              retry_after=1800 if form == "seconds" else http_date(at))
    server = nginx(conf(ca, " ".join(NAMES)), env=clock.env).start()

    line = failed(server, "a.test")
    if form == "seconds":
        at = ca.of(kind)[-1].at + 1800
    assert ALL_WAIT in line
    assert abs(next_try(line) - at) < 5
    wait_for(lambda: of_ca(server).get("hold"), 10, "the hold is written")
    kept = of_ca(server)
    assert abs(kept["hold"] - at) < 5 and kept["failures"] == 1

    mark = ca.mark()
    ca.normal()
    for how in HOW.values():
        how(server)
    clock.skip(server, 1700)
    restart(server)
    assert tls.handshake("b.test").self_signed
    assert ca.mark() == mark, ca.requests[mark:]
    for name in NAMES:
        assert not state(server, name).get("failures")
    assert len(server.grep("no certificate for")) == 1

    clock.skip(server, kept["hold"] - clock.now() + 1)
    for name in NAMES:
        issued(server, name)
        # what was begun is gone on with
        assert ca.count("order", name) == \
            1 + (kind == "order" and name == "a.test")
    assert not of_ca(server).get("failures")


def test_unreachable(nginx, ca, clock):
    """A minute, two, four, for all names together."""

    ca.stop()
    server = nginx(conf(ca, " ".join(NAMES)), env=clock.env).start()
    waits = []
    for n in 1, 2, 3:
        hasten(server, clock, lambda: of_ca(server).get("failures") == n)
        kept = of_ca(server)
        waits.append(kept["hold"] - kept["failed_at"])
        clock.skip(server, kept["hold"] - clock.now() + 1)

    assert all(45 * 2 ** i <= w <= 60 * 2 ** i for i, w in enumerate(waits))
    assert len(server.grep(ALL_WAIT)) >= 3
    for name in NAMES:
        assert not state(server, name).get("failures")

    ca.start()
    clock.skip(server, 600)
    for name in NAMES:
        issued(server, name)


def test_cut_at_one_name_after_the_other(nginx, ca, clock):
    """Two in a row: it is not the names that are to blame."""

    ca.answer("authz", cut="before", times=None)
    server = nginx(conf(ca, " ".join(NAMES)), env=clock.env).start()
    hasten(server, clock, lambda: server.grep(ALL_WAIT))
    assert len(set(ca.ordered())) == 2
    assert not state(server, "c.test")

    ca.normal()
    clock.skip(server, 300)
    for name in NAMES:
        hasten(server, clock, obtained(server, name))
        assert ca.count("order", name) == 1


def test_account_deactivated(nginx, ca, clock):
    """RFC 8555, 7.3.6.  A person has to look at it, and all names wait."""

    ca.answer("order", 403, "unauthorized", "Account is deactivated",
              times=None)
    server = nginx(conf(ca, " ".join(NAMES)), env=clock.env).start()
    line = failed(server, "a.test")
    assert "[error]" in line
    assert "the CA refuses the account" in line
    assert "Account is deactivated" in line and ALL_WAIT in line
    assert ca.count("order") == 1

    for how in HOW.values():
        how(server)
    assert ca.count("order") == 1
    for name in NAMES:
        assert not state(server, name).get("failures")


# orders are kept

KEPT = {"finalize limited": ("finalize", 429, "rateLimited"),
        "finalize busy": ("finalize", 503, "rateLimited"),
        "poll busy": ("poll", 503, "rateLimited"),
        "authz busy": ("authz", 503, "rateLimited"),
        "authz limited": ("authz", 429, "rateLimited")}


@pytest.mark.parametrize("what", some(KEPT, "finalize limited",
                                      "poll busy"))
def test_same_order(nginx, ca, clock, what):
    kind, status, type = KEPT[what]
    ca.answer(kind, status, type, "Service busy; retry later.",
              retry_after=700)
    server = nginx(conf(ca), env=clock.env).start()
    failed(server)
    order = state(server)["order"]
    assert order.endswith(ca.of(kind)[0].path.rpartition("/")[2]) \
        or kind == "authz"
    restart(server)
    assert state(server)["order"] == order

    clock.skip(server, 701)
    issued(server)
    assert ca.count("order") == 1
    assert [r.status for r in ca.of("finalize")][-1] == 200
    assert ca.pebble.issued() == 1


# of a domain

LIMIT = ('too many certificates (50) already issued for "{}" in the last '
         '168h0m0s, retry after 2030-01-01 00:00:00 UTC: see '
         'https://letsencrypt.org/docs/rate-limits/')
INTERVAL = 7 * DAY // 50
BELOW = ["a.example.com", "b.example.com", "c.example.com", "example.com"]


def test_domain(nginx, ca, clock):
    """Its names wait, and then one comes after the other; others do not."""

    ca.answer("order", 429, "rateLimited", LIMIT.format("example.com"),
              retry_after=INTERVAL)
    names = BELOW + ["notexample.com", "example.org"]
    server = nginx(conf(ca, " ".join(names)), env=clock.env).start()

    says = f'4 names of "example.com" wait, all can be done by {DATE}'
    line = failed(server, "a.example.com")
    end = instant(re.search(says, line)[1])
    assert abs(end - clock.now() - 4 * INTERVAL) < INTERVAL + 60
    for name in "notexample.com", "example.org":
        issued(server, name)
    assert [n for n in ca.ordered() if n in BELOW] == ["a.example.com"]
    assert not server.grep(ALL_WAIT)

    for how in HOW.values():
        how(server)
    clock.skip(server, INTERVAL - 300)
    restart(server)
    assert tls.handshake("b.example.com").self_signed
    assert [n for n in ca.ordered() if n in BELOW] == ["a.example.com"]

    for n, wait in enumerate([302, *[INTERVAL + 1] * 3], 1):
        mark = server.mark()
        clock.skip(server, wait)
        server.wait_log('certificate of "(.*example.com)" issued', 60,
                        since=mark)
        restart(server)
        assert len([x for x in ca.ordered() if x in BELOW]) == 1 + n

    for name in BELOW:
        issued(server, name)
    assert clock.now() < end + 60


@pytest.mark.parametrize("detail", [
    'too many certificates (5) already issued for this exact set of '
    'identifiers in the last 168h0m0s: "a.example.com"',
    'too many failed authorizations (5) for "example.com" in the last 1h0m0s'])
def test_limits_of_a_name(nginx, ca, clock, detail):
    ca.answer("order", 429, "rateLimited", detail, retry_after=7200,
              name="a.example.com")
    server = nginx(conf(ca, " ".join(BELOW)), env=clock.env).start()
    line = failed(server, "a.example.com")
    assert ALL_WAIT not in line and "wait, all" not in line
    for name in BELOW[1:]:
        issued(server, name)
    assert abs(wait(failures(server, 1, "a.example.com")) - 7200) < 5
