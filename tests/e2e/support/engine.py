"""What tests of the renewal engine have in common."""

import calendar
import glob
import json
import os
import re
import time

import pytest

from . import proc
from .wait import wait_for

DAY = 86400


def some(of, *now):
    """Parameters of a test; all but those of now are for check-deep."""

    assert set(now) <= set(of)
    return [one if one in now else pytest.param(
                *(one if isinstance(one, tuple) else [one]),
                marks=pytest.mark.deep) for one in of]


def pairs(first, second):
    return [(a, b) for a in first for b in second]


CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert_key_type %s;
    autocert on %s;
    %s
    server {
        listen 80;
        listen 443 ssl;
        server_name %s;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""

DATE = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"
ALL_WAIT = "all names wait for this CA"


def conf(ca, names="example.com", more="", curve="secp256r1",
         contact="admin@example.com"):
    return CONF % (ca.directives, curve, contact, more, names)


def instant(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def read(path):
    """A JSON file, {} if it is not there."""

    try:
        with open(path) as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def state(server, name="example.com"):
    return read(f"{server.dir}/store/{name}/state.json")


def edit(server, name="example.com", **values):
    path = f"{server.dir}/store/{name}/state.json"
    kept = read(path)
    kept.update(values)
    with open(path, "w") as f:
        json.dump(kept, f)


def one(server, path):
    found = glob.glob(f"{server.dir}/store/.accounts/*/{path}")
    assert len(found) < 2
    return read(found[0]) if found else {}


def of_ca(server):
    return one(server, "state.json")


def budget(server, name="example.com"):
    return one(server, f"issued/{name}.json").get("at", [])


def issued(server, name="example.com", timeout=60, since=0):
    return server.wait_log(f'certificate of "{name}" (issued|renewed)',
                           timeout, since=since)


def failed(server, name="example.com", timeout=60, since=0):
    """The line, and what is remembered."""

    line = server.wait_log(f'no (new )?certificate for "{name}"', timeout,
                           since=since)
    assert re.search(f"next try at {DATE}", line), line
    return line


def failures(server, n, name="example.com", timeout=30):
    """What is remembered, once it has failed so often."""

    wait_for(lambda: state(server, name).get("failures") == n, timeout,
             lambda: f"{n} failures: {state(server, name)}")
    return state(server, name)


def next_try(line):
    return instant(re.search(f"next try at {DATE}", line)[1])


QUIET = 0.25            # s


def settled(server):
    """
    Its helper has the lock, so it has looked at all names, and has been asleep
    for a while, so it has begun what is due: what is not asked for now is not
    going to be.  After a skip, too: whoever was to wake is not asleep.
    """

    pid = server.helper()
    wait_for(lambda: proc.locks(pid), 60, "it has the lock")
    asleep(pid)


def asleep(pid):
    """It has been for a while: what was due is begun."""

    last = [None, 0]

    def quiet():
        n = proc.switches(pid)
        if n is None or n != last[0]:
            last[:] = n, time.monotonic()
        return n is not None and time.monotonic() > last[1] + QUIET

    wait_for(quiet, 30, "it waits")


def hasten(server, clock, condition, seconds=2, timeout=60):
    """Until it is so, time passes faster while the helper sleeps."""

    def so():
        found = condition()
        if found:
            return found
        settled(server)
        clock.skip(server, seconds)

    return wait_for(so, timeout, condition)


def obtained(server, name="example.com"):
    """For hasten()."""

    return lambda: server.grep(f'certificate of "{name}" (issued|renewed)')


def waits(server, clock, name="example.com"):
    """Is it told to, by itself or by the CA?"""

    return clock.now() < max(of_ca(server).get("hold", 0),
                             state(server, name).get("next_attempt", 0))


DEATHS = "exited on signal 9|the helper was started .* times within a minute"


def kill(server):
    helper = server.helper()
    server.allow(DEATHS)
    server.signal("KILL", helper)
    server.helper(other_than=[helper])
    settled(server)


def restart(server):
    server.stop()
    server.start()
    settled(server)


def reload(server):
    old = server.helpers()
    server.reload()
    server.wait_gone(old)
    settled(server)


HOW = {"reload": reload, "kill": kill, "restart": restart}


def die_at(server, ca, kind, times=None):
    """The helper is killed whenever it sends such a request, or so often."""

    server.allow(DEATHS)
    left = [times]

    def now(request):
        if left[0] == 0:
            return
        if left[0] is not None:
            left[0] -= 1
        pids = server.helpers()
        for pid in pids:
            server.signal("KILL", pid)
        wait_for(lambda: not any(map(proc.alive, pids)), 10, "killed")

    ca.before(kind, now)


def within(requests, span):
    """How many there were, at most, in any span of so many seconds."""

    at = sorted(r.at for r in requests)
    return max((sum(t <= u < t + span for u in at) for t in at), default=0)


def old_pair(authority, server, name, left, age=80):
    """A pair in the store that has so many days left."""

    pair = authority.issue(name, life=int(left * DAY), age=age * DAY)
    os.makedirs(f"{server.dir}/store", mode=0o700, exist_ok=True)
    pair.store(f"{server.dir}/store", name)
    return pair
