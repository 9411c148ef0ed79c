"""The harness itself, with a stock NGINX and a certificate on disk."""

import re
import select
import signal
import socket
import ssl
import time

import pytest

from support import proc, tls
from support.certs import self_signed
from support.wait import wait_for

STATIC = """
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com;
        ssl_certificate {dir}/cert.pem;
        ssl_certificate_key {dir}/key.pem;
        location / { return 200 "hello\\n"; }
    }
"""


@pytest.fixture
def stock(nginx):
    server = nginx(STATIC, modules=False)
    server.pair = self_signed("example.com", "secp384r1")
    server.pair.write(f"{server.dir}/cert.pem", f"{server.dir}/key.pem")
    return server


@pytest.mark.parametrize("daemon", [True, False])
def test_start_reload_stop(stock, daemon):
    stock.daemon = daemon
    stock.write(STATIC).start()

    assert proc.title(stock.master).startswith("nginx: master process")
    assert len(stock.workers()) == 2
    assert stock.helpers() == []

    old, mark = stock.workers(), stock.mark()
    stock.reload()
    stock.wait_gone(old)
    stock.wait_log("reconfiguring", since=mark)
    assert not set(old) & set(stock.workers())

    everyone = stock.processes()
    stock.stop()
    assert not any(map(proc.alive, everyone))


def test_handshakes(stock):
    stock.start()

    for version, text in (tls.TLS12, "TLSv1.2"), (tls.TLS13, "TLSv1.3"):
        peer = tls.handshake("example.com", version=version)
        assert peer.version == text
        assert peer.der == stock.pair.der
        assert peer.names == ["example.com"]
        assert peer.self_signed and peer.curve == "secp384r1"

    assert tls.handshake("example.com", root=stock.pair.pem)

    with pytest.raises(ssl.SSLCertVerificationError):
        tls.handshake("other.com", root=stock.pair.pem)

    assert tls.fetch("example.com")[::2] == (200, b"hello\n")
    assert tls.fetch("example.com", port=80, tls=False)[2] == b"hello\n"
    assert re.search("subject=CN ?= ?example.com",
                     tls.s_client(name="example.com"))


def test_stream_sees_a_new_certificate_and_failures(stock):
    stock.start()

    with tls.HandshakeStream("example.com") as stream:
        stream.wait(20)
        new = self_signed("example.com")
        new.write(f"{stock.dir}/cert.pem", f"{stock.dir}/key.pem")
        stock.reload()
        stream.wait(20)

        assert list(stream.certificates) == [stock.pair.der, new.der]
        assert stream.failures == []

        stock.stop("TERM")
        wait_for(lambda: stream.failures, 5, "a failed handshake")


def test_bad_log_is_told(stock):
    stock.start()
    worker = stock.workers()[0]
    stock.signal("KILL", worker)
    stock.wait_log("exited on signal 9")

    with pytest.raises(AssertionError, match="exited on signal 9"):
        stock.check_log()

    stock.allow(r"worker process \d+ exited on signal 9")
    stock.check_log()


def test_left_process_is_told(stock):
    stock.start()
    worker = stock.workers()[0]
    stock.signal("STOP", worker)

    with pytest.raises(AssertionError, match="nothing left"):
        stock.stop(timeout=1)

    proc.send(worker, signal.SIGCONT)


def test_configuration_errors(nginx):
    server = nginx("nonsense;", modules=False)
    server.allow("unknown directive")

    done = server.test()
    assert done.returncode == 1
    assert 'unknown directive "nonsense"' in done.stdout


def test_pebble(pebble, dns):
    dns.set_a("two.test", "127.0.0.2")
    ca = pebble()

    assert b"BEGIN CERTIFICATE" in ca.root()
    assert b"newOrder" in tls.fetch("localhost", "/dir", port=14000,
                                    root=open(ca.trust).read())[2]
    assert ca.issued() == 0
    assert dns.history("two.test") == []


# the clock and the proxy, which others rely on

CERTIFICATES = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert on;
    server {
        listen 80;
        listen 443 ssl;
        server_name %s;
        autocert on;
    }
"""


def logged(line):
    return time.mktime(time.strptime(line[:19], "%Y/%m/%d %H:%M:%S"))


def test_clock_is_the_tests(nginx, clock):
    server = nginx("server { listen 80; }", env=clock.env).start()

    for ahead in 0, 10 * 86400, -365 * 86400:
        clock.set(ahead)
        mark = server.mark()
        server.reload()
        line = server.wait_log("signal 1 .SIGHUP. received", since=mark)
        assert abs(logged(line) - clock.now()) < 5

    worker = server.workers()
    mark = server.mark()
    clock.skip(server, 3600)
    server.wait_log("SIGIO", since=mark)
    line = server.grep(".", since=mark)[-1]
    assert abs(logged(line) - clock.now()) < 5
    assert server.workers() == worker


def test_time_stands_still(nginx, clock):
    """A second of NGINX's timers is as long as a test likes."""

    server = nginx("server { listen 80; client_header_timeout 1s; }",
                   env=clock.env).start()
    other = nginx("server { listen 81; client_header_timeout 1s; }").start()

    def began(port):
        s = socket.create_connection(("127.0.0.1", port), 20)
        s.sendall(b"GET")
        return s

    def look():
        assert tls.fetch("a", tls=False, port=80)[0] == 404

    with began(80) as one, began(81) as real:
        with clock.paced(0):
            look()
            assert real.recv(1) == b""
            clock.skip(server, 0.5)
            for _ in range(2 * server.n):
                look()
            assert not select.select([one], [], [], 0)[0]
            clock.skip(server, 0.6)
            assert one.recv(1) == b""

    with began(80) as one, clock.paced(10):
        start = time.monotonic()
        assert one.recv(1) == b""
        assert time.monotonic() - start < 10
    assert other.workers()


def test_proxy_passes_on(nginx, proxy):
    ca = proxy()
    server = nginx(CERTIFICATES % (ca.directives, "a.test b.test")).start()
    for name in "a.test", "b.test":
        server.wait_log(f'certificate of "{name}" issued', 60)
        assert tls.handshake(name, root=ca.pebble.root())

    kinds = {"order", "authz", "challenge", "finalize", "poll", "certificate"}
    for name in "a.test", "b.test":
        assert {r.kind for r in ca.requests if r.name == name} == kinds
    assert ca.ordered() == ["a.test", "b.test"]
    assert {r.kind for r in ca.requests if r.name is None} \
        == {"directory", "nonce", "account"}
    assert all(r.status in (200, 201) for r in ca.requests)


def test_proxy_answers(nginx, proxy):
    ca = proxy()
    ca.answer("order", 400, "malformed", "so it is", name="b.test")
    ca.answer("authz", cut="before", name="a.test")
    ca.answer("challenge", slow=2, name="a.test")
    ca.answer("poll", html="<html>", status=502, times=None, name="c.test")
    server = nginx(CERTIFICATES % (ca.directives,
                                   "a.test b.test c.test")).start()
    server.wait_log('no certificate for "b.test".*malformed: so it is', 60)
    server.wait_log('no certificate for "c.test".*502.*<html>', 60)
    server.wait_log('certificate of "a.test" issued', 60)

    authz = ca.of("authz", "a.test")
    assert [r.status for r in authz[:2]] == [None, 200]
    assert authz[0].connection != authz[1].connection
    after = [r for r in ca.requests if r.at > ca.of("challenge")[0].at]
    assert after[0].at - ca.of("challenge")[0].at > 1.9

    ca.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", ca.port), 1)
    ca.start()
    socket.create_connection(("127.0.0.1", ca.port), 1).close()
