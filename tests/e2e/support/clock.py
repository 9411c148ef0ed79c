"""NGINX's clocks, in the hands of a test (clock.c)."""

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

    Only NGINX sees it: Pebble and the times of files are real.
    """

    def __init__(self, dir):
        path = f"{dir}/clock"
        with open(path, "wb") as f:
            f.write(bytes(16))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 16)
        self.ahead = self.passed = 0
        self.env = {"LD_PRELOAD": f"{BUILD}/clock.so", "AUTOCERT_CLOCK": path}

    def write(self):
        self.map[:] = struct.pack("qq", self.ahead, self.passed)

    def set(self, ahead):
        """The wall clock is so many seconds ahead of the real one."""

        self.ahead = int(ahead)
        self.write()

    def skip(self, server, seconds):
        """Timers are due at once, as soon as their process has woken."""

        self.passed += int(seconds)
        self.write()
        for pid in server.processes():
            server.signal("IO", pid)            # which does no more

    def now(self):
        return time.time() + self.ahead + self.passed
