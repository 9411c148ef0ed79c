"""
All that happens to NGINX and to its helper, under a stream of clients and with
orders under way, beside stock NGINX under the same (LIFECYCLE=reloads).
"""

import os
import re
import time

import pytest

from support import proc
from support.beside import (OURS, STOCK, TORN, Stream, kill, kill_worker,
                            reload, reopen, take_back, take_over)
from support.certs import self_signed
from support.engine import DEATHS, state
from support.nginx import ASAN, Nginx
from support.wait import wait_for

pytestmark = pytest.mark.skipif(bool(ASAN), reason="USR2 preloads nothing")

RELOADS = int(os.environ.get("LIFECYCLE", 100))
NAMES = [f"{letter}.test" for letter in "abcd"]
LIFE = 90               # s, of a certificate

HTTP = """
    access_log off;
    keepalive_requests 1000000;
    %s
"""

SERVER = """
    server {
        %s
        server_name %s;
        %s
        location / { return 200 "hello\\n"; }
    }
"""

OWN = """
    ssl_certificate {dir}/%s.pem;
    ssl_certificate_key {dir}/%s.key;
"""

BOTH = f"listen 80; listen {OURS} ssl;"
ALONE = f"listen {STOCK} ssl;"


class Both:
    """Ours, stock, and what happens to them."""

    def __init__(self, nginx, ca, authority):
        self.ca = ca
        self.log = ""
        self.more = []
        self.added = 0
        self.seen = set()
        self.cut = set()        # whose order was under way at "autocert off"
        self.ours = nginx(log_level="info")
        self.stock = nginx(HTTP % self.static(ALONE), modules=False,
                           log_level="notice")

        for server in self.ours, self.stock:
            server.allow(DEATHS)
            server.allow(r"worker process \d+ exited on signal 9")
            server.allow(r"autocert helper \d+ exited on signal 11")
            for name in NAMES:
                self_signed(name).write(f"{server.dir}/{name}.pem",
                                        f"{server.dir}/{name}.key")

        # they come due one after the other
        for n, name in enumerate(NAMES, 1):
            age = (10 - n) * LIFE / 15
            authority.issue(name, age=age, life=LIFE - age) \
                .store(f"{self.ours.dir}/store", name)

        self.write()
        self.ours.start()
        self.stock.start()

    @staticmethod
    def static(listen):
        return "".join(SERVER % (listen, name, OWN % (name, name))
                       for name in NAMES)

    def write(self, on=True):
        """The names that there are now, or autocert off."""

        if on:
            servers = "".join(SERVER % (BOTH, name, "autocert on;")
                              for name in NAMES + self.more)
            http = ("resolver 127.0.0.1; autocert_path {dir}/store;"
                    "autocert_key_type secp256r1; autocert on a@example.com;"
                    + self.ca.directives + servers)
        else:
            http = self.static(BOTH)
        self.ours.write(HTTP % http)

    # orders

    def orders(self):
        """{name: the order that is under way}"""

        found = {name: state(self.ours, name).get("order")
                 for name in NAMES + self.more}
        return {name: order for name, order in found.items() if order}

    def quiet(self):
        """None is under way, nor the next one just begun."""

        last = time.monotonic()

        def none():
            nonlocal last
            if self.orders():
                last = time.monotonic()
            return time.monotonic() > last + 0.5

        wait_for(none, 120, "no order under way")

    def change_names(self):
        """Another one, to be ordered; those that have theirs go."""

        self.more = [name for name in self.more if not os.path.exists(
            f"{self.ours.dir}/store/{name}/fullchain.pem")]
        self.more.append(f"x{self.added}.test")
        self.added += 1
        self.write()

    # events

    def each(self, event, *args):
        event(self.ours, *args)
        event(self.stock, *args)

    def reload(self):
        """While an order is under way, but not again while that one is."""

        wait_for(lambda: set(self.orders().values()) - self.seen, 60,
                 "another order")
        self.seen |= set(self.orders().values())
        self.each(reload)

    def off_and_on(self):
        self.quiet()
        self.write(on=False)
        self.each(Nginx.reload)
        wait_for(lambda: not self.ours.helpers(), 30, "no helper")
        self.cut |= set(self.orders())
        self.write()
        self.each(Nginx.reload)
        self.ours.helper(30)

    def reopen(self):
        self.log += self.ours.log()
        self.each(reopen)

    def kill_worker(self):
        self.quiet()
        self.each(kill_worker)


class Watch:
    """What becomes of the clients of both, event by event."""

    def __init__(self, ours, stock):
        self.streams = {"ours": ours, "stock": stock}
        self.events = {}

    def during(self, what, event, *args):
        for stream in self.streams.values():
            stream.take()
        event(*args)
        for who, stream in self.streams.items():
            sum = self.events.setdefault(what, {}).setdefault(who, {})
            stream.add(sum, stream.figures(10))


def resident(pid):
    """KiB of memory that is no file's."""

    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


def connected():
    """Over TCP, as many as clients like; over UDP, where a name was asked."""

    found = set()
    for protocol in "tcp", "udp":
        with open(f"/proc/net/{protocol}") as f:
            lines = [line.split() for line in f][1:]
        found |= {f"socket:[{line[9]}]" for line in lines if line[3] != "0A"}
    return found


def held(pid):
    """What a process has open, and how many mappings it shares."""

    clients = connected()
    found = [re.sub(r":\[\d+\]", "", leads)
             for leads in proc.descriptors(pid).values()
             if leads not in clients]
    with open(f"/proc/{pid}/maps") as f:
        shared = sum(line.split()[1].endswith("s") for line in f)
    return sorted(found), shared


def kinds(pid):
    """The least of many looks: clients come and go meanwhile."""

    return min((held(pid) for _ in range(20)), key=lambda found: len(found[0]))


def named():
    """Sockets with a name, and shared memory with one."""

    with open("/proc/net/unix") as f:
        sockets = [re.sub(r"/fd/\d+/", "/fd/N/", line.split()[7])
                   for line in f if len(line.split()) > 7]
    return sorted(sockets), sorted(os.listdir("/dev/shm"))


class Held:
    """By master, helper and workers, soon after a reload."""

    def __init__(self, both, watch):
        both.quiet()
        both.more = []
        both.write()
        both.each(reload)
        for stream in watch.streams.values():
            stream.figures(100)
        both.quiet()

        server = both.ours
        assert len(server.processes()) == 2 + server.n
        assert len(both.stock.processes()) == 1 + both.stock.n

        self.who = {"master": [server.master], "helper": [server.helper()],
                    "workers": server.workers(),
                    "stock's": [both.stock.master]}
        self.memory = {who: sum(map(resident, pids))
                       for who, pids in self.who.items()}
        self.named = named()

    def kinds(self):
        return {who: kinds(pids[0]) for who, pids in self.who.items()}


def act(both, watch, n):
    """The events of a round."""

    both.change_names()
    watch.during("reload", both.reload)

    if n % 2 == 0:
        watch.during("helper killed", kill, both.ours,
                     "KILL" if n % 4 else "SEGV")
    if n % 5 == 0:
        watch.during("worker killed", both.kill_worker)
    if n % 10 == 1:
        watch.during("upgrade", both.each, take_over)
    if n % 10 == 6:
        watch.during("upgrade taken back", both.each, take_back)
    if n % 10 == 3:
        watch.during("log reopened", both.reopen)
    if n % 10 == 8:
        watch.during("autocert off and on", both.off_and_on)


def lifecycle(nginx, pebble, authority, measured, reloads):
    ca = pebble(validity=LIFE, env={"PEBBLE_VA_NOSLEEP": "0",
                                    "PEBBLE_VA_SLEEPTIME": "1"})
    both = Both(nginx, ca, authority)

    with Stream(OURS, NAMES) as a, Stream(STOCK, NAMES) as b:
        watch = Watch(a, b)

        for n in range(1, reloads + 1):
            act(both, watch, n)
            if n == reloads // 5:
                before = Held(both, watch)
                opened = before.kinds()

        after = Held(both, watch)
        closed = after.kinds()

    for what, found in watch.events.items():
        measured(f"{what}: handshakes, requests, failures", ", ".join(
            f"{who} {sum['handshakes']} {sum['requests']} {sum['failed']}"
            for who, sum in found.items()))
    for who in before.memory:
        measured(f"{who}: KiB after the {reloads // 5}th and the last reload",
                 f"{before.memory[who]}, {after.memory[who]}")

    for what, found in watch.events.items():
        for who, sum in found.items():
            # a request that crosses the end of an idle connection
            allowed = TORN if what == "worker killed" else {"dropped"}
            assert set(sum["failed"]) <= allowed, (what, who)

    said = both.log + both.ours.log()
    # nobody answers for a name while autocert is off
    failed = re.findall('no (?:new )?certificate for "(.*?)"', said)
    assert set(failed) <= both.cut and len(failed) <= len(both.cut)
    assert ca.count("INVALID") <= len(both.cut)
    assert len(re.findall('" issued', said)) >= reloads / 2
    assert all(f'"{name}" renewed' in said for name in NAMES)
    assert closed == opened
    assert after.named == before.named

    return {who: kib / before.memory[who] for who, kib in after.memory.items()}


@pytest.mark.limit(300)
def test_lifecycle_short(nginx, pebble, authority, measured):
    lifecycle(nginx, pebble, authority, measured, 10)


@pytest.mark.deep
@pytest.mark.limit(60 + 20 * RELOADS)
def test_lifecycle(nginx, pebble, authority, measured):
    grown = lifecycle(nginx, pebble, authority, measured, RELOADS)
    assert RELOADS < 100 or all(by < 1.05 for by in grown.values()), grown
