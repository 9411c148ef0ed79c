"""A worker that is taken over: nobody but itself has harm of it."""

import contextlib
import errno
import hashlib
import os
import resource
import socket
import struct
import threading
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from support import proc, tls
from support.aside import CONF, NAME
from support.certs import Authority, self_signed
from support.engine import settled
from support.nginx import BUILD, MODULES
from support.taken import (PROT_ALL, SIGN, Taken, chain, command, sign,
                           take, unfit)
from support.wait import wait_for


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.setattr("support.nginx.MODULES",
                        [*MODULES, f"{BUILD}/taken.so"])


@pytest.fixture
def server(nginx, modules):
    return serving(nginx, workers=2)


def serving(nginx, **options):
    server = nginx(CONF % ("", "", ""), **options)
    server.pair = self_signed(NAME)
    server.pair.store(f"{server.dir}/store", NAME)
    server.start()
    assert tls.handshake(NAME).der == server.pair.der
    return server


@contextlib.contextmanager
def stopped(server):
    helper = server.helper()
    server.signal("STOP", helper)
    wait_for(lambda: proc.stat(helper)[0] == "T", 5, "stopped")
    yield
    server.signal("CONT", helper)


def test_out_of_reach(server):
    """What one process can do to another, it can not do to the helper."""

    taken, other = take(server)
    helper = server.helper()
    key = f"{server.dir}/store/{NAME}/privkey.pem"
    pidfd_open, pidfd_getfd = 434, 438
    fd = taken.call("syscall", pidfd_open, helper, 0)

    span = struct.pack("QQ", taken.scratch, 8)
    for args in (("process_vm_readv", helper, span, 1, span, 1, 0),
                 ("syscall", pidfd_getfd, fd, 0, 0),
                 ("ptrace", 16, helper, 0, 0),          # PTRACE_ATTACH
                 ("kill", helper, 9),
                 ("prlimit", helper, 7, 0, taken.scratch),
                 ("open", f"/proc/{helper}/mem\0".encode(), 0),
                 ("open", f"/proc/{helper}/fd/0\0".encode(), 0),
                 ("open", f"{key}\0".encode(), 0)):
        assert taken.call(*args, check=False) in (-errno.EPERM,
                                                  -errno.EACCES), args[0]


# memory


@pytest.mark.parametrize("byte", [0x01, 0x7f, 0xff])
def test_scribbles(server, byte):
    """
    All that it shares with others is written over, and then it dies: no
    master follows, a helper is started as ever, what is served is served.
    """

    server.allow("exited on signal 9")
    server.allow("shared memory zone")
    taken, other = take(server)
    master, helper = server.master, server.helper()

    taken.scribble(byte)
    server.signal("KILL", taken.pid)
    server.wait_log(f"worker process {taken.pid} exited")
    wait_for(lambda: len(set(server.workers()) - {taken.pid}) == 2, 10,
             "another worker")
    assert server.master == master and proc.alive(master)
    assert server.helper() == helper and other in server.workers()

    server.signal("KILL", helper)
    new = server.helper(other_than=[helper])
    server.wait_log(f"{new}#.*signing for worker process")
    assert tls.handshake(NAME).der == server.pair.der

    server.reload()
    assert tls.handshake(NAME).der == server.pair.der


def test_forged_starts(server):
    """
    What it writes where a helper looks for its own starts can make the next
    one wait, a minute at most, and does not occupy it.
    """

    server.allow("exited on signal 9")
    server.allow("the helper was started")
    taken, other = take(server)
    helper = server.helper()
    now = int(time.time())
    forged = 0

    for at, size in taken.shared():
        taken.call("mprotect", at, size, PROT_ALL)
        if abs(struct.unpack("q", taken.get(at, 8))[0] - now) < 100:
            taken.put(struct.pack("6qQ", *[now] * 6, (1 << 64) - 1), at)
            forged += 1

    assert forged == 1
    server.signal("KILL", helper)
    server.wait_log("was started 7 times .* serves keys after 60000 ms")
    assert proc.alive(server.helper(other_than=[helper]))


# NGINX's own channel to the helper, whose master's end all workers have

QUIT, TERMINATE, REOPEN, OPEN, CLOSE = 3, 4, 5, 1, 2

ORDERS = {
    "quit": (command(QUIT), 0),
    "terminate": (command(TERMINATE), 0),
    "reopen": (command(REOPEN), 0),
    "close": (command(CLOSE), 0),
    "no descriptor": (command(OPEN), 0),
    "descriptors": (command(OPEN), 8),
    "descriptors that nobody wants": (command(QUIT), 200),
    "short": (b"\3", 0),
    "garbage": (b"\xff" * 300, 0),
}


@pytest.mark.parametrize("order", ORDERS)
def test_commands(server, order):
    """
    The helper goes by its master alone.  That uses signals from then on, of
    which NGINX has something to say.
    """

    data, descriptors = ORDERS[order]
    server.allow("wrote to the helper's channel")
    server.allow(r"sendmsg\(\) failed \(32: Broken pipe\)")
    taken, other = take(server)
    helper = server.helper()
    before = len(proc.descriptors(helper))

    taken.send(taken.channel_of(helper), data, [taken.fd] * descriptors)
    server.wait_log(f"{helper}#.*process {taken.pid} wrote to the helper's")
    assert len(proc.descriptors(helper)) == before
    check_orders(server, taken, other, helper)


def test_commands_out_of_band(server):
    server.allow("wrote to the helper's channel")
    server.allow(r"sendmsg\(\) failed \(32: Broken pipe\)")
    taken, other = take(server)
    helper = server.helper()

    taken.call("send", taken.channel_of(helper), b"!", 1, socket.MSG_OOB)
    server.wait_log(f"{helper}#.*process {taken.pid} wrote to the helper's")
    check_orders(server, taken, other, helper)


def test_commands_shut(server):
    """Nothing was written: it can't be told from the end of the master."""

    server.allow(r"sendmsg\(\) failed \(32: Broken pipe\)")
    taken, other = take(server)
    helper = server.helper()

    taken.call("shutdown", taken.channel_of(helper), socket.SHUT_RDWR)
    check_orders(server, taken, other, helper)


def test_commands_behind(server):
    """What the master has said before the helper looked is not lost."""

    server.allow("wrote to the helper's channel")
    server.allow(r"sendmsg\(\) failed \(32: Broken pipe\)")
    taken, other = take(server)
    helper = server.helper()
    channel = taken.channel_of(helper)

    with stopped(server):
        for _ in range(3):
            taken.send(channel, command(OPEN), [taken.fd])
        mark = server.mark()
        server.signal("USR1")
        server.wait_log("reopening logs", since=mark)

    server.wait_log(f"{helper}#.*process {taken.pid} wrote to the helper's")
    server.wait_log(f"{helper}#.*reopening logs")


def check_orders(server, taken, other, helper):
    """It serves, and does what the master wants: reopens, drains, leaves."""

    assert tls.handshake(NAME).der == server.pair.der
    assert not server.grep(f"{helper}#.*(reopening|exiting|until they have)")
    assert server.helper() == helper

    server.signal("USR1")
    server.wait_log(f"{helper}#.*reopening logs")
    assert server.helper() == helper

    server.reload()
    new = server.helper(timeout=20, other_than=[helper])
    server.wait_gone([taken.pid, other, helper])
    server.wait_log(f"{helper}#.*workers until they have left")
    assert tls.handshake(NAME).der == server.pair.der
    assert server.helper() == new


# descriptors whose close takes a minute


def refused(taken, slow):
    return [(taken.door(), b"x", [slow])]


def more_than_are_taken(taken, slow):
    return [(taken.door(), taken.hello(), [slow] * 200)]


def with_a_question(taken, slow):
    return [(taken.ready(), chain(), [slow])]


def left_in_a_channel(taken, slow):
    channel = taken.ready()
    return [(channel, b"x", []), (channel, chain(), [slow])]


def brought_in_a_channel(taken, slow):
    """One that is refused: what is in it goes with it."""

    ours, theirs = taken.pair()
    return [(ours, b"x", [slow]), (taken.door(), taken.hello(1), [theirs])]


def brought_too_often(taken, slow):
    """Their process has channels enough."""

    ours, theirs = taken.pair()
    return [(ours, b"x", [slow]), (taken.door(), taken.hello(), [theirs])] * 9


@pytest.mark.parametrize("way", [refused, more_than_are_taken, with_a_question,
                                 left_in_a_channel, brought_in_a_channel,
                                 brought_too_often])
def test_slow_to_close(server, way):
    """The clock, the store, the CA wait for none of them, nor does a stop."""

    server.allow("no channel to the door|no channel for worker process")
    server.allow("its channel is closed")
    taken, other = take(server)
    helper = server.helper()

    with socket.create_server(("127.0.0.1", 9999)):
        slow = taken.lingering(9999)
        said = way(taken, slow)
        ours = {slow, *[fd for fd, _, _ in said],
                *[fd for _, _, fds in said for fd in fds]}

        # or who closes first would not be the last, and have the waiting
        with stopped(server):
            for fd, data, fds in said:
                taken.send(fd, data, fds)
            for fd in ours - {taken.door()}:
                taken.call("close", fd)

        assert tls.handshake(NAME).der == server.pair.der
        server.signal("USR1")
        server.wait_log(f"{helper}#.*reopening logs")

        server.signal("TERM", helper)
        new = server.helper(other_than=[helper])
        server.wait_log(f"{new}#.*signing for worker process {other}")
        assert tls.handshake(NAME).der == server.pair.der


# the door and the channels


def test_door_shut(server):
    """What it can do: nobody comes any more, and it is said how to mend it."""

    server.allow("has shut the door")
    taken, other = take(server)
    helper = server.helper()

    taken.call("shutdown", taken.door(), socket.SHUT_RDWR)
    server.wait_log(f"{helper}#.*has shut the door")
    assert tls.handshake(NAME).der == server.pair.der

    server.reload()
    new = server.helper(timeout=20, other_than=[helper])
    server.wait_log(f"{new}#.*signing for worker process")
    assert tls.handshake(NAME).der == server.pair.der


def test_door_shut_before_it_is_told_to_leave(nginx, clock, monkeypatch):
    """So it is at a reload, if its workers are the first to be told."""

    monkeypatch.setattr("support.nginx.MODULES",
                        [*MODULES, f"{BUILD}/taken.so"])
    server = serving(nginx, workers=2, env=clock.env)
    taken, other = take(server)
    helper = server.helper()
    tasks = f"/proc/{helper}/task"

    with clock.paced(0):
        threads = len(os.listdir(tasks))
        taken.call("shutdown", taken.door(), socket.SHUT_RDWR)
        wait_for(lambda: len(os.listdir(tasks)) < threads, 10,
                 "the thread of the door gone")

        # it looks each second
        clock.skip(server, 1)
        server.signal("HUP")
        server.wait_log(f"{helper}#.*until they have left|{helper}#.*exiting")
        clock.skip(server, 1)

    server.wait_gone(helper)
    assert not server.grep("has shut the door")


def key_id(server):
    spki = server.pair.key.public_key().public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


def secret(server):
    """The private number, as the curve has it."""

    return server.pair.key.private_numbers().private_value.to_bytes(32, "big")


ABUSES = [
    (b"\xff" * 1000, 0, "a malformed message"),
    (b"\0", 0, "a malformed message"),
    (bytes(2000), 0, "a message too long"),
    (b"\xff" * 60000, 0, "a message too long"),
    (chain()[:-1], 0, "a malformed message"),
    (chain() + b"\0", 0, "a malformed message"),
    (chain(index=2), 0, "a name that does not exist"),
    (chain(index=0xffffffff), 0, "a name that does not exist"),
    (sign(digest=b""), 0, "a malformed message"),
    (sign(digest=bytes(65)), 0, "a malformed message"),
    (chain() * 17, 0, "too many questions at once"),
    (struct.pack(">IQI", 1, 0, 0), 0, "a malformed message"),
    (struct.pack(">IQI32sI", SIGN, 1, 0, bytes(32), 0xffffffff), 0,
     "a malformed message"),
    (chain(), 1, "a message too long or with descriptors"),
    (chain(), 253, "a message too long or with descriptors"),
]


def test_channel_abused(server):
    """No answer, an alert that names it, the end of that channel alone."""

    server.allow("its channel is closed")
    taken, other = take(server)
    helper = server.helper()
    before = len(proc.descriptors(helper))

    with tls.HandshakeStream(NAME, pause=0.005) as stream:
        for data, descriptors, what in ABUSES:
            mark = server.mark()
            channel = taken.ready()
            taken.send(channel, data, [channel] * descriptors)
            assert taken.recv(channel) == b""
            server.wait_log(f"worker process {taken.pid} sent {what}.*, its "
                            "channel is closed", since=mark)
            taken.call("close", channel)
        stream.wait(10)

    assert not stream.failures
    assert server.helper() == helper
    wait_for(lambda: len(proc.descriptors(helper)) <= before, 10, "none left")


def test_door_abused(server):
    """Who brings no channel of its own is refused, and named."""

    server.allow("brought no channel to the door")
    taken, other = take(server)
    helper = server.helper()
    before = len(proc.descriptors(helper))
    ours, theirs = taken.pair()
    hello, door = taken.hello(), taken.door()
    unasked = taken.call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
    stream = taken.pair(socket.SOCK_STREAM)[1]
    datagrams = taken.pair(socket.SOCK_DGRAM)[1]

    knocks = [(hello, []), (hello, [theirs] * 2), (hello, [theirs] * 253),
              (hello, [unasked]), (hello, [stream]), (hello, [datagrams]),
              (hello, [door]), (hello, [taken.channel_of(helper)]),
              (hello[:-1], [theirs]), (hello + b"\0", [theirs]),
              (b"\xff" * 50000, [theirs]), (b"", [theirs]), (b"", []),
              (taken.hello(pid=other), [theirs]),
              (taken.hello(pid=server.master), [theirs]),
              (taken.hello(version=2), [theirs])]

    with tls.HandshakeStream(NAME, pause=0.005) as shakes:
        for n, (data, fds) in enumerate(knocks, 1):
            taken.send(door, data, fds)
            wait_for(lambda: len(server.grep(
                f"process {taken.pid} brought no channel")) == n, 10, n)
        for _ in range(2000):
            taken.send(door, b"x", check=False)
        shakes.wait(10)

    assert not shakes.failures
    channel = taken.ready()
    taken.call("close", channel)
    wait_for(lambda: len(proc.descriptors(helper)) <= before, 10, "none left")
    assert server.helper() == helper


def test_asks_for_all_there_is(server):
    """Chains and signatures, under any number; the key is in none of it."""

    taken, other = take(server)
    digest, id = hashlib.sha256(b"mine").digest(), key_id(server)
    said = b""
    channel = taken.ready()

    for number in 0, 1, 1 << 63, (1 << 64) - 1:
        for question in (chain(0, number), chain(1, number),
                         unfit(0, number), unfit(1, number),
                         sign(digest, id, 0, number),
                         sign(digest, id, 1, number),
                         sign(digest, bytes(32), 0, number),
                         sign(b"d", id, 0, number),
                         sign(bytes(64), id, 0, number)):
            taken.send(channel, question)
            answer = taken.recv(channel)
            kind, back, status = struct.unpack(">IQI", answer[:16])
            assert kind == struct.unpack(">I", question[:4])[0]
            assert back == number and status in (0, 1)
            said += answer

            if question == sign(digest, id, 0, number):
                server.pair.key.public_key().verify(
                    answer[32:], digest, ec.ECDSA(Prehashed(hashes.SHA256())))

    assert secret(server) not in said and server.pair.der in said
    taken.call("close", channel)


def garbage(dir):
    with open(f"{dir}/fullchain.pem", "w") as f:
        f.write("garbage\n")


def mode(dir):
    os.chmod(f"{dir}/privkey.pem", 0o644)


def gone(dir):
    for file in os.listdir(dir):
        os.unlink(f"{dir}/{file}")


@pytest.mark.parametrize("spoil", [garbage, mode, gone])
def test_finds_a_good_one_unfit(server, spoil):
    """What others serve is kept, whatever the store has by now."""

    for _ in range(20):
        assert tls.handshake(NAME).der == server.pair.der

    spoil(f"{server.dir}/store/{NAME}")
    if spoil != gone:
        server.wait_log("the one in memory is served on", 30)

    taken, other = take(server)
    channel = taken.ready()
    taken.send(channel, unfit())
    status, bootstrap = struct.unpack(">II", taken.recv(channel)[12:20])
    assert (status, bootstrap) == (0, 0)

    for _ in range(20):
        assert tls.handshake(NAME).der == server.pair.der


@pytest.mark.parametrize("asked", [False, True])
def test_says_nothing_of_an_unfit_one(nginx, modules, asked):
    """
    A chain that does not fit together is set aside, though a worker that had
    it has not said so, and the helper looked at the store in between.
    """

    server = nginx("server { listen 80; }", workers=2).start()
    server.allow("can't be used")
    pair = Authority().issue(NAME)
    pair.pem = pair.pem[:pair.pem.rindex(b"-----BEGIN")] + Authority().pem
    dir = pair.store(f"{server.dir}/store", NAME)

    server.write(CONF % ("", "", "")).reload()
    if asked:
        taken, other = take(server)
        channel = taken.ready()
        taken.send(channel, chain())
        assert struct.unpack(">II", taken.recv(channel)[12:20]) == (0, 0)
        settled(server)

    assert tls.handshake(NAME).self_signed
    wait_for(lambda: os.path.exists(f"{dir}/fullchain.pem.bad"), 30,
             lambda: f"set aside: {os.listdir(dir)}")


def times(n=300):
    """How long handshakes take, in ms: the median and the worst of 100."""

    took = sorted(tls.handshake(NAME).took * 1000 for _ in range(n))
    return f"{took[n // 2]:.1f} ms, p99 {took[n * 99 // 100]:.1f} ms"


class Flood(threading.Thread):
    """Frames of questions that are signed, as fast as they are taken."""

    def __init__(self, pid, frame, deaf=False):
        super().__init__(daemon=True)
        self.taken = Taken(pid)
        self.frame, self.deaf = frame, deaf
        self.answers = 0
        self.halt = False
        self.channel = self.taken.ready()
        self.start()

    def run(self):
        message = self.taken.message(self.frame)
        while not self.halt:
            for _ in range(8):
                self.taken.call("sendmsg", self.channel, message,
                                socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT,
                                check=False)
            while not self.deaf and self.taken.call(
                    "recv", self.channel, self.taken.scratch + 65536, 65536,
                    socket.MSG_DONTWAIT, check=False) > 0:
                self.answers += 1

    def end(self):
        self.halt = True
        self.join(30)
        assert not self.is_alive()
        self.taken.call("close", self.channel)


@pytest.mark.parametrize("deaf", [False, True])
def test_floods(server, measured, deaf):
    """The other worker's handshakes: all of them, and how long they take."""

    taken, other = take(server)
    digest, id = hashlib.sha256(b"mine").digest(), key_id(server)

    measured("handshakes of a worker beside a quiet one", times())
    flood = Flood(taken.pid, sign(digest, id) * 16, deaf)
    wait_for(lambda: deaf or flood.answers > 100, 10, "a flood")
    measured(f"and beside one that floods{' and never reads' * deaf}",
             times())
    assert deaf or flood.answers > 500
    flood.end()


def test_closes_in_the_middle(server):
    """Of a question, of an answer, of the next channel."""

    server.allow("its channel is closed")
    taken, other = take(server)
    helper = server.helper()
    before = len(proc.descriptors(helper))
    question = sign(bytes(32), key_id(server))

    with tls.HandshakeStream(NAME, pause=0.005) as stream:
        for i in range(100):
            channel = taken.knock()
            for _ in range(i % 4):
                taken.send(channel, question * 16, check=False)
            if i % 5 == 0:
                taken.send(channel, question[:-1], check=False)
            taken.call("close", channel)
        stream.wait(10)

    assert not stream.failures
    wait_for(lambda: len(proc.descriptors(helper)) <= before, 10, "none left")
    assert server.helper() == helper


def test_descriptors(nginx):
    """The usual soft limit is less than what all channels need."""

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        server = serving(nginx, workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert resource.prlimit(server.helper(), resource.RLIMIT_NOFILE) == \
        (min(1280, hard), hard)
