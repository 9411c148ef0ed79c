"""
Stock NGINX beside ours: the same names, the same clients (stream.c), the same
events.
"""

import json
import os
import select
import subprocess

from . import proc
from .nginx import BUILD
from .wait import wait_for

OURS, STOCK = 443, 8443

# what clients of any server meet whose worker dies
TORN = {"broken", "answer", "begun", "dropped"}


class Stream:
    """
        with Stream(443, ["a.test", "b.test"]) as stream:
            stream.take()["failed"]         # {how: number} until now
            stream.during(event)["handshake"]   # the longest meanwhile, in ms
            stream.sum                      # of all
    """

    def __init__(self, port, names, rate=60):
        self.args = [f"{BUILD}/stream", str(port), str(rate), *names]
        self.sum = {}

    def __enter__(self):
        self.process = subprocess.Popen(self.args, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *exc):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)

    def take(self):
        """Figures since the last time."""

        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 30)[0], \
            "the client hangs"
        found = json.loads(self.process.stdout.readline())
        self.add(self.sum, found)
        return found

    @staticmethod
    def add(to, more):
        to.setdefault("failed", {})
        for key in "handshakes", "requests", "self":
            to[key] = to.get(key, 0) + more[key]
        for key in "handshake", "request", "failure":
            to[key] = max(to.get(key, 0), more[key])
        for how, n in more["failed"].items():
            to["failed"][how] = to["failed"].get(how, 0) + n

    def figures(self, handshakes, timeout=60):
        """Since the last time, once so many more handshakes are done."""

        found = self.take()
        handshakes += found["handshakes"]

        def enough():
            self.add(found, self.take())
            return found["handshakes"] >= handshakes

        wait_for(enough, timeout, lambda: f"handshakes, there are {found}")
        return found

    def during(self, event, handshakes=50):
        """Figures of an event, and of so many handshakes after it."""

        self.take()
        event()
        return self.figures(handshakes)


def children(master, prefix):
    """Those with such a title that do not leave."""

    return [p for p in proc.children(master)
            if proc.title(p).startswith(f"nginx: {prefix}")
            and "shutting down" not in proc.title(p)]


def whole(server, master):
    """Is all there of that master's?"""

    return len(children(master, "worker")) == server.n \
        and len(children(master, "autocert helper")) == server.modules


def reload(server):
    """Until the old workers are gone."""

    old = server.helpers()
    server.reload()
    if server.modules:
        server.helper(30, other_than=old)
    wait_for(lambda: len(server.workers(leaving=True)) == server.n, 30,
             "old workers gone")


def kill(server, sig="KILL"):
    """The helper, where there is one."""

    if server.modules:
        old = server.helper()
        server.signal(sig, old)
        server.helper(other_than=[old])


def kill_worker(server):
    old = server.workers()[0]
    server.signal("KILL", old)
    wait_for(lambda: old not in server.workers()
             and len(server.workers()) == server.n, 30, "another worker")


def reopen(server):
    """USR1, of a log that was moved away."""

    server.check_log()
    os.rename(server.log_path, f"{server.log_path}.old")
    server.signal("USR1")
    wait_for(lambda: all(
        server.log_path in proc.descriptors(pid).values()
        for pid in server.processes()), 30, "the new log open in all")


def upgrade(server):
    """USR2: (old master, new master), when both serve."""

    old = server.master
    server.signal("USR2")
    wait_for(lambda: server.read_pid() not in (None, old), 30, "a new master")
    new = server.master
    wait_for(lambda: whole(server, new), 30, "children of the new master")
    return old, new


def take_over(server):
    """An upgrade to its end."""

    old, _ = upgrade(server)
    server.signal("QUIT", old)
    server.wait_gone(old)
    wait_for(lambda: len(server.processes()) == 1 + server.n + server.modules,
             30, "only what is new")


def take_back(server):
    """An upgrade whose new master has taken over, and is found to be wrong."""

    old, new = upgrade(server)
    server.signal("WINCH", old)
    wait_for(lambda: not children(old, "worker"), 30, "old workers told")
    server.signal("HUP", old)
    wait_for(lambda: whole(server, old), 30, "children of the old master")
    server.signal("QUIT", new)
    server.wait_gone(new)
    wait_for(lambda: server.read_pid() == old
             and len(server.processes()) == 1 + server.n + server.modules,
             30, "only what was there before")
