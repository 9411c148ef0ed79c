"""
Two hundred names whose certificates are good for twenty minutes, at a CA that
refuses every fifth nonce, over a network that breaks (SOAK_SECONDS=1200).
"""

import datetime
import glob
import json
import os
import random
import re
import threading
import time

import pytest

from support import proc, tls
from support.certs import Authority
from support.engine import DEATHS, conf, of_ca, read
from support.proxy import Cut
from support.wait import wait_for

SECONDS = int(os.environ.get("SOAK_SECONDS", 1200))
NAMES = [f"n{n}.test" for n in range(200)]
LIFE = 1200             # s; they are renewed when a third is left

PACE = 290              # NGX_AUTOCERT_PLAN_PACE: orders in three hours
ALL = 195               # names; of the others some wait after a failure
FURTHER = 40            # renewals, that tell whether a helper grows
# what a backlog takes at its height malloc keeps: some 150 KiB of 2 or 3 MiB; a
# leak of 4 KiB an order is more than this
GROWTH = 0.10

BROKEN = 0.02           # of the requests, before or after the CA has them
AWAY = 120              # s, from one cut of all to the next, about


class Look:
    """In a thread: each name in turn, without end."""

    def __init__(self):
        self.done = 0
        self.wrong = []
        self.seen = set()
        self.least = LIFE
        self.halt = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.halt.set()
        self.thread.join(60)

    def run(self):
        context = tls.client_context()
        while not self.halt.wait(0.05):
            name = NAMES[self.done % len(NAMES)]
            try:
                self.look(name, tls.handshake(name, context=context))
            except Exception as e:
                self.wrong.append((name, repr(e)))
            self.done += 1

    def look(self, name, peer):
        left = peer.cert.not_valid_after.replace(
            tzinfo=datetime.timezone.utc).timestamp() - time.time()
        self.least = min(self.least, left)
        self.seen.add(peer.serial)
        if left <= 0 or peer.self_signed or peer.names != [name]:
            self.wrong.append((name, f"{left} s left, {peer.cert.subject}"))


class Weather:
    """Of the network: each request may be cut off, and at times all are."""

    def __init__(self, ca):
        self.ca = ca
        self.random = random.Random(1)
        self.cut = 0
        self.away = 0
        self.turns = 0
        for kind in ("directory", "nonce", "order", "poll", "authz",
                     "challenge", "finalize", "certificate"):
            ca.before(kind, self.request)

    def request(self, request):
        how = self.random.random()
        if how < BROKEN:
            self.cut += 1
            if how < BROKEN / 2:
                raise Cut
            self.ca.answer(request.kind, cut="after")

    def turn(self):
        """Once a second."""

        self.turns += 1
        if self.random.random() < 1 / AWAY or self.turns == 20:
            self.away += 1
            self.ca.stop()
            time.sleep(self.random.uniform(1, 10))
            self.ca.start()


class Lives:
    """
    The pace of orders is the product's own, and is to spare a CA.  Here it is
    taken away whenever it is nearly used up, which takes a helper's life: what
    each holds, when it has renewed all names, and at its end.  So long it takes
    until there is, of each name, all that will ever be.
    """

    def __init__(self, server):
        self.server = server
        self.figures = []           # (renewals, KiB, both at the end)
        self.begin()

    def begin(self):
        self.mark = self.server.mark()
        self.before = None

    def renewed(self):
        return [re.search('of "(.*)" renewed', line)[1]
                for line in self.server.grep('" renewed', self.mark)]

    def holds(self):
        return len(self.renewed()), proc.memory(self.server.helper())

    def turn(self):
        if self.before is None and len(set(self.renewed())) >= ALL:
            self.before = self.holds()
        if sum(n for _, n in of_ca(self.server).get("slots", [])) >= PACE - 5:
            self.end()

    def look(self):
        if self.before:
            self.figures.append((*self.before, *self.holds()))

    def end(self):
        self.look()
        helper = self.server.helper()
        self.server.signal("STOP", helper)
        forget(self.server)
        self.server.signal("KILL", helper)
        self.server.helper(other_than=[helper])
        self.begin()


def store(server):
    """
    For each name a pair of another age: they come due one by one.  The chains
    are like Pebble's, as it is to be seen what grows.
    """

    authority = Authority("Intermediate CA", "rsa2048")

    for n, name in enumerate(NAMES):
        age = LIFE * 2 / 3 * n / len(NAMES)
        authority.issue(name, age=age, life=LIFE - age) \
            .store(f"{server.dir}/store", name)


def forget(server):
    """That there were orders, which is read by the next helper."""

    path, = glob.glob(f"{server.dir}/store/.accounts/*/state.json")
    kept = read(path)
    kept.pop("slots")
    with open(path, "w") as f:
        json.dump(kept, f)


def held(server):
    """Descriptors and KiB of master and workers."""

    return {pid: (len(proc.descriptors(pid)), proc.memory(pid))
            for pid in [server.master, *server.workers()]}


def grown(before, after):
    return max(after[pid][1] / before[pid][1] - 1 for pid in before)


@pytest.mark.deep
@pytest.mark.limit(SECONDS + 900)
def test_soak(nginx, proxy, measured):
    """No name is ever without a certificate that is good, and nothing grows."""

    ca = proxy(validity=LIFE, nonce_reject=20)
    server = nginx(conf(ca, " ".join(NAMES),
                        more="server_names_hash_max_size 8192;"))
    server.allow(DEATHS)
    store(server)
    server.start()

    weather, lives = Weather(ca), Lives(server)
    before, began = None, time.monotonic()

    with Look() as look:
        while time.monotonic() < began + SECONDS:
            assert look.wrong == []
            weather.turn()
            lives.turn()
            # workers, too, have served all of them, and then anew
            if before is None and (lives.before or time.monotonic()
                                   > began + SECONDS * 3 / 4):
                before = held(server)
            time.sleep(1)

        after = held(server)
        lives.look()

    renewed = len(server.grep('" renewed'))
    measured(f"{SECONDS} s, renewals", renewed)
    measured("handshakes, certificates seen", f"{look.done}, {len(look.seen)}")
    measured("expired", 0)
    measured("the least that one had left", f"{look.least:.0f} of {LIFE} s")
    measured("requests to the CA", len(ca.requests))
    measured("requests cut off, all for a while",
             f"{weather.cut}, {weather.away}")
    measured("refused, for their nonces", sum(r.status == 400 for r in ca.requests))
    measured("failed orders", len(server.grep("no (new )?certificate for")))
    measured("helpers: renewals, KiB when it was all names, and at the end",
             lives.figures)
    measured("master, workers: descriptors, KiB before", [*before.values()])
    measured("and after", [*after.values()])

    assert look.wrong == []
    assert renewed >= SECONDS / LIFE * len(NAMES)
    assert weather.cut and weather.away
    assert ca.wrong == []
    assert len(server.helpers()) == 1
    assert set(before) == set(after)
    assert all(after[p][0] <= before[p][0] + 2 for p in before)
    assert grown(before, after) < GROWTH

    # a short soak renews not enough
    told = [(before, after) for n, before, more, after in lives.figures
            if more >= n + FURTHER]
    assert told or SECONDS < LIFE
    assert all(after / before - 1 < GROWTH for before, after in told)
