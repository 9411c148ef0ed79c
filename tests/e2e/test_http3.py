"""
HTTP/3: the same certificates and keys.  A handshake of QUIC's has no fiber:
the worker waits for its signature, not for long.
"""

import dataclasses
import time

import pytest

from support import quic, tls
from support.aside import Stopped
from support.certs import self_signed
from support.clock import Clock
from support.nginx import VERSION
from support.wait import wait_for

pytestmark = pytest.mark.quic

NAME, OTHER = "example.com", "other.example"

# how long a worker waits; its time is slow, so that the test's is none
PACE = 0.1
WAIT = 0.25 / PACE

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert_key_type secp256r1;
    autocert on admin@example.com;
    ssl_session_cache shared:one:1m;
    ssl_early_data on;
    server {
        listen 80;
        listen 443 ssl;
        listen 443 quic reuseport;
        server_name example.com;
        autocert on;
        location / { return 200 "hello $http3 $ssl_early_data\\n"; }
    }
    server {
        listen 443 ssl;
        listen 443 quic;
        server_name other.example;
        %s
        location / { return 200 "other\\n"; }
    }
"""

NOBODY = "autocert_ca https://127.0.0.1:9/dir;"


def issued(server, how="issued", since=0):
    return server.wait_log(f'certificate of "{NAME}" {how}', 60, since=since)


@pytest.fixture
def serve(nginx):
    """serve(...) -> a started NGINX that has both certificates."""

    def make(other="autocert on;", **options):
        options.setdefault("workers", 1)
        server = nginx(CONF % (NOBODY, other), **options)
        server.pairs = {name: self_signed(name) for name in (NAME, OTHER)}
        for name, pair in server.pairs.items():
            pair.store(f"{server.dir}/store", name)
        return Clock.slow(server).start()

    return make


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_issued(nginx, pebble, place, challenge):
    """From the CA to the client, who verifies it: curl, and another one."""

    ca = pebble()
    server = nginx(CONF % (ca.directives
                           + f"autocert_challenge {challenge};",
                           "autocert on;")).start()
    issued(server)
    with open(f"{place}/root.pem", "wb") as f:
        f.write(ca.root())

    assert quic.curl(NAME, "--cacert", f"{place}/root.pem") \
        == (0, "hello h3 \n")
    answer = quic.get(NAME, root=ca.root())
    assert (answer.status, answer.body) == (200, b"hello h3 \n")
    assert answer.cert.serial_number == tls.handshake(NAME).serial

    # whichever of the workers it is
    for _ in range(20):
        assert quic.get(NAME).cert == answer.cert


@pytest.mark.limit(180)
def test_renewed(nginx, pebble):
    """The next handshake has it: no reload, the same workers."""

    ca = pebble(validity=20)
    server = nginx(CONF % (ca.directives, "autocert on;")).start()
    issued(server)
    workers = server.workers()
    old = quic.get(NAME, root=ca.root())
    ticket = old.tickets[0]

    for _ in range(2):
        mark = server.mark()
        issued(server, "renewed", mark)
        new = quic.get(NAME, root=ca.root())
        assert new.cert.serial_number != old.cert.serial_number
        old = new

    # a session is good beyond its certificate's renewal
    assert quic.get(NAME, ticket=ticket).reused
    assert server.workers() == workers


def test_chosen_by_name(serve):
    server = serve()
    for name, pair in server.pairs.items():
        assert quic.get(name).cert == pair.cert

    # and who names none gets the first server's
    assert quic.get("nobody.example").cert == server.pairs[NAME].cert


@pytest.mark.parametrize("first", [NAME, OTHER])
def test_sessions(serve, first):
    """Good where they come from, without a signature; nowhere else."""

    server = serve()
    second = OTHER if first == NAME else NAME

    one = quic.get(first)
    assert not one.reused and one.tickets

    # the client would not offer it under another name by itself
    offered = dataclasses.replace(one.tickets[0], server_name=second)
    two = quic.get(second, ticket=offered)
    assert not two.reused and two.cert == server.pairs[second].cert

    with Stopped(server):
        assert quic.get(first, ticket=one.tickets[0]).reused


def test_early_data(serve, place):
    """Taken or not as it is by a server of NGINX's own."""

    self_signed(OTHER).write(f"{place}/other.pem", f"{place}/other.key")
    serve(other=f"ssl_certificate {place}/other.pem;"
                f"ssl_certificate_key {place}/other.key;")

    def early(name):
        ticket = quic.get(name).tickets[0]
        answer = quic.get(name, ticket=ticket, early=True)
        assert answer.reused and answer.status == 200
        return answer.early

    assert early(NAME) == early(OTHER) == (VERSION >= (1, 29, 1))


def test_no_challenge(nginx, pebble):
    """A CA does not come by QUIC: what it asks is answered by TCP alone."""

    # Pebble waits for so long at most, at random
    ca = pebble(env={"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "3600"})
    server = nginx(CONF % (ca.directives + "autocert_challenge tls-alpn-01;",
                           "autocert on;"), workers=1).start()
    server.wait_log(f"awaiting the validation, name: {NAME}", 30)

    assert tls.handshake(NAME, alpn=["acme-tls/1"]).alpn == "acme-tls/1"
    with pytest.raises(quic.Failed, match="0x178"):
        quic.get(NAME, alpn=["acme-tls/1"])
    assert quic.get(NAME).status == 200


def works():
    try:
        return quic.get(NAME).status == 200
    except quic.Failed:
        return False


def test_helper_silent(serve):
    """It costs the worker one wait; the next ones fail at once."""

    server = serve()
    ticket = quic.get(NAME).tickets[0]
    mark = server.mark()

    with Stopped(server, pace=PACE):
        began = time.monotonic()
        for _ in range(8):
            with pytest.raises(quic.Failed, match="0x150"):
                quic.get(NAME)
        assert 1 < (time.monotonic() - began) / WAIT < 8

        # the worker is not stuck in any of them
        assert quic.get(NAME, ticket=ticket).reused

    wait_for(works, 20, "signed again")
    assert len(server.workers()) == 1
    assert not server.grep(r"worker process \d+ exited", mark)


def test_helper_dies(serve):
    server = serve(workers=2)
    workers = server.workers()
    helper = server.helper()
    server.allow("exited on signal 9")
    server.signal("KILL", helper)
    server.helper(other_than=[helper])

    wait_for(works, 20, "signed by the next one")
    for _ in range(10):
        assert quic.get(NAME).cert == server.pairs[NAME].cert
    assert server.workers() == workers
