"""A failure that lasts is told, and not told of again and again."""

import os
import re
import time

import pytest

from support.engine import (ALL_WAIT, DAY, asleep, conf, failures, hasten,
                            issued, of_ca, reload, state)
from support.nginx import ASAN

pytestmark = pytest.mark.skipif(bool(ASAN), reason="clock.so is preloaded")

LOUD = r"\[(warn|error)\].*no certificate for"


@pytest.fixture
def ca(proxy):
    return proxy(validity=90 * DAY)


def count(line):
    found = re.search(r", (\d+) failures in a row", line)
    return int(found[1]) if found else 1


def test_of_a_name(nginx, ca, clock):
    """Loud once a day, with how often it was; each time at info."""

    ca.answer("order", 400, "malformed", "no", times=None)
    server = nginx(conf(ca), env=clock.env).start()
    # a minute, two, four ... an hour, and then each hour
    for n in range(1, 41):
        failures(server, n)
        clock.skip(server, state(server)["next_attempt"] - clock.now() + 1)

    every = server.grep("no certificate for")
    assert [count(line) for line in every[:40]] == list(range(1, 41))

    loud = server.grep(LOUD)
    assert count(loud[0]) == 1
    assert len(loud) == 2 and 24 < count(loud[1]) < 40
    assert all("[info]" in line for line in every if line not in loud)

    # another reason is told at once
    ca.normal()
    ca.answer("order", 400, "rejectedIdentifier", "never", times=None)
    n = state(server)["failures"]
    clock.skip(server, state(server)["next_attempt"] - clock.now() + 1)
    failures(server, n + 1)
    line = server.wait_log(LOUD + ".*does not sign this name")
    assert count(line) > 40


def test_after_a_reload(nginx, ca, clock):
    """Who has changed something is told what has come of it."""

    ca.answer("order", 400, "malformed", "no", times=None)
    server = nginx(conf(ca), env=clock.env).start()
    for n in range(1, 6):
        failures(server, n)
        if n < 5:
            clock.skip(server, state(server)["next_attempt"] - clock.now() + 1)
    assert len(server.grep(LOUD)) == 1

    # a reload gives it a try after ten minutes, and the next is later
    clock.skip(server, 610)
    assert state(server)["next_attempt"] > clock.now()
    mark = server.mark()
    reload(server)
    failures(server, 6)
    assert len(server.grep(LOUD, since=mark)) == 1


def test_of_a_ca(nginx, ca, clock):
    """Whichever of the names it was that has tried."""

    ca.stop()
    server = nginx(conf(ca, "a.test b.test c.test"), env=clock.env).start()
    for n in range(1, 6):
        hasten(server, clock, lambda: of_ca(server).get("failures") == n)
        clock.skip(server, of_ca(server)["hold"] - clock.now() + 1)

    every = server.grep(ALL_WAIT)
    assert len(every) >= 5
    assert len(server.grep(LOUD)) == 1
    assert [count(line) for line in every[:5]] == [1, 2, 3, 4, 5]

    ca.start()
    clock.skip(server, 3600)
    for name in "a.test", "b.test", "c.test":
        issued(server, name)


# a helper that can't work


def a_file(store):
    with open(store, "w"):
        pass


def open_to_all(store):
    os.unlink(store)
    os.mkdir(store)
    os.chmod(store, 0o777)


def private(store):
    os.chmod(store, 0o700)


def lock_is_a_directory(store):
    os.makedirs(f"{store}/.lock", mode=0o700)


def lock_open_to_all(store):
    os.rmdir(f"{store}/.lock")
    a_file(f"{store}/.lock")
    os.chmod(f"{store}/.lock", 0o666)


def lock_private(store):
    os.chmod(f"{store}/.lock", 0o600)


@pytest.mark.parametrize("spoil, spoil_again, mend", [
    (a_file, open_to_all, private),
    (lock_is_a_directory, lock_open_to_all, lock_private)],
    ids=["store", "lock"])
def test_of_the_store(nginx, ca, clock, spoil, spoil_again, mend):
    """
    Nothing can be obtained: that is said once a minute, by the time of the
    log, and another reason at once.
    """

    server = nginx(conf(ca), env=clock.env)
    store = f"{server.dir}/store"
    spoil(store)
    server.start()

    def told(pattern=""):
        return [time.mktime(time.strptime(line[:19], "%Y/%m/%d %H:%M:%S"))
                for line in server.grep(
                    rf"\[error\].*{pattern}.*no certificate is obtained")]

    def look():
        """Time for another one, and then it is over."""

        clock.skip(server, 5)
        asleep(server.helper())

    looks = 0
    while len(told()) < 3:
        look()
        looks += 1
        assert looks < 60
    first, second, third = told()
    assert looks > 20
    assert 60 <= second - first < 100
    assert 60 <= third - second < 100

    spoil_again(store)
    look()
    assert len(told()) == 4
    assert len(told("run: chmod")) == 1

    mend(store)
    hasten(server, clock, lambda: server.grep("certificate .* issued"))
    assert len(told()) == 4
