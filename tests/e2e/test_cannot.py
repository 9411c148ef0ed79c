"""
What can't work leaves the rest alone, and is said, not shouted: a helper that
dies at once, a store that is not there any more, a module that can't be
loaded, a configuration that is wrong.
"""

import os
import re
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
    server.store = f"{server.dir}/store"
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
