"""Processes that are killed in the midst of what they do (crash.c)."""

import mmap
import struct

from .nginx import BUILD
from .wait import wait_for

FIELDS = ("calls", "at", "early", "deaths", "opened", "connected", "keys",
          "committed")


class Crash:
    """
        crash = Crash(place)
        server = nginx(..., env=crash.env)
        crash.watch(f"{server.dir}/store")
        crash.kill(7)           # at the 7th call that changes the store
        crash.died()            # it was
    """

    def __init__(self, dir):
        path = f"{dir}/crash"
        with open(path, "wb") as f:
            f.write(bytes(256))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 256)
        self.env = {"LD_PRELOAD": f"{BUILD}/crash.so", "AUTOCERT_CRASH": path}

    def __getattr__(self, name):
        at = FIELDS.index(name) * 4
        return struct.unpack("I", self.map[at:at + 4])[0]

    def set(self, **values):
        for name, value in values.items():
            at = FIELDS.index(name) * 4
            self.map[at:at + 4] = struct.pack("I", value)

    def watch(self, store):
        self.map[32:256] = store.encode().ljust(224, b"\0")

    def kill(self, n):
        """At the n-th call from now on; 0: not any more."""

        self.set(at=0, deaths=0)
        self.set(calls=0)
        self.set(at=n)

    def died(self, timeout=30):
        wait_for(lambda: self.deaths, timeout,
                 lambda: f"a death, at {self.at} of {self.calls} calls")
