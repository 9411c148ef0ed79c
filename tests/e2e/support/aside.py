"""A server whose handshakes are laid aside, and clients that wait in them."""

import contextlib
import re

from . import proc, tls
from .certs import self_signed
from .clock import Clock
from .shaking import Shaking
from .stacks import find
from .wait import wait_for

NAME = "example.com"

CONF = """
    %s
    resolver 127.0.0.1;
    autocert_ca https://127.0.0.1:9/dir;
    autocert_path {dir}/store;
    server {
        listen 127.0.0.1:8080;
        location / { return 200 "plain\\n"; }
        location /status { stub_status; }
    }
    server {
        listen 443 ssl %s;
        listen [::]:80;
        server_name example.com;
        autocert on;
        %s
        location / { return 200 "hello\\n"; }
    }
"""

UNSIGNED = r"SSL_do_handshake\(\) failed .*(EVP lib|internal error)"


def configured(nginx, http="", listen="", server="", curve="secp256r1",
               **options):
    """An NGINX that has a certificate, slow, not yet started."""

    options.setdefault("workers", 1)
    made = nginx(CONF % (http, listen, server), **options)
    made.pair = self_signed(NAME, curve)
    made.pair.store(f"{made.dir}/store", NAME)
    return Clock.slow(made)


def serving(nginx, *args, **options):
    """It is started and its worker has the chain."""

    made = configured(nginx, *args, **options).start()
    assert tls.handshake(NAME).der == made.pair.der
    return made


class Stopped:
    """
    The helper does not answer: handshakes stay laid aside, until the test
    lets time pass: what NGINX has of it stands still, or has a pace.
    """

    def __init__(self, server, pace=0):
        self.server = server
        self.pace = pace

    def __enter__(self):
        self.helper = self.server.helper()
        self.exit = contextlib.ExitStack()
        self.exit.enter_context(self.server.clock.paced(self.pace))
        self.server.signal("STOP", self.helper)
        wait_for(lambda: proc.stat(self.helper)[0] == "T", 5, "stopped")
        return self

    def __exit__(self, *exc):
        self.server.signal("CONT", self.helper)
        self.exit.close()


def aside(n=1, **options):
    """So many handshakes that wait for the helper."""

    return [Shaking(NAME, **options).hello() for _ in range(n)]


def stacks(server):
    """How many stacks for handshakes its workers have by now."""

    return sum(len(find(pid)) for pid in server.workers(leaving=True))


def status():
    body = tls.fetch(NAME, "/status", port=8080, tls=False)[2].decode()
    return int(re.search(r"Active connections: (\d+)", body).group(1))


def quiet():
    """Only the connection that asks is left."""

    wait_for(lambda: status() == 1, 10, lambda: f"one, not {status()}")
