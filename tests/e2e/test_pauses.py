"""
How long clients wait when NGINX or its helper is replaced, beside stock NGINX
in the same run (PAUSES=rounds).  Times are told and judged, never asserted.
"""

import os
import statistics
import time

import pytest

from support.aside import UNSIGNED
from support.beside import (OURS, STOCK, Stream, kill, reload, take_back,
                            take_over)
from support.certs import self_signed

ROUNDS = int(os.environ.get("PAUSES", 5))
NAMES = [f"{letter}.example.com" for letter in "abcd"]

# nobody is there, and nobody is needed: the pairs are fresh
CA = """
    autocert_path {dir}/store;
    autocert_ca https://127.0.0.1:1/directory;
    autocert_resolver 127.0.0.1;
"""

SERVER = """
    server {
        listen %d ssl%s;
        server_name %s;
        %s
        keepalive_requests 1000000;
        location / { return 200 "hello\\n"; }
    }
"""


@pytest.fixture
def ours(nginx):
    return serve(nginx, OURS)


@pytest.fixture
def stock(nginx):
    return serve(nginx, STOCK)


def serve(nginx, port):
    """
    With a pair for each name.  New workers get their share of connections from
    the first moment on: without "reuseport" old ones take most of them.
    """

    ours = port == OURS
    share = " reuseport"
    own = "autocert on; autocert_key_type secp256r1;"
    http = "access_log off;" + (CA if ours else "")

    for name in NAMES:
        http += SERVER % (port, share if name == NAMES[0] else "", name, own if ours else
                          "ssl_certificate {dir}/%s.pem;"
                          "ssl_certificate_key {dir}/%s.key;" % (name, name))

    server = nginx(http, modules=ours, log_level="notice")
    for name in NAMES:
        pair = self_signed(name)
        if ours:
            pair.store(f"{server.dir}/store", name)
        else:
            pair.write(f"{server.dir}/{name}.pem", f"{server.dir}/{name}.key")

    server.allow("exited on signal 9")
    server.allow(UNSIGNED)
    return server.start()


def rest(server):
    time.sleep(0.5)


def stop(server):
    if server.modules:
        pid = server.helper()
        server.signal("STOP", pid)
    time.sleep(5)


def go_on(server):
    if server.modules:
        server.signal("CONT", server.helper())


class Event:
    """
    handshake, request: what one may take on top of stock's, in ms; None: that
    is not judged.  after: how many handshakes that follow belong to it.
    """

    def __init__(self, name, act, handshake, request, after=60):
        self.name = name
        self.act = act
        self.aims = {"handshake": handshake, "request": request}
        self.after = after
        self.figures = {"ours": [], "stock": []}

    def median(self, who, what):
        return statistics.median(f[what] for f in self.figures[who])

    def most(self, who, what):
        return max(f[what] for f in self.figures[who])

    def judge(self, what):
        if self.aims[what] is None:
            return ""
        return ": met" if self.median("ours", what) \
            < self.median("stock", what) + self.aims[what] else ": missed"

    def lines(self):
        """(what, figures) for people."""

        for what in self.aims:
            said = [f"{who} {self.median(who, what):6.1f} "
                    f"({self.most(who, what):6.1f})" for who in self.figures]
            yield f"{self.name}, {what}", \
                ", ".join(said) + self.judge(what)


# as long as with stock, but for what the scheduler of a small machine does
AS_STOCK = 5

STOPPED, GOES_ON = "helper stopped", "helper goes on"

EVENTS = [
    ("nothing", rest, None, None),
    ("reload", reload, 20, AS_STOCK),
    ("helper killed", kill, 60, AS_STOCK),
    (STOPPED, stop, None, AS_STOCK, 0),
    (GOES_ON, go_on, None, None),
    ("upgrade", take_over, None, AS_STOCK),
    ("upgrade taken back", take_back, None, AS_STOCK),
]


@pytest.mark.deep
@pytest.mark.limit(120 + 60 * ROUNDS)
def test_pauses(ours, stock, measured):
    """
    Each event, at one and then at the other, ROUNDS times.  What is asserted
    is who fails: nobody, but handshakes that a stopped helper was asked for.
    """

    events = [Event(*event) for event in EVENTS]
    servers = {"ours": ours, "stock": stock}

    with Stream(OURS, NAMES) as a, Stream(STOCK, NAMES) as b:
        streams = {"ours": a, "stock": b}
        for stream in streams.values():
            stream.during(lambda: None, 200)

        for _ in range(ROUNDS):
            for event in events:
                for who, server in servers.items():
                    event.figures[who].append(streams[who].during(
                        lambda: event.act(server), event.after))

    measured(f"longest pause, ms: median (most) of {ROUNDS}", "")
    for event in events:
        for what, figures in event.lines():
            measured(what, figures)

    stopped = next(e for e in events if e.name == STOPPED)
    measured("helper stopped, handshakes failed after",
             f"{stopped.median('ours', 'failure'):.0f} "
             f"({stopped.most('ours', 'failure'):.0f})")

    for event in events:
        for who, found in event.figures.items():
            for figures in found:
                failed = dict(figures["failed"])
                # as all servers do that close just then
                failed.pop("dropped", None)
                if who == "ours" and event.name == STOPPED:
                    assert failed["alert"] >= 60
                if who == "ours" and event.name in (STOPPED, GOES_ON):
                    failed.pop("alert", 0)
                assert failed == {}, (event.name, who)
