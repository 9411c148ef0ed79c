"""A worker that is taken over: it calls what a test tells it to (taken.c)."""

import os
import re
import socket
import struct

from . import proc
from .wait import wait_for

HELLO = 0x61636d65
CHAIN, SIGN, UNFIT = 2, 3, 4

EPOLL_CTL_DEL = 2
PROT_ALL = 3                                    # to read and to write


class Taken:
    """
    One connection to a worker, which is a thread there; calls wait for each
    other.  Bytes as an argument are put into the worker's memory first.
    """

    def __init__(self, pid):
        self.pid = pid
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(f"\0taken.{pid}")
        self.fd, self.scratch = struct.unpack("qq", self.exactly(16))

    def exactly(self, n):
        data = b""
        while len(data) < n:
            piece = self.sock.recv(n - len(data))
            if not piece:
                raise ConnectionError("the worker is gone")
            data += piece
        return data

    def order(self, name, *args):
        args = list(args) + [0] * (6 - len(args))
        self.sock.sendall(struct.pack("40s6Q", name.encode(),
                                      *(a & (1 << 64) - 1 for a in args)))

    def raw(self, name, *args):
        self.order(name, *args)
        return struct.unpack("qq", self.exactly(16))

    def put(self, data, at):
        self.order("recv", self.fd, at, len(data), socket.MSG_WAITALL)
        self.sock.sendall(data)
        assert struct.unpack("qq", self.exactly(16))[0] == len(data)

    def get(self, at, n):
        self.order("send", self.fd, at, n, 0)
        data = self.exactly(n)
        self.exactly(16)
        return data

    def call(self, name, *args, check=True):
        """An int, as most functions return; fails if it is -1."""

        at, given = self.scratch, []
        for arg in args:
            if isinstance(arg, bytes):
                self.put(arg, at)
                given.append(at)
                at += len(arg) + 7 & ~7
            else:
                given.append(arg)

        value, error = self.raw(name, *given)
        value = struct.unpack("i", struct.pack("q", value)[:4])[0]
        if value == -1 and check:
            raise OSError(error, os.strerror(error), name)
        return value if value != -1 else -error

    def close(self):
        self.sock.close()

    # what it has

    def option(self, fd, option):
        """An option of a socket, raw; b"" if fd is none."""

        at = self.scratch
        self.put(struct.pack("I", 16), at)
        value, _ = self.raw("getsockopt", fd, socket.SOL_SOCKET, option,
                            at + 16, at)
        return b"" if value & 0xffffffff else self.get(at + 16, 12)

    def seqpackets(self):
        """{fd: pid of its maker}; the door alone is not of its own making."""

        found = {}
        for fd, leads in proc.descriptors(self.pid).items():
            if leads.startswith("socket:") and \
                    self.option(fd, socket.SO_TYPE)[:4] == b"\5\0\0\0":
                found[fd] = struct.unpack(
                    "i", self.option(fd, socket.SO_PEERCRED)[:4])[0]
        return found

    def door(self):
        door, = [fd for fd, pid in self.seqpackets().items()
                 if pid != self.pid]
        return door

    def channel_of(self, pid):
        """NGINX's own channel to a process, as each worker has it."""

        for slot in range(1024):
            if self.call("taken_pid", slot) == pid:
                return self.call("taken_channel", slot)
        raise AssertionError(f"no channel to {pid}")

    def withdraw(self):
        """Its own code neither accepts nor looks at its channel any more."""

        epoll, = [fd for fd, leads in proc.descriptors(self.pid).items()
                  if "eventpoll" in leads]
        with open(f"/proc/{self.pid}/fdinfo/{epoll}") as f:
            watched = [int(n) for n in re.findall(r"tfd:\s*(\d+)", f.read())]

        for fd in watched:
            if self.option(fd, socket.SO_ACCEPTCONN)[:4] == b"\1\0\0\0" \
                    or fd in self.seqpackets():
                self.call("epoll_ctl", epoll, EPOLL_CTL_DEL, fd, 0)
        return self

    def shared(self):
        """(address, size) of each anonymous mapping that others have too."""

        with open(f"/proc/{self.pid}/maps") as f:
            lines = [line for line in f if re.match(
                r"\S+ ...s \S+ \S+ \d+ +/dev/zero", line)]
        spans = [re.split("[- ]", line)[:2] for line in lines]
        return [(int(a, 16), int(b, 16) - int(a, 16)) for a, b in spans]

    def scribble(self, byte):
        """The same byte all over that memory, however it is protected."""

        spans = self.shared()
        assert spans
        for at, size in spans:
            self.call("mprotect", at, size, PROT_ALL)
            self.raw("memset", at, byte, size)

    # what it says

    def message(self, data, fds=()):
        """A msghdr in its memory: its address."""

        at = self.scratch + 4096
        control = b""
        if fds:
            control = struct.pack(f"QII{len(fds)}i", 16 + 4 * len(fds),
                                  socket.SOL_SOCKET, socket.SCM_RIGHTS, *fds)
            control += bytes(-len(control) % 8)
        iov, rights, bytes_at = at + 64, at + 128, at + 128 + len(control)
        self.put(struct.pack("QIIQQQQi", 0, 0, 0, iov, 1,
                             rights if fds else 0, len(control), 0)
                 .ljust(64, b"\0")
                 + struct.pack("QQ", bytes_at, len(data)).ljust(64, b"\0")
                 + control + data, at)
        return at

    def send(self, fd, data, fds=(), check=True):
        return self.call("sendmsg", fd, self.message(data, fds),
                         socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT,
                         check=check)

    def recv(self, fd, timeout=10):
        """The next frame; b"" at the end."""

        self.put(struct.pack("ihh", fd, 1, 0), self.scratch)
        assert self.call("poll", self.scratch, 1, int(timeout * 1000)) == 1, \
            "nothing comes"
        n = self.call("recv", fd, self.scratch, 65536, socket.MSG_DONTWAIT,
                      check=False)
        return b"" if n <= 0 else self.get(self.scratch, n)

    def pair(self, kind=socket.SOCK_SEQPACKET, family=socket.AF_UNIX):
        self.call("socketpair", family, kind, 0, self.scratch)
        return struct.unpack("ii", self.get(self.scratch, 8))

    def hello(self, pid=None, worker=0, version=1):
        return struct.pack(">4I", HELLO, version, worker, pid or self.pid)

    def knock(self, hello=None, fds=None):
        """A channel of its own: our end of it."""

        ours, theirs = self.pair()
        self.send(self.door(), self.hello() if hello is None else hello,
                  [theirs] if fds is None else fds)
        self.call("close", theirs)
        return ours

    def ready(self):
        """A channel that is served."""

        channel = self.knock()
        assert self.recv(channel)[:4] == struct.pack(">I", 1)
        return channel

    def lingering(self, port):
        """
        A descriptor whose close takes a minute: a connection to whom nobody
        reads, with data that is not sent.
        """

        fd = self.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
        self.call("connect", fd, struct.pack(
            "=HH4s8x", socket.AF_INET, socket.htons(port),
            socket.inet_aton("127.0.0.1")), 16)
        self.call("setsockopt", fd, socket.SOL_SOCKET, socket.SO_LINGER,
                  struct.pack("ii", 1, 60), 8)
        while self.call("send", fd, self.scratch, 65536, socket.MSG_DONTWAIT,
                        check=False) > 0:
            pass
        return fd


def chain(index=0, number=1):
    return struct.pack(">IQI", CHAIN, number, index)


def unfit(index=0, number=1):
    return struct.pack(">IQI", UNFIT, number, index)


def sign(digest=bytes(32), id=bytes(32), index=0, number=1):
    return struct.pack(">IQI32sI", SIGN, number, index, id,
                       len(digest)) + digest


def command(number, slot=0):
    """A message of NGINX's own channel: ngx_channel_t."""

    return struct.pack("qiqi", number, 1, slot, -1).ljust(32, b"\0")


def take(server):
    """(a worker that is taken over, the pid of the other one)"""

    server.allow(r"epoll_ctl\(2")              # as it leaves, of withdraw()
    first, second = sorted(server.workers())
    wait_for(lambda: len(server.grep("signing for worker process")) >= 2, 10,
             "both have a channel")
    return Taken(first).withdraw(), second
