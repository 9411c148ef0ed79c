"""NGINX's clocks, in the hands of a test (clock.c)."""

import contextlib
import mmap
import struct
import time

from .nginx import BUILD


class Clock:
    """
        clock = Clock(place)
        server = nginx(..., env=clock.env)
        clock.set(86400)            # the wall clock steps a day ahead
        clock.skip(server, 60)      # a minute passes at once
        with clock.paced(0):        # no timer runs out, however long it takes
            clock.skip(server, 0.5)

    Only NGINX sees it: Pebble and the times of files are real.
    """

    def __init__(self, dir):
        path = f"{dir}/clock"
        with open(path, "wb") as f:
            f.write(bytes(72))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 72)
        self.ahead = self.passed = self.which = 0
        self.paces = [(0, 0, 1000), (0, 0, 1000)]
        self.env = {"LD_PRELOAD": f"{BUILD}/clock.so", "AUTOCERT_CLOCK": path}
        self.pace(1)

    def write(self):
        self.map[:16] = struct.pack("qq", self.ahead, self.passed)

    def set(self, ahead):
        """The wall clock is so many seconds ahead of the real one."""

        self.ahead = int(ahead)
        self.write()

    def skip(self, server, seconds):
        """
        Timers are due at once, as soon as their process has woken.  A part of
        a second passes for them alone.
        """

        whole = int(seconds)
        self.passed += whole
        self.write()
        if seconds != whole:
            self.pace(self.paces[self.which][2] / 1000, seconds - whole)
        for pid in server.processes():
            server.signal("IO", pid)            # which does no more

    def pace(self, pace, skip=0):
        """How fast the time of timers passes, against the real one."""

        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        real, shown, old = self.paces[self.which]
        shown += (now - real) // 1000 * old + int(skip * 1e9)
        which = 1 - self.which
        self.paces[which] = (now, shown, int(pace * 1000))
        self.map[24 + 24 * which:48 + 24 * which] = \
            struct.pack("qqq", *self.paces[which])
        self.map[16:24] = struct.pack("q", which)
        self.which = which

    @contextlib.contextmanager
    def paced(self, pace):
        """The pace is this one meanwhile."""

        before = self.paces[self.which][2] / 1000
        self.pace(pace)
        try:
            yield self
        finally:
            self.pace(before)

    @classmethod
    def slow(cls, server):
        """
        Its deadlines, and its pauses, are ten times as long: none is missed
        because a test is run slowly.
        """

        server.clock = cls(server.dir)
        server.clock.pace(0.1)
        server.add_environment(server.clock.env)
        return server

    def now(self):
        return time.time() + self.ahead + self.passed
