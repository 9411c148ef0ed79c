"""Handshakes that are laid aside, and every way in which they can end."""

import re
import socket

import pytest

from support import proc, tls
from support.certs import self_signed
from support.shaking import Shaking
from support.wait import wait_for

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


@pytest.fixture
def serve(nginx):
    """serve(http="", listen="", server="", ...) -> a started NGINX."""

    def make(http="", listen="", server="", curve="secp256r1", **options):
        options.setdefault("workers", 1)
        made = nginx(CONF % (http, listen, server), **options)
        made.pair = self_signed(NAME, curve)
        made.pair.store(f"{made.dir}/store", NAME)
        made.start()
        assert tls.handshake(NAME).der == made.pair.der
        return made

    return make


def status():
    body = tls.fetch(NAME, "/status", port=8080, tls=False)[2].decode()
    return int(re.search(r"Active connections: (\d+)", body).group(1))


class Stopped:
    """The helper does not answer: handshakes stay laid aside."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.helper = self.server.helper()
        self.server.signal("STOP", self.helper)
        wait_for(lambda: proc.stat(self.helper)[0] == "T", 5, "stopped")
        return self

    def __exit__(self, *exc):
        self.server.signal("CONT", self.helper)


UNSIGNED = r"SSL_do_handshake\(\) failed .*EVP lib"


def aside(n=1, **options):
    """So many handshakes that wait for the helper."""

    return [Shaking(NAME, **options).hello() for _ in range(n)]


def quiet():
    """Only the connection that asks is left."""

    wait_for(lambda: status() == 1, 10, lambda: f"one, not {status()}")


@pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13])
@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1"])
def test_laid_aside_and_resumed(serve, version, curve):
    server = serve(curve=curve)

    with Stopped(server):
        waiting = aside(20, version=version)
        # the loop goes on meanwhile: one worker, and it answers
        for _ in range(20):
            assert tls.fetch(NAME, port=8080, tls=False)[2] == b"plain\n"

    for one in waiting:
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()

    quiet()


def test_client_gone(serve):
    server = serve()

    with Stopped(server):
        waiting = aside(30)
        for i, one in enumerate(waiting):
            if i % 3 == 0:
                one.reset()
            if i % 3 == 1:
                one.close()

    for i, one in enumerate(waiting):
        if i % 3 == 2:
            one.finish()
            one.close()

    quiet()


def test_deadline(serve):
    server = serve()
    server.allow(UNSIGNED)

    with Stopped(server):
        waiting = aside(10)
        for one in waiting:
            assert one.ended()
            one.close()
        # nothing is left of them while the helper still stands
        quiet()

    tls.handshake(NAME)


def test_client_header_timeout(serve):
    server = serve(http="client_header_timeout 1s;")
    server.allow(UNSIGNED)

    with Stopped(server):
        waiting = aside(5)
        for one in waiting:
            assert one.ended()
            one.close()
        server.wait_log("client timed out|SSL_do_handshake", 5)
        quiet()


@pytest.mark.parametrize("sig", ["QUIT", "TERM"])
def test_worker_leaves(serve, sig):
    server = serve()
    worker = server.workers()[0]

    with Stopped(server):
        waiting = aside(5)
        wait_for(lambda: status() == 6, 10, "all of them accepted")
        server.signal(sig, worker)
        if sig == "TERM":
            for one in waiting:
                assert one.ended()

    if sig == "QUIT":
        # begun before: served to the end
        for one in waiting:
            one.finish()
            one.close()

    server.wait_gone(worker)
    wait_for(lambda: server.workers(), 10, "a new worker")
    tls.handshake(NAME)


def test_reload_waits_for_them(serve):
    server = serve()
    old = server.workers()

    with Stopped(server):
        waiting = aside(5)
        server.signal("HUP")
        wait_for(lambda: set(server.workers()) - set(old), 10, "new workers")

    for one in waiting:
        one.finish()
        one.close()

    server.wait_gone(old)


def test_worker_shutdown_timeout(serve):
    server = serve(main="worker_shutdown_timeout 1s;")
    server.allow(UNSIGNED)
    old = server.workers()

    with Stopped(server):
        waiting = aside(5)
        server.signal("HUP")
        for one in waiting:
            assert one.ended()
            one.close()
        server.wait_gone(old)


def test_helper_dies(serve):
    server = serve()
    server.allow("exited on signal 9")

    with Stopped(server) as stopped:
        waiting = aside(20)
        server.signal("KILL", stopped.helper)
        server.helper(other_than=[stopped.helper])
        # asked again, its successor signs
        for one in waiting:
            one.finish()
            one.close()
        stopped.helper = server.helper()

    quiet()


def test_connections_run_out(serve):
    server = serve()
    server.allow("worker_connections are not enough")

    with Stopped(server):
        waiting = aside(230)
        more = []
        for _ in range(60):
            try:
                more.append(Shaking(NAME, timeout=5).hello())
            except OSError:
                pass

    finished = 0
    for one in waiting + more:
        try:
            one.finish()
            finished += 1
        except OSError:
            pass
        one.close()

    assert finished >= 200
    quiet()
    tls.handshake(NAME)


def test_hello_byte_by_byte(serve):
    server = serve()
    one = Shaking(NAME)

    one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in one.flight():
        one.sock.sendall(bytes([byte]))

    one.finish()
    assert one.get().endswith(b"hello\n")
    one.close()
    quiet()
    assert server.workers()


def test_hello_in_many_records(serve):
    serve()
    one = Shaking(NAME)
    hello = one.flight()
    body = hello[5:]

    for i in range(0, len(body), 50):
        piece = body[i:i + 50]
        one.sock.sendall(hello[:3] + len(piece).to_bytes(2, "big") + piece)

    one.finish()
    assert one.get().endswith(b"hello\n")
    one.close()


def test_cut_at_every_byte(serve):
    serve()
    hello = Shaking(NAME)
    n = len(hello.flight())
    hello.close()

    for i in range(0, n + 1):
        one = Shaking(NAME)
        one.sock.sendall(one.flight()[:i])
        one.reset() if i % 2 else one.close()

    quiet()
    tls.handshake(NAME)


def test_hello_retry_request(serve):
    serve(server="ssl_ecdh_curve X25519;")
    text = tls.s_client("-tls1_3", "-groups", "P-384:X25519", "-msg",
                        name=NAME)
    assert text.count("ClientHello") >= 2
    assert re.search("(Server|Peer) Temp Key: X25519", text)


def test_proxy_protocol(serve, nginx):
    server = nginx(CONF % ("", "proxy_protocol", ""), workers=1)
    pair = self_signed(NAME)
    pair.store(f"{server.dir}/store", NAME)
    server.start()

    for together in True, False:
        one = Shaking(NAME)
        head = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"
        if together:
            one.sock.sendall(head + one.flight())
        else:
            one.sock.sendall(head)
            one.hello()
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()


@pytest.mark.parametrize("listen", ["reuseport", "deferred", "backlog=4",
                                    "http2"])
@pytest.mark.parametrize("events", ["", "multi_accept on;",
                                    "accept_mutex on;"])
def test_listeners(nginx, listen, events):
    server = nginx(CONF % ("", listen, ""), workers=2)
    pair = self_signed(NAME, "secp384r1")
    pair.store(f"{server.dir}/store", NAME)
    with open(server.conf_path) as f:
        conf = f.read()
    with open(server.conf_path, "w") as f:
        f.write(conf.replace("events {", f"events {{ {events}"))
    server.start()

    with tls.HandshakeStream(NAME, threads=3) as stream:
        stream.wait(60)
    assert not stream.failures

    alpn = ["h2", "http/1.1"]
    peer = tls.handshake(NAME, alpn=alpn)
    assert peer.alpn == ("h2" if listen == "http2" else "http/1.1")
    assert tls.fetch(NAME)[2] == b"hello\n"


def test_plain_http_to_the_tls_port(serve):
    serve()
    code, _, body = tls.fetch(NAME, port=443, tls=False)
    assert code == 400
    assert b"plain HTTP request was sent to HTTPS port" in body
    quiet()


def test_renegotiation_refused(serve):
    serve()
    text = tls.s_client("-tls1_2", name=NAME, stdin=b"R\n")
    assert "RENEGOTIATING" in text
    assert "no renegotiation" in text or "error" in text.lower()
    quiet()


def test_early_data(serve, place):
    serve(http="ssl_session_timeout 1h;", server="ssl_early_data on;")
    session = f"{place}/session"
    early = f"{place}/early"

    text = tls.s_client("-tls1_3", "-sess_out", session, "-ign_eof", name=NAME,
                        stdin=b"GET / HTTP/1.1\r\nHost: example.com\r\n"
                        b"Connection: close\r\n\r\n")
    assert "hello" in text

    with open(early, "w") as f:
        f.write("GET / HTTP/1.1\r\nHost: example.com\r\n"
                "Connection: close\r\n\r\n")

    text = tls.s_client("-tls1_3", "-sess_in", session, "-early_data", early,
                        "-ign_eof", name=NAME)
    assert "Early data was accepted" in text
    assert "hello" in text
    quiet()


def test_client_certificates(serve, authority, place):
    with open(f"{place}/ca.pem", "wb") as f:
        f.write(authority.pem)
    authority.issue("client").write(f"{place}/c.pem", f"{place}/c.key")

    serve(server=f"ssl_client_certificate {place}/ca.pem; "
                 "ssl_verify_client on;")

    for version in "-tls1_2", "-tls1_3":
        text = tls.s_client(version, "-cert", f"{place}/c.pem", "-key",
                            f"{place}/c.key", "-ign_eof", name=NAME,
                            stdin=b"GET / HTTP/1.1\r\nHost: example.com\r\n"
                            b"Connection: close\r\n\r\n")
        assert "hello" in text
    quiet()
