"""The helper's life: spawned, respawned, replaced and left, like a worker."""

import os
import re
import socket
import ssl
import subprocess
import time

import pytest

from support import proc, tls
from support.aside import UNSIGNED
from support.certs import self_signed
from support.clock import Clock
from support.engine import settled
from support.nginx import MODULES
from support.wait import wait_for

HTTP = """
    autocert_path {dir}/store;
    server {
        listen 443 ssl;
        server_name example.com;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""

# the same listener, and nothing of ours

STATIC = """
    server {
        listen 443 ssl;
        ssl_certificate {dir}/cert.pem;
        ssl_certificate_key {dir}/key.pem;
    }
"""

EXITED = r"autocert helper \d+ exited on signal %d"


@pytest.fixture
def server(nginx):
    """With a pair in the store and no listener for a CA to ask at."""

    server = nginx(HTTP)
    server.pair = self_signed("example.com")
    server.pair.store(f"{server.dir}/store", "example.com")
    return server


def check_serves(server):
    peer = tls.handshake("example.com")
    assert peer.der == server.pair.der
    assert not peer.reused


def check_settled(server):
    """One helper, a child of the master, and all is served."""

    helper = server.helper()
    assert proc.stat(helper)[1] == server.master
    assert len(server.workers()) == server.n
    check_serves(server)
    return helper


@pytest.mark.parametrize("daemon", [True, False])
def test_cold_start(server, daemon):
    server.daemon = daemon
    server.write(HTTP).start()

    helper = check_settled(server)
    assert set(proc.children(server.master)) == {helper, *server.workers()}
    assert proc.title(helper) == "nginx: autocert helper"


def test_never_away_at_a_start(server):
    """The helper is there before a worker is first asked for anything."""

    Clock.slow(server).start(ready=False)
    check_serves(server)
    check_settled(server)


@pytest.mark.parametrize("sig", ["KILL", "SEGV", "TERM", "INT"])
def test_respawned(server, sig):
    """Dead by a signal or by an exit: there is another at once."""

    server.allow(EXITED % 9)
    server.allow(EXITED % 11)
    server.start()
    old, workers = server.helper(), server.workers()

    server.signal(sig, old)
    server.helper(other_than=[old])
    check_settled(server)
    assert server.workers() == workers


def test_bare_quit_is_a_restart(server):
    """QUIT of the helper alone must not leave it draining for ever."""

    server.start()
    old = server.helper()

    server.signal("QUIT", old)
    server.wait_gone(old)
    server.wait_log("signalled to quit while the master lives")
    check_settled(server)


def test_crash_loop(server):
    """
    ACME waits from the fourth start within a minute, keys as well from the
    seventh; no more starts than deaths, and in the end all is served.
    """

    server.allow(EXITED % 9)
    server.allow("the helper was started")
    server.start()

    seen = [server.helper()]

    for _ in range(8):
        server.signal("KILL", seen[-1])
        seen.append(server.helper(other_than=seen))

    said = [re.search(r"started (\d+) times within a minute, (.*)",
                      server.wait_log(f"was started {n} times")).group(2)
            for n in range(4, 8)]
    assert said == ["it talks to the CA after 500 ms",
                    "it talks to the CA after 1000 ms",
                    "it talks to the CA after 2000 ms",
                    "it serves keys after 4000 ms"]

    said = server.grep("the helper was started")
    assert [line.rpartition(", ")[2] for line in said[4:]] == \
        ["it serves keys after 8000 ms", "it serves keys after 16000 ms"]

    # keys wait by now, and clients are told so at once

    with pytest.raises((OSError, ssl.SSLError)):
        tls.handshake("example.com", timeout=10)

    server.wait_log(f"{seen[-1]}#.*signing for worker process", 60)

    def serves():
        try:
            check_serves(server)
        except OSError:
            return False
        return True

    wait_for(serves, 30, "keys served again")
    assert server.helpers() == seen[-1:]
    assert len(server.grep("start autocert helper")) == 9


# its master


@pytest.mark.parametrize("daemon", [True, False])
@pytest.mark.parametrize("sig", ["QUIT", "TERM", "INT"])
def test_leaves_with_its_master(server, sig, daemon):
    server.daemon = daemon
    server.write(HTTP).start()
    check_settled(server)
    server.stop(sig)


def test_master_killed(server):
    """Workers without a master serve on: signed for until the last leaves."""

    server.start()
    helper, workers = server.helper(), server.workers()

    server.signal("KILL")
    server.wait_log("signing for 2 workers until they have left")
    check_serves(server)

    server.signal("QUIT", workers[0])
    server.wait_gone(workers[0])
    check_serves(server)
    assert server.processes() == sorted([helper, workers[1]])

    server.signal("QUIT", workers[1])
    server.wait_gone([workers[1], helper])
    assert server.processes() == []


def test_reopen(server):
    server.start()
    helper = server.helper()
    os.rename(server.log_path, f"{server.dir}/old.log")

    assert f"{server.dir}/old.log" in proc.descriptors(helper).values()

    server.signal("USR1")
    wait_for(lambda: server.log_path in proc.descriptors(helper).values(), 10,
             "the new log open")

    assert f"{server.dir}/old.log" not in proc.descriptors(helper).values()
    assert server.helper() == helper
    check_serves(server)


def forks(command, env=None):
    """
    How many processes there were while command ran.  They are numbered in
    their order here, where nobody else starts any, nor a thread.
    """

    first = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    first.communicate(timeout=60)
    assert first.returncode == 0
    last = subprocess.Popen(["true"])
    last.wait()
    return last.pid - first.pid


def test_not_started_by_what_only_looks(server):
    for option in "-t", "-T", "-V", "-h":
        assert forks(server.command(option), server.env) == 1

    assert server.helpers() == []
    assert forks(["sh", "-c", "true & wait"]) > 1

    server.start()
    helper = server.helper()
    wait_for(lambda: len(server.grep("signing for worker")) == 2, 10,
             "its threads started")

    for args in ("-t",), ("-T",), ("-s", "reopen"):
        assert forks(server.command(*args), server.env) == 1

    assert check_settled(server) == helper


# reloads


def kinds(pid):
    """What a process holds open, without the numbers that always change."""

    found = []
    for leads in proc.descriptors(pid).values():
        found.append(re.sub(r":\[\d+\]", "", leads))
    return sorted(found)


@pytest.mark.limit(300)
def test_reloads(server):
    """Thirty: one helper after each, no descriptor more, no zombie."""

    server.start()
    old = server.helper()
    server.reload()
    server.wait_log(f"autocert helper {old} exited")
    check_settled(server)
    before, seen = kinds(server.master), []

    for _ in range(30):
        server.reload()
        seen.append(server.helper(timeout=30, other_than=seen))

    check_settled(server)
    wait_for(lambda: len(server.workers(leaving=True)) == server.n, 30,
             "old workers gone")
    assert len(set(seen)) == 30
    wait_for(lambda: kinds(server.master) == before, 10,
             lambda: f"{kinds(server.master)}, before {before}")
    assert server.processes() == sorted([server.master, server.helper(),
                                         *server.workers()])


def test_reloads_with_a_debug_log(server):
    """
    What NGINX tells of the old configuration's end is not written to a
    descriptor that the helper has by now.
    """

    server.log_level = "debug"
    server.write(HTTP).start()
    seen = [server.helper()]

    for _ in range(3):
        server.reload()
        seen.append(server.helper(timeout=30, other_than=seen))
        assert check_settled(server) == seen[-1]

    assert server.grep(r"\[alert\]") == []


def check_order(server, mark):
    server.wait_log("start autocert helper", since=mark)
    assert re.findall(r"start (worker process|autocert helper) \d",
                      server.log(mark)) == \
        ["autocert helper", *["worker process"] * server.n]


def test_started_before_new_workers(server):
    """
    In a reload NGINX looks at its table of processes 100 ms after it has
    started workers: they do not wait so long.
    """

    server.start()
    mark = server.mark()
    server.reload()
    check_order(server, mark)


@pytest.mark.limit(300)
def test_reloads_in_a_burst(server):
    """HUP as fast as the master takes it."""

    server.start()
    old = server.helper()
    server.reload()
    server.wait_log(f"autocert helper {old} exited")
    check_settled(server)
    before = kinds(server.master)

    for _ in range(20):
        mark = server.mark()
        server.signal("HUP")
        server.wait_log("reconfiguring", since=mark)

    wait_for(lambda: len(server.workers(leaving=True)) == server.n, 60,
             "old workers gone")
    check_settled(server)
    wait_for(lambda: kinds(server.master) == before, 10,
             lambda: f"{kinds(server.master)}, before {before}")


def accepted(s, worker):
    """The worker has it, not only the kernel."""

    ends = f"{s.getsockname()[1]:04X}"
    with open(f"/proc/{worker}/net/tcp") as f:
        inodes = [line.split()[9] for line in f
                  if line.split()[2].endswith(":" + ends)]
    return any(f"socket:[{i}]" in proc.descriptors(worker).values()
               for i in inodes if i != "0")


def begun(worker):
    """A connection that the worker has; its hello is still to come."""

    raw = socket.create_connection(("127.0.0.1", 443), 30)

    # with deferred accept a connection is only handed over with data

    raw.sendall(b"\x16\x03\x01")
    wait_for(lambda: accepted(raw, worker), 10, "accepted")
    return raw


def test_old_helper_signs_for_old_workers(server):
    """
    Connections begun before a reload belong to old workers; their helper
    signs until the last of these has left, and leaves with it.
    """

    server.n = 1
    server.write(HTTP).start()
    old, worker = server.helper(), server.workers()[0]

    with tls.client_context().wrap_socket(
            socket.create_connection(("127.0.0.1", 443), 10),
            server_hostname="example.com") as holds:

        # a request that is not whole keeps its worker from leaving

        holds.sendall(b"GET / HTTP/1.1\r\n")

        with begun(worker) as raw:
            server.reload()
            new = server.helper(other_than=[old])
            assert proc.title(worker).endswith("is shutting down")
            wait_for(lambda: proc.title(old).endswith("is shutting down"), 10)

            assert handshake_after(raw, 3) == server.pair.der

        assert proc.alive(old)
        holds.sendall(b"Host: example.com\r\nConnection: close\r\n\r\n")
        assert holds.recv(65536).startswith(b"HTTP/1.1 200 ")

    server.wait_gone([worker, old])
    assert check_settled(server) == new


def test_old_helper_killed(server):
    """It has no successor: what old workers still have to shake fails."""

    server.n = 1
    server.allow(EXITED % 9)
    server.allow(UNSIGNED)
    server.write(HTTP)
    Clock.slow(server).start()
    check_settled(server)
    old, worker = server.helper(), server.workers()[0]
    raws = [begun(worker) for _ in range(6)]

    server.reload()
    new = server.helper(other_than=[old])
    server.signal("KILL", old)
    server.wait_gone(old)

    for raw in raws:
        # nor is it tried again and again
        server.clock.skip(server, 0.1)
        start = time.monotonic()
        with raw, pytest.raises((AssertionError, OSError, ssl.SSLError)):
            handshake_after(raw, 3)
        # the deadline is after 20 s
        assert time.monotonic() - start < 10

    server.wait_gone(worker)
    assert 1 <= len(server.grep("the helper could not be reached")) < 3
    assert check_settled(server) == new


def handshake_after(raw, sent):
    """A handshake whose first bytes have been sent already."""

    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = tls.client_context().wrap_bio(into, out,
                                            server_hostname="example.com")
    skip = sent

    while True:
        try:
            session.do_handshake()
            raw.sendall(out.read()[skip:])
            return session.getpeercert(binary_form=True)
        except ssl.SSLWantReadError:
            raw.sendall(out.read()[skip:])
            skip = 0
            data = raw.recv(65536)
            assert data, "closed in the handshake"
            into.write(data)


def test_broken_configuration(server):
    server.allow("unknown directive")
    server.start()
    helper, workers = server.helper(), server.workers()
    before = kinds(server.master)

    server.write("nonsense;")
    for n in range(1, 4):
        server.signal("HUP")
        wait_for(lambda: len(server.grep("unknown directive")) >= n, 10)

    assert check_settled(server) == helper
    assert server.workers() == workers
    assert kinds(server.master) == before


def test_failed_late_in_the_configuration(server):
    """Our own part was done already when another found a fault."""

    server.allow("bind()")
    server.allow("still could not bind")
    server.start()
    helper, before = server.helper(), kinds(server.master)

    with socket.create_server(("127.0.0.9", 8443)):
        server.write(HTTP + "server { listen 127.0.0.9:8443; }")
        server.signal("HUP")
        server.wait_log("still could not bind")

    assert check_settled(server) == helper
    wait_for(lambda: kinds(server.master) == before, 10, "as before")


def test_off_and_on(server):
    """autocert off by a reload, then on, twice."""

    self_signed("example.com").write(f"{server.dir}/cert.pem",
                                     f"{server.dir}/key.pem")
    server.start()

    for _ in range(2):
        helper = check_settled(server)

        server.write(STATIC).reload()
        server.wait_gone(helper)
        assert tls.handshake("example.com").der != server.pair.der

        # nor does a later start of another child bring it back

        server.allow(r"worker process \d+ exited on signal 9")
        old = server.workers()
        server.signal("KILL", old[0])
        wait_for(lambda: len(set(server.workers()) - {old[0]}) == server.n, 10,
                 "a new worker")
        tls.handshake("example.com")
        assert server.helpers() == []

        server.write(HTTP).reload()
        check_settled(server)


def test_modules_removed_and_put_back(server):
    """
    The code of the helper is unloaded from the master, and loaded anew: then,
    too, the helper is there before the new workers.
    """

    self_signed("example.com").write(f"{server.dir}/cert.pem",
                                     f"{server.dir}/key.pem")
    server.start()
    settled(server)
    holds = kinds(server.helper())

    for _ in range(2):
        helper = check_settled(server)

        server.modules = False
        server.write(STATIC).reload()
        server.wait_gone(helper)
        assert server.helpers() == []
        assert not mapped(server.master)
        tls.handshake("example.com")

        server.modules = True
        mark = server.mark()
        server.write(HTTP).reload()
        check_order(server, mark)
        helper = check_settled(server)
        wait_for(lambda: kinds(helper) == holds, 10,
                 lambda: f"{kinds(helper)}, before {holds}")
        assert mapped(server.master)


def mapped(pid):
    with open(f"/proc/{pid}/maps") as f:
        maps = f.read()
    return any(os.path.basename(m) in maps for m in MODULES)


def test_worker_killed(server):
    """The new worker in its place is signed for."""

    server.allow(r"worker process \d+ exited on signal 9")
    server.start()
    helper, (first, second) = server.helper(), server.workers()

    for old in first, second:
        server.signal("KILL", old)
        wait_for(lambda: old not in server.workers()
                 and len(server.workers()) == 2, 10, "two workers")

    for worker in server.workers():
        server.wait_log(f"signing for worker process {worker}")

    for _ in range(10):
        check_serves(server)

    assert server.helper() == helper


# binary upgrade


def upgrade(server):
    """USR2; (old master, new master)"""

    old = server.master
    workers = set(server.workers())
    server.signal("USR2")
    wait_for(lambda: server.read_pid() not in (None, old), 20, "a new master")
    new = server.master

    wait_for(lambda: len(set(server.workers()) - workers) >= server.n, 20,
             "workers of the new master")
    wait_for(lambda: len(server.helpers()) == 2, 20, "two helpers")
    assert helper_of(new) and helper_of(old)
    return old, new


def helper_of(master):
    found = [p for p in proc.children(master)
             if proc.title(p).startswith("nginx: autocert helper")]
    assert len(found) <= 1
    return found[0] if found else None


def test_binary_upgrade(server):
    server.start()
    check_settled(server)
    before = kinds(server.master)
    old, new = upgrade(server)
    check_serves(server)

    server.signal("QUIT", old)
    wait_for(lambda: not proc.alive(old), 20, "the old master gone")
    check_settled(server)
    assert server.master == new

    server.reload()
    check_settled(server)
    wait_for(lambda: len(kinds(server.master)) == len(before), 10,
             lambda: f"{kinds(server.master)}, before {before}")


def test_binary_upgrade_taken_back(server):
    """WINCH and HUP to the old master, which never runs init_module then."""

    server.start()
    old, new = upgrade(server)
    first = helper_of(old)

    server.signal("WINCH", old)
    server.wait_gone(first)
    assert helper_of(old) is None
    check_serves(server)

    server.signal("HUP", old)
    wait_for(lambda: helper_of(old), 20, "a helper of the old master")
    wait_for(lambda: len(proc.children(old)) == 4, 20,
             lambda: f"workers, a helper, a master: {proc.children(old)}")

    server.signal("QUIT", new)
    server.wait_gone(new)
    wait_for(lambda: server.read_pid() == old, 20, "its pid file back")

    helper = check_settled(server)

    for _ in range(2):
        server.reload()
        helper = server.helper(other_than=[helper])
        check_settled(server)


def test_taken_back_while_it_drains(server):
    """
    What the old master starts anew has the door of what still drains: there
    is one helper behind it, and it signs for the workers of both.
    """

    server.n = 1
    server.write(HTTP).start()
    first, worker = server.helper(), server.workers()[0]

    with tls.client_context().wrap_socket(
            socket.create_connection(("127.0.0.1", 443), 10),
            server_hostname="example.com") as holds:

        holds.sendall(b"GET / HTTP/1.1\r\n")

        with begun(worker) as raw:
            old, new = upgrade(server)
            server.signal("WINCH", old)
            wait_for(lambda: proc.title(first).endswith("shutting down"), 10)
            server.signal("HUP", old)
            server.wait_gone(first)
            assert handshake_after(raw, 3) == server.pair.der

        server.signal("QUIT", new)
        server.wait_gone(new)
        assert proc.alive(worker)

        # served by who is told of it
        server.pair = self_signed("example.com")
        server.pair.store(f"{server.dir}/store", "example.com")
        server.wait_log("in the store has changed")
        check_serves(server)

        holds.sendall(b"Host: example.com\r\nConnection: close\r\n\r\n")
        assert holds.recv(65536).startswith(b"HTTP/1.1 200 ")

    server.wait_gone(worker)
    check_settled(server)


def test_new_master_killed(server):
    server.start()
    old, new = upgrade(server)
    first = helper_of(old)
    server.allow(r"new binary process \d+ exited on signal 9")
    server.allow(EXITED.replace("autocert helper", r"[\w ]+") % 9)

    late = proc.children(new)
    server.signal("KILL", new)
    for pid in late:
        if proc.title(pid).startswith("nginx: worker"):
            server.signal("TERM", pid)

    server.wait_gone(late)
    wait_for(lambda: server.read_pid() == old, 20, "its pid file back")
    assert check_settled(server) == first
