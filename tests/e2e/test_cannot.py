"""
What can't work leaves the rest alone, and is said, not shouted: a helper that
dies at once, a store that is not there any more, a module that can't be
loaded, a configuration that is wrong.
"""

import os
import shutil
import time

import pytest

from support import proc, tls
from support.certs import self_signed
from support.crash import Crash
from support.nginx import ASAN, MODULES
from support.wait import wait_for

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert on admin@example.com;
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com www.example.com;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""

SWEEP = 20      # s, the most that a look takes to come
OURS = r"\[(notice|warn|error|crit|alert|emerg)\] .*autocert"

preloads = pytest.mark.skipif(bool(ASAN), reason="crash.so is preloaded")


@pytest.fixture
def crash(place):
    return Crash(place)


@pytest.fixture
def ca(fakeca, dns):
    return fakeca()


@pytest.fixture
def server(nginx, ca, crash):
    """With two certificates, and nothing to do."""

    server = nginx(CONF % ca.directives,
                   env={} if ASAN else crash.env)
    server.store = f"{server.dir}/above/store"
    server.write(CONF.replace("{dir}/store", server.store) % ca.directives)
    os.mkdir(f"{server.dir}/above")
    server.pair = self_signed("example.com")
    server.pair.store(server.store, "example.com")
    self_signed("www.example.com").store(server.store, "www.example.com")
    crash.watch(server.store)
    return server


def plain():
    return tls.fetch("example.com", "/", port=80, tls=False)[2] == b"hello\n"


def der():
    return tls.handshake("example.com").der


def written(dir):
    """What there is, and when it was last touched."""

    return {os.path.join(root, name):
            os.lstat(os.path.join(root, name)).st_ctime_ns
            for root, dirs, files in os.walk(dir) for name in dirs + files}


# a helper that can't work


@preloads
@pytest.mark.limit(200)
def test_dies_at_once(server, crash):
    """
    Every time, before it has done anything: the workers serve what needs no
    key, the master is not driven round, and when it lives all is served.
    """

    server.allow("exited on signal 9")
    server.allow("the helper was started")
    server.start()
    assert der() == server.pair.der
    workers = server.workers()

    crash.set(early=1)
    mark = server.mark()
    proc.kill(server.helper())
    server.wait_log("serves keys after 8000 ms", 60, since=mark)

    # ten deaths or so by now; it is given time to die hundreds of times

    until = time.monotonic() + 20
    while time.monotonic() < until:
        assert plain()

    assert server.workers() == workers
    assert crash.deaths < 12
    assert len(server.log(mark).splitlines()) < 60
    assert len(server.grep("was started", since=mark)) <= crash.deaths

    crash.set(early=0)
    server.wait_log("signing for worker process", 60, since=mark)
    assert der() == server.pair.der


def gone(store):
    """With the directory above it, or it would be made anew."""

    shutil.rmtree(os.path.dirname(store))


def a_file(store):
    shutil.rmtree(store)
    with open(store, "w"):
        pass


def wrong_mode(store):
    os.chmod(store, 0o777)


SPOILS = [gone, *[pytest.param(s, marks=pytest.mark.deep)
                  for s in (a_file, wrong_mode)]]


@preloads
@pytest.mark.parametrize("spoil", SPOILS)
def test_store_lost(server, crash, spoil):
    """
    While it runs, then the helper dies: its successor says so once, serves a
    certificate of its own, and the pair as soon as it is there again.
    """

    server.allow("exited on signal 9")
    server.start()
    assert der() == server.pair.der

    spoil(server.store)
    mark = server.mark()
    proc.kill(server.helper())
    line = server.wait_log("no certificate is obtained or kept", since=mark)
    assert server.store in line and "[error]" in line

    seen = crash.opened
    wait_for(lambda: crash.opened > seen + 1, 60, "two more looks")
    assert tls.handshake("example.com").self_signed
    assert plain()
    assert len(server.grep(OURS, since=mark)) <= 4

    if os.path.isfile(server.store):
        os.unlink(server.store)
    else:
        shutil.rmtree(server.store, ignore_errors=True)

    os.makedirs(os.path.dirname(server.store), exist_ok=True)
    server.pair.store(server.store, "example.com")
    wait_for(lambda: der() == server.pair.der, SWEEP, "served again")


# a binary upgrade


def copied(server):
    """The modules in a place of the test's own, in the order to load them."""

    own = [f"{server.dir}/{os.path.basename(m)}" for m in MODULES]
    for module, path in zip(MODULES, own):
        shutil.copy(module, path)
    return own


def no_module(path):
    os.unlink(path)


def no_library(path):
    """It needs one that there is not; what is mapped stays as it is."""

    with open(path, "rb") as f:
        text = f.read()
    assert b"\0libc.so.6\0" in text
    with open(f"{path}.new", "wb") as f:
        f.write(text.replace(b"\0libc.so.6\0", b"\0libc.so.9\0"))
    os.replace(f"{path}.new", path)


@pytest.mark.parametrize("spoil", [no_module, no_library])
def test_not_loaded_at_an_upgrade(nginx, spoil):
    """USR2: the new master fails, the old one goes on."""

    server = nginx(modules=False)
    own = copied(server)
    load = "".join(f"load_module {m};" for m in own)
    server.write(CONF % "autocert_ca https://127.0.0.1:9/dir;", load)
    server.pair = self_signed("example.com")
    server.pair.store(f"{server.dir}/store", "example.com")
    server.start()
    assert der() == server.pair.der
    before = server.master, server.helper(), server.workers()

    server.allow(r"dlopen\(\)")
    spoil(own[0])
    mark = server.mark()
    server.signal("USR2")
    server.wait_log(r"dlopen\(\) .* failed", since=mark)
    server.wait_log("new binary process .* exited|exited with code 1", 20,
                    since=mark)
    wait_for(server.read_pid, 10, "the pid file where it was")

    assert (server.master, server.helper(), server.workers()) == before
    assert not os.path.exists(f"{server.pid_path}.oldbin")
    assert der() == server.pair.der

    shutil.copy(MODULES[0], f"{own[0]}.new")
    os.replace(f"{own[0]}.new", own[0])
    server.reload()
    assert der() == server.pair.der


# a configuration that is wrong


BROKEN = {
    "syntax": ("listen 80;", "listen 80"),
    "value": ("autocert on admin@example.com;", "autocert perhaps;"),
    "twice": ("autocert on admin@example.com;", "autocert on; autocert on;"),
    "no CA file": ("autocert_ca_certificate ",
                   "autocert_ca_certificate /nowhere"),
    "listen": ("listen 80;", "listen 80; listen 203.0.113.1:81;"),
}


def test_broken_reloads(server, ca, authority):
    """All is as it was, and a certificate that comes due is renewed."""

    right = CONF.replace("{dir}/store", server.store) % ca.directives
    server.allow(r"\[emerg\]")
    server.start()
    assert der() == server.pair.der
    before = server.master, server.helper(), server.workers()

    for what, (old, new) in BROKEN.items():
        assert old in right
        server.write(right.replace(old, new))
        mark = server.mark()
        server.signal("HUP")
        server.wait_log(r"\[emerg\]", since=mark)
        assert (server.master, server.helper(), server.workers()) == before, \
            what
        assert der() == server.pair.der, what

    authority.issue("example.com", life=3600, age=30 * 86400) \
        .store(server.store, "example.com")
    server.wait_log('certificate of "example.com" renewed', 60)
    assert tls.handshake("example.com", root=ca.root)
    assert (server.master, server.helper(), server.workers()) == before

    # a row of failures is none of the helper's: the next one is its end

    server.write(right)
    server.reload()
    server.helper(other_than=[before[1]])
    assert tls.handshake("example.com", root=ca.root)


@preloads
def test_looks_only(nginx, ca, crash):
    """
    nginx -t, with a store and without, right and wrong: of the store
    certificates alone are read, and nothing is written, nobody is called, no
    key is made; then a helper does all that.
    """

    server = nginx(CONF % ca.directives, env=crash.env)
    store = f"{server.dir}/store"
    crash.watch(store)
    server.allow(r"\[emerg\]")

    def look(right=True):
        assert (server.test().returncode == 0) == right
        assert (crash.calls, crash.connected, crash.keys) == (0, 0, 0)

    look()
    assert crash.opened == 0
    assert not os.path.lexists(store)

    dir = self_signed("www.example.com").store(store, "www.example.com")
    key = os.stat(f"{dir}/privkey.pem")
    before = written(store)
    look()

    for old, new in BROKEN.values():
        server.write((CONF % ca.directives).replace(old, new))
        look(right=False)

    assert written(store) == before
    assert os.stat(f"{dir}/privkey.pem").st_atime_ns == key.st_atime_ns
    assert ca.requests == []

    server.write(CONF % ca.directives)
    server.start()
    server.wait_log('certificate of "example.com" issued', 60)
    assert min(crash.calls, crash.opened, crash.connected, crash.keys) > 0

    crash.set(opened=0, calls=0, keys=0)
    workers, helper = server.workers(), server.helper()
    before = written(store)
    assert server.test().returncode == 0
    assert crash.keys == 0 and written(store) == before
    assert (server.workers(), server.helper()) == (workers, helper)
