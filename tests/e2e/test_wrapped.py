"""Beside a module (wrap.c) that puts itself into the same places."""

import re

import pytest

from support import tls
from support.aside import (NAME, UNSIGNED, Stopped, aside, quiet, serving,
                           stacks)
from support.nginx import BUILD, MODULES
from support.shaking import Shaking
from support.wait import wait_for


@pytest.fixture(params=["before", "after"])
def serve(request, nginx, monkeypatch):
    """In init_process the one that is loaded later finds the other there."""

    lines = list(MODULES)
    lines.insert(0 if request.param == "before" else 2, f"{BUILD}/wrap.so")
    monkeypatch.setattr("support.nginx.MODULES", lines)

    def make(**options):
        return serving(nginx, **options)

    return make


def counted(server):
    """What it has counted, in all workers that are gone."""

    lines = server.grep(r"wrap: \d+ accepted")
    assert lines
    return [sum(numbers) for numbers in
            zip(*(map(int, re.findall(r"(\d+) (?:acc|clo|eve)", line))
                  for line in lines))]


@pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13])
@pytest.mark.parametrize("listen", ["", "deferred"])
def test_laid_aside(serve, version, listen):
    server = serve(listen=listen)

    with Stopped(server):
        waiting = aside(20, version=version)
        wait_for(lambda: stacks(server) >= 20, 10, "all laid aside")
        for _ in range(5):
            assert tls.fetch(NAME, port=8080, tls=False)[2] == b"plain\n"

    for one in waiting:
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()

    quiet()
    server.stop()
    accepted, closed, events = counted(server)
    assert accepted == closed >= 26 and events >= accepted


def test_every_end(serve):
    """Closed, reset, timed out, cut off, plain; the helper killed."""

    server = serve(http="client_header_timeout 3s;")
    server.allow(UNSIGNED)
    server.allow("exited on signal 9")

    with Stopped(server, pace=1):
        waiting = aside(20)
        waiting[0].close()
        waiting[1].reset()
        for one in waiting[2:]:
            assert one.ended()
            one.close()
        quiet()

    with Stopped(server, pace=0.1) as stopped:
        waiting = aside(10)
        waiting[0].reset()
        server.signal("KILL", stopped.helper)
        stopped.helper = server.helper(other_than=[stopped.helper])
        for one in waiting[1:]:
            one.finish()
            assert one.get().endswith(b"hello\n")
            one.close()

    silent = Shaking(NAME)
    server.clock.pace(1)
    assert silent.ended()
    server.clock.pace(0.1)
    silent.close()

    for i in range(0, 500, 20):
        one = Shaking(NAME)
        one.sock.sendall(one.flight()[:i])
        one.reset() if i % 40 else one.close()

    assert tls.fetch(NAME, port=443, tls=False)[0] == 400

    with Stopped(server):
        waiting = aside(5)
        old = server.workers()
        server.reload()

    for one in waiting:
        one.finish()
        one.close()

    server.wait_gone(old)
    quiet()
    server.stop()
    accepted, closed, _ = counted(server)
    assert accepted == closed
