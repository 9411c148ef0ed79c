"""When the CA wants a certificate renewed (RFC 9773), and `replaces`."""

import re
import time

import pytest

from support.engine import (DATE, DAY, HOW, conf, die_at, instant, issued,
                            of_ca, settled, some, state)
from support.fakeca import Reply
from support.proxy import http_date, window
from support.wait import wait_for

BETWEEN = (f'the CA wants "example.com" renewed between {DATE} and {DATE}, '
           f'it will be at {DATE}')
LIFE = 90 * DAY


@pytest.fixture
def ca(proxy):
    return proxy(validity=LIFE)


def ahead(start, end, **more):
    """A window so many days from now."""

    now = time.time()
    return lambda certid: window(now + start * DAY, now + end * DAY, **more)


def started(nginx, ca, clock, more=""):
    return nginx(conf(ca, more=more), env=clock.env).start()


def test_no_window_is_asked_for(nginx, ca, clock):
    """This CA has none."""

    server = started(nginx, ca, clock)
    issued(server)
    wait_for(lambda: of_ca(server).get("blind"), 10, "it is known that")

    # nor is the directory, to find that out again
    n = ca.count("directory")
    for how in HOW.values():
        clock.skip(server, 3600)
        how(server)
    assert ca.count("directory") == n
    assert not state(server).get("renew_at")

    clock.skip(server, DAY + 60)
    wait_for(lambda: ca.count("directory") > n, 20, "read again")
    settled(server)
    assert ca.count("renewal-info") == ca.count("other") == 0


def test_chosen_and_kept(nginx, ca, clock):
    ca.windows(ahead(10, 20, url="https://ca.test/why"))
    server = started(nginx, ca, clock)
    line = server.wait_log(BETWEEN, 30)
    assert "[info]" in line and "see https://ca.test/why" in line
    start, end, at = map(instant, re.search(BETWEEN, line).groups())
    assert end - start == 10 * DAY
    assert start <= at <= end
    kept = wait_for(lambda: state(server).get("renew_at") and state(server),
                    10, "written")
    assert kept["renew_at"] == at
    assert (kept["window_start"], kept["window_end"]) == (start, end)

    for how in HOW.values():
        how(server)
        assert state(server)["renew_at"] == at
    assert ca.count("renewal-info") == 1, "nor is it asked for again"

    # half a day later it is, and is the same: so is the instant
    clock.skip(server, DAY / 2)
    wait_for(lambda: ca.count("renewal-info") > 1, 20, "asked again")
    settled(server)
    assert state(server)["look_at"] > kept["look_at"]
    assert state(server)["renew_at"] == at
    assert ca.count("order") == 1

    clock.skip(server, at - clock.now() + 2)
    wait_for(lambda: ca.count("order") == 2, 30, "renewed")


def test_chosen_at_random(nginx, ca, clock):
    ca.windows(ahead(10, 20))
    names = [f"n{i}.test" for i in range(4)]
    server = nginx(conf(ca, " ".join(names)), env=clock.env).start()
    wait_for(lambda: all(state(server, n).get("renew_at") for n in names), 60,
             "chosen for all")
    chosen = {state(server, n)["renew_at"] for n in names}
    assert len(chosen) == 4
    assert max(chosen) - min(chosen) > 3600


def test_moved(nginx, ca, clock):
    """Only if the instant is not in it any more, another one is chosen."""

    ca.windows(ahead(10, 20, retry_after=60))
    server = started(nginx, ca, clock)
    server.wait_log(BETWEEN, 30)
    at = wait_for(lambda: state(server).get("renew_at"), 10, "written")

    for new, same in (ahead(5, 30, retry_after=60), True), \
                     (ahead(40, 50, retry_after=60), False):
        n = ca.count("renewal-info")
        ca.windows(new)
        clock.skip(server, 62)
        wait_for(lambda: ca.count("renewal-info") > n, 20, "asked again")
        wait_for(lambda: not state(server).get("looks"), 10, "noted")
        settled(server)
        assert (state(server)["renew_at"] == at) == same
    assert state(server)["renew_at"] >= time.time() + 39 * DAY
    assert len(server.grep(BETWEEN)) >= 2
    assert ca.count("order") == 1


LOOKS = {"none": (None, 6 * 3600), "1": ("1", 60), "300": ("300", 300),
         "ten days": (str(10 * DAY), DAY / 2), "nonsense": ("soon", 6 * 3600),
         "a date": (None, 7200), "a date that is past": (None, 60)}


@pytest.mark.parametrize("what", some(LOOKS, "300", "a date", "ten days"))
def test_asked_again_by_retry_after(nginx, ca, clock, what):
    """Between a minute and half a day."""

    text, delay = LOOKS[what]

    def answer(certid):
        reply = ahead(10, 20)(certid)
        del reply.headers["Retry-After"]
        if "date" in what:
            reply.headers["Retry-After"] = http_date(
                time.time() + (-99 if "past" in what else delay))
        elif text:
            reply.headers["Retry-After"] = text
        return reply

    ca.windows(answer)
    server = started(nginx, ca, clock)
    server.wait_log(BETWEEN, 30)
    asked = ca.of("renewal-info")[0].at
    wait_for(lambda: not state(server).get("looks"), 10, "written")
    assert abs(state(server)["look_at"] - asked - delay) < 6


def test_past(nginx, ca, clock):
    """Revoked, that is: renewed at once, and this says so to the CA."""

    seen = []

    def answer(certid):
        seen.append(certid)
        return (ahead(-2, -1, url="https://ca.test/revoked")
                if certid == seen[0] else ahead(10, 20))(certid)

    ca.windows(answer)
    server = started(nginx, ca, clock)
    line = server.wait_log('the CA wants "example.com" renewed at once', 30)
    assert "[notice]" in line and "see https://ca.test/revoked" in line
    server.wait_log('certificate of "example.com" renewed', 30)
    server.wait_log(BETWEEN, 30)

    first, second = ca.of("order")
    assert "replaces" not in first.payload
    assert second.payload["replaces"] == seen[0]
    assert len(set(seen)) == 2
    assert re.fullmatch(r"[\w-]+\.[\w-]+", seen[0])


ABSURD = {"ends before it begins": (20, 10), "has no length": (10, 10),
          "begins after the end": (91, 92)}


@pytest.mark.parametrize("what", some(ABSURD, "ends before it begins"))
def test_absurd(nginx, ca, clock, what):
    ca.windows(ahead(*ABSURD[what]))
    server = started(nginx, ca, clock)
    line = server.wait_log('renewal window of "example.com" makes no sense '
                           f'and is ignored: from {DATE} to {DATE}', 30)
    assert "[warn]" in line
    assert not state(server).get("renew_at")
    wait_for(lambda: state(server).get("look_at"), 10, "asked again later")

    reload = HOW["reload"]
    reload(server)
    assert ca.count("order") == ca.count("renewal-info") == 1


def test_a_helper_that_dies_of_it(nginx, ca, clock):
    """Its successor does not ask at once: so much was written before."""

    ca.windows(ahead(10, 20))
    server = nginx(conf(ca), env=clock.env)
    die_at(server, ca, "renewal-info", times=1)
    server.start()
    helper = server.helper()
    wait_for(lambda: ca.count("renewal-info"), 30, "asked")
    server.helper(other_than=[helper])
    settled(server)
    assert ca.count("renewal-info") == 1
    clock.skip(server, 61)
    server.wait_log(BETWEEN, 30)
    assert ca.count("renewal-info") == 2


MALFORMED = {
    "a page": Reply(200, "<html>", "text/html"),
    "a month 13": Reply(200, {"suggestedWindow": {
        "start": "2026-13-01T00:00:00Z", "end": "2026-13-02T00:00:00Z"}}),
    "not found": Reply(404),
}


@pytest.mark.parametrize("what", some(MALFORMED, "a month 13"))
def test_malformed(nginx, ca, clock, what):
    """Told, asked again after a minute, two, four; nothing else is held."""

    ca.windows(lambda certid: MALFORMED[what])
    server = started(nginx, ca, clock)
    issued(server)

    for n in 1, 2, 3:
        wait_for(lambda: state(server).get("looks") == n, 30, f"{n} looks")
        kept = state(server)
        wait = kept["look_at"] - clock.now()
        assert 30 * 2 ** n * 0.7 - 5 <= wait <= 30 * 2 ** n + 1
        if n < 3:
            clock.skip(server, wait + 2)

    assert server.grep(r"\[(info|notice|warn)\].*window.*example.com"
                       r"|\[(info|notice|warn)\].*example.com.*window")
    assert not kept.get("renew_at") and not kept.get("failures")
    assert ca.count("order") == 1

    # and all is well as soon as it says something
    ca.windows(ahead(10, 20))
    clock.skip(server, 3600)
    server.wait_log(BETWEEN, 30)
    assert not state(server).get("looks")


def test_the_earlier_of_both(nginx, ca, clock):
    """A window that is later than 7 days before the end."""

    ca.windows(ahead(86, 88))
    server = started(nginx, ca, clock)
    server.wait_log(BETWEEN, 30)
    n = ca.count("renewal-info")
    clock.skip(server, 83 * DAY - 3600)
    wait_for(lambda: ca.count("renewal-info") > n, 20, "asked again")
    assert ca.count("order") == 1
    clock.skip(server, 2 * 3600)
    wait_for(lambda: ca.count("order") > 1, 20, "renewed")


REFUSED = {"replaced already": (409, "alreadyReplaced"),
           "Pebble 2.6": (409, "malformed"), "not known": (404, "malformed"),
           "another account's": (403, "unauthorized"),
           "bad": (400, "malformed"), "internal": (500, "serverInternal")}


def once_past(ca, *refusals):
    """The first certificate is to be renewed, and then comes a refusal."""

    seen = []

    def answer(certid):
        if not seen:
            for status, type in refusals:
                ca.answer("order", status, type, "no such certificate")
            seen.append(certid)
        return (ahead(-2, -1) if certid == seen[0] else ahead(10, 20))(certid)

    ca.windows(answer)
    return seen


@pytest.mark.parametrize("what", some(REFUSED, "replaced already",
                                      "internal"))
def test_replaces_refused(nginx, ca, clock, what):
    """Once more, without."""

    seen = once_past(ca, REFUSED[what])
    server = started(nginx, ca, clock)
    server.wait_log('certificate of "example.com" renewed', 30)
    orders = [r.payload.get("replaces") for r in ca.of("order")]
    assert orders == [None, seen[0], None]
    assert not server.grep("no new certificate")


def test_replaces_is_not_what_is_refused(nginx, ca, clock):
    """Nor is a rate limit dodged so."""

    once_past(ca, (400, "rejectedIdentifier"), (400, "rejectedIdentifier"))
    server = started(nginx, ca, clock)
    server.wait_log('no new certificate for "example.com"', 30)
    assert ca.count("order") <= 3

    HOW["reload"](server)
    assert ca.count("order") <= 3


def test_replaces_limited(nginx, ca, clock):
    once_past(ca, (429, "rateLimited"))
    server = started(nginx, ca, clock)
    server.wait_log('no new certificate for "example.com"', 30)
    assert ca.count("order") == 2
