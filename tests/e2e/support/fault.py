"""What a disk does to NGINX, in the hands of a test (fault.c)."""

import mmap
import struct

from .nginx import BUILD
from .wait import wait_for


class Fault:
    """
        fault = Fault(place)
        server = nginx(..., env=fault.env)
        fault.fail("privkey.pem", errno.EIO)    # each openat() of it fails
        fault.met()                             # it does so now
        fault.mend()
    """

    def __init__(self, dir):
        path = f"{dir}/fault"
        with open(path, "wb") as f:
            f.write(bytes(64))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 64)
        self.env = {"LD_PRELOAD": f"{BUILD}/fault.so", "AUTOCERT_FAULT": path}

    def fail(self, name, error):
        self.map[12:64] = name.encode().ljust(52, b"\0")
        self.map[:4] = struct.pack("i", error)
        self.seen = self.hits()

    def mend(self):
        self.map[:4] = bytes(4)

    def swap(self):
        """The next pair is replaced by hand.chain and hand.key at once."""

        self.map[8:12] = struct.pack("I", 1)

    def swapped(self):
        return struct.unpack("I", self.map[8:12]) == (0,)

    def hits(self):
        return struct.unpack("I", self.map[4:8])[0]

    def met(self, times=1, timeout=30):
        """So many times more than when it was asked, or set, last."""

        n = self.seen + times
        wait_for(lambda: self.hits() >= n, timeout,
                 lambda: f"{n} faults, there are {self.hits()}")
        self.seen = self.hits()
