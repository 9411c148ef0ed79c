"""Handshakes that wait for NGINX's own question about a client certificate."""

import socket
import threading

import pytest

from support import tls
from support.aside import NAME, quiet, serving
from support.nginx import BUILD
from support.shaking import Shaking

VERSIONS = [tls.TLS12, tls.TLS13]


class Responder:
    """One answer for all, as late as the test likes."""

    def __init__(self, authority, pair):
        self.body = authority.good(pair)
        self.sock = socket.create_server(("127.0.0.1", 9080), backlog=300)
        self.sock.settimeout(30)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def asked(self):
        return self.sock.accept()[0]

    def answer(self, s):
        with s:
            s.recv(65536)
            s.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: "
                      b"application/ocsp-response\r\n\r\n" + self.body)


@pytest.fixture
def own(place, authority):
    own = authority.issue("client")
    own.paths = f"{place}/c.pem", f"{place}/c.key"
    own.write(*own.paths)
    with open(f"{place}/ca.pem", "wb") as f:
        f.write(authority.pem)
    return own


@pytest.fixture
def responder(authority, own):
    with Responder(authority, own) as responder:
        yield responder


@pytest.fixture
def serve(nginx, place):
    def make(**options):
        return serving(nginx, server=f"""
            ssl_client_certificate {place}/ca.pem;
            ssl_verify_client optional;
            ssl_ocsp leaf;
            ssl_ocsp_responder http://127.0.0.1:9080/;
            """, **options)

    return make


@pytest.mark.parametrize("version", VERSIONS)
def test_request_before_the_answer(serve, responder, own, version):
    """No byte comes from the client after it: there is no other event."""

    serve()
    one = Shaking(NAME, version=version, own=own.paths).hello().finish().ask()
    question = responder.asked()

    # the same worker's loop has seen the request when it answers this one
    assert tls.fetch(NAME, port=8080, tls=False)[2] == b"plain\n"

    responder.answer(question)
    assert one.answer().endswith(b"hello\n")
    one.close()
    quiet()


@pytest.mark.parametrize("version", VERSIONS)
def test_request_after_the_answer(serve, responder, own, version):
    serve()
    one = Shaking(NAME, version=version, own=own.paths).hello().finish()
    responder.answer(responder.asked())
    assert tls.fetch(NAME, port=8080, tls=False)[2] == b"plain\n"
    assert one.get().endswith(b"hello\n")
    one.close()
    quiet()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("preload", ["", f"{BUILD}/nostack.so"])
def test_no_answer(serve, responder, own, version, preload):
    """NGINX gives up, and its own close waits for the client."""

    server = serve(http="client_header_timeout 1s;",
                   env={"LD_PRELOAD": preload} if preload else {})
    server.allow("no memory for the stack")
    worker = server.workers()
    waiting = [Shaking(NAME, version=version, own=own.paths).hello().finish()
               for _ in range(5)]
    questions = [responder.asked() for _ in waiting]
    server.clock.skip(server, 2)
    for one in waiting:
        # its close_notify
        assert one.answer() == b""
        one.close()

    quiet()
    assert server.workers() == worker
    for question in questions:
        question.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_client_gone(serve, responder, own, version):
    serve()
    waiting = [Shaking(NAME, version=version, own=own.paths).hello().finish()
               for _ in range(10)]
    questions = [responder.asked() for _ in waiting]

    for i, one in enumerate(waiting):
        one.reset() if i % 2 else one.close()
    assert tls.fetch(NAME, port=8080, tls=False)[2] == b"plain\n"

    for question in questions:
        responder.answer(question)

    quiet()


def test_room_is_made_by_a_question(serve, responder, own):
    """The connection to the responder is had by closing idle ones."""

    n = 60
    server = serve()
    worker = server.workers()
    idle = [Shaking(NAME) for _ in range(200)]

    # all but the client's last flight
    waiting = [Shaking(NAME, own=own.paths).hello() for _ in range(n)]
    server.wait_log("reusing connections")

    answers = threading.Thread(daemon=True, target=lambda: [
        responder.answer(q) for q in [responder.asked() for _ in range(n)]])
    answers.start()

    for one in waiting:
        one.finish().ask()
    for one in waiting:
        assert one.answer().endswith(b"hello\n")
        one.close()

    answers.join(30)
    for one in idle:
        one.close()

    quiet()
    assert server.workers() == worker
