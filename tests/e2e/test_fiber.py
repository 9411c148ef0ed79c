"""Handshakes that are laid aside, and every way in which they can end."""

import functools
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import proc, tls
from support.aside import (NAME, UNSIGNED, Stopped, aside, configured, quiet,
                           serving, stacks, status)
from support.certs import self_signed
from support.nginx import VERSION
from support.shaking import Shaking
from support.wait import wait_for


GET = (b"GET / HTTP/1.1\r\nHost: example.com\r\n"
       b"Connection: close\r\n\r\n")


@pytest.fixture
def serve(nginx):
    """serve(http="", listen="", server="", ...) -> a started NGINX."""

    return functools.partial(serving, nginx)


def changed(server, old, new):
    """Its configuration, which has old."""

    with open(server.conf_path) as f:
        conf = f.read()
    assert old in conf
    with open(server.conf_path, "w") as f:
        f.write(conf.replace(old, new))
    return server


def events(server, lines):
    return changed(server, "events {", "events { " + lines)


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

    with Stopped(server, pace=1):
        began = time.monotonic()
        waiting = aside(10)
        for one in waiting:
            assert one.ended()
            one.close()
            # the timers that it is looked at by have some ms of play
            assert 1.9 < time.monotonic() - began < 8
        # nothing is left of them while the helper still stands
        quiet()

    tls.handshake(NAME)


SOONER = """
    server {
        listen 8443 ssl;
        server_name example.com;
        autocert on;
        client_header_timeout 1s;
    }
"""


def test_client_header_timeout(serve):
    """It does not wait for the deadline."""

    server = serve(http=SOONER)
    server.allow(UNSIGNED)

    with Stopped(server):
        later = aside(5)
        sooner = aside(5, port=8443)
        wait_for(lambda: stacks(server) >= 10, 10, "all laid aside")
        server.clock.skip(server, 1.5)
        for one in sooner:
            assert one.ended()
            one.close()
        assert all(one.waits() for one in later)

    for one in later:
        one.finish()
        one.close()

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
            server.wait_gone(worker)

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


def test_worker_leaves_after_a_stall(serve):
    """No timer is left, but there are some that have not had their turn."""

    server = serve("client_header_timeout 3s;")
    server.allow(UNSIGNED)
    old = server.workers()

    with Stopped(server):
        waiting = aside(20)
        wait_for(lambda: stacks(server) >= 20, 10, "all laid aside")
        server.signal("HUP")
        wait_for(lambda: proc.title(old[0]).endswith("is shutting down"), 10,
                 "told to leave")
        server.clock.skip(server, 10)
        server.wait_gone(old)

    for one in waiting:
        assert one.ended()
        one.close()


def test_worker_shutdown_timeout(serve):
    """It does not wait for the deadline."""

    server = serve(main="worker_shutdown_timeout 1s;")
    server.allow(UNSIGNED)
    old = server.workers()

    with Stopped(server):
        waiting = aside(5)
        wait_for(lambda: stacks(server) >= 5, 10, "all laid aside")
        server.signal("HUP")
        wait_for(lambda: proc.title(old[0]).endswith("is shutting down"), 10,
                 "told to leave")
        assert all(one.waits() for one in waiting)
        server.clock.skip(server, 1.5)
        for one in waiting:
            assert one.ended()
            one.close()
        server.wait_gone(old)


def test_helper_dies(serve):
    server = serve()
    server.allow("exited on signal 9")

    # time passes: where the helper ends soon after a start a timer knocks
    with Stopped(server, pace=0.1) as stopped:
        waiting = aside(20)
        server.signal("KILL", stopped.helper)
        server.helper(other_than=[stopped.helper])
        # asked again, its successor signs
        for one in waiting:
            one.finish()
            one.close()
        stopped.helper = server.helper()

    quiet()


def queued(port=443):
    """Connections that no worker has taken yet."""

    with open("/proc/net/tcp") as f:
        fields = [line.split() for line in f]
    return sum(int(field[4].partition(":")[2], 16) for field in fields
               if field[1].endswith(f":{port:04X}") and field[3] == "0A")


def served(server, n):
    """Of n handshakes at once, how many there is room for."""

    with Stopped(server):
        waiting = []
        for _ in range(n):
            try:
                waiting.append(Shaking(NAME).hello())
            except OSError:
                pass
        wait_for(lambda: queued() == 0, 30, "all taken, or sent away")

    finished = 0
    for one in waiting:
        try:
            one.finish()
            finished += 1
        except OSError:
            pass
        one.close()

    quiet()
    return finished


def test_connections_run_out(serve):
    """No place is lost with those that found none."""

    # with their hello at hand none is idle for a while, and closed as such
    server = serve(listen="deferred")
    server.allow("worker_connections are not enough")
    room = [served(server, 290) for _ in range(3)]
    assert 200 <= room[0] < 256
    assert room == 3 * room[:1]
    tls.handshake(NAME)


def test_chain_moved(serve):
    """Asked for by all that come before the answer."""

    server = serve()
    new = self_signed(NAME, "secp384r1")
    new.store(f"{server.dir}/store", NAME)

    def seen():
        server.clock.skip(server, 60)
        return server.grep('"example.com" in the store has changed')

    wait_for(seen, 20, "the new pair taken up", interval=0.1)

    with Stopped(server):
        waiting = aside(50)
        wait_for(lambda: stacks(server) >= 50, 10, "all laid aside")

    for one in waiting:
        one.finish()
        assert one.tls.getpeercert(binary_form=True) == new.der
        one.close()

    quiet()


def rest(helper):
    """No thread of it has anything to do."""

    return all(open(f"/proc/{helper}/task/{task}/stat").read()
               .rpartition(")")[2].split()[0] == "S"
               for task in os.listdir(f"/proc/{helper}/task"))


def test_stalled_worker(nginx):
    """
    The answers are there, the deadlines are over: with accept_mutex the loop
    looks at timers before it reads.
    """

    server = events(configured(nginx, workers=2), "accept_mutex on;").start()
    tls.handshake(NAME)
    workers = server.workers()

    with Stopped(server) as stopped:
        waiting = aside(20)
        wait_for(lambda: stacks(server) >= 20, 10, "all laid aside")
        for pid in workers:
            server.signal("STOP", pid)
        server.signal("CONT", stopped.helper)
        wait_for(lambda: rest(stopped.helper), 10, "all answered")
        server.clock.skip(server, 3)
        for pid in workers:
            server.signal("CONT", pid)

    for one in waiting:
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()

    quiet()


def idle(n):
    """Connections that NGINX may close when it needs their places."""

    return [socket.create_connection(("127.0.0.1", 443), 15)
            for _ in range(n)]


def test_idle_ones_make_room(serve):
    """What is laid aside is not idle: the others go."""

    server = serve()

    with Stopped(server):
        waiting = aside(120)
        others = idle(200)
        server.wait_log("reusing connections")

    for one in waiting:
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()

    for one in others:
        one.close()

    quiet()


def test_room_is_made_by_a_handler(serve):
    """
    A handler that runs on a stack of ours needs a connection, which closes
    idle ones, whose handlers would run on such a stack as well.
    """

    n = 60
    server = serve(server="""
        error_page 497 =200 /there;
        location /there { proxy_pass http://127.0.0.1:9080; }
    """)
    worker = server.workers()

    with socket.create_server(("127.0.0.1", 9080), backlog=n) as upstream:
        upstream.settimeout(15)
        others = idle(200)
        plain = idle(n)
        server.wait_log("reusing connections")

        for one in plain:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
        for _ in plain:
            with upstream.accept()[0] as s:
                s.recv(4096)
                s.sendall(b"HTTP/1.0 200 OK\r\n\r\nthere")
        for one in plain:
            with one, one.makefile("rb") as f:
                assert f.read().endswith(b"there")

    for one in others:
        one.close()

    quiet()
    assert server.workers() == worker
    tls.handshake(NAME)


def test_hello_byte_by_byte(serve):
    server = serve()
    waiting = [Shaking(NAME) for _ in range(3)]

    with Stopped(server):
        for one in waiting:
            one.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in one.flight():
                one.sock.sendall(bytes([byte]))
        wait_for(lambda: stacks(server) >= 3, 10, "all laid aside")

    for one in waiting:
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()

    quiet()


def test_hello_in_many_records(serve):
    server = serve()
    waiting = [Shaking(NAME) for _ in range(3)]

    with Stopped(server):
        for one in waiting:
            hello = one.flight()
            body = hello[5:]
            for i in range(0, len(body), 50):
                piece = body[i:i + 50]
                one.sock.sendall(hello[:3] + len(piece).to_bytes(2, "big")
                                 + piece)
        wait_for(lambda: stacks(server) >= 3, 10, "all laid aside")

    for one in waiting:
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


# RFC 8446, 4.1.3: the random of such a ServerHello
HELLO_RETRY_REQUEST = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891"
                                    "c2a211167abb8c5e079e09e2c8a8339c")


def test_hello_retry_request(serve):
    serve(server="ssl_ecdh_curve X25519;")
    text = tls.s_client("-tls1_3", "-groups", "P-384:X25519", "-msg",
                        name=NAME)
    assert text.count("ClientHello") >= 2
    assert re.search("(Server|Peer) Temp Key: X25519", text)


def test_hello_retry_request_laid_aside(serve):
    server = serve(server="ssl_ecdh_curve P-384;")

    with Stopped(server):
        waiting = aside(5, version=tls.TLS13)
        for one in waiting:
            data = one.sock.recv(65536)
            assert HELLO_RETRY_REQUEST in data
            one.incoming.write(data)
            one.hello()
        wait_for(lambda: stacks(server) >= 5, 10, "all laid aside")

    for one in waiting:
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()

    quiet()


def test_proxy_protocol(nginx):
    server = configured(nginx, listen="proxy_protocol").start()
    head = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"
    waiting = [Shaking(NAME) for _ in range(6)]

    with Stopped(server):
        for one in waiting[:3]:
            one.sock.sendall(head + one.flight())
        for one in waiting[3:]:
            one.sock.sendall(head)
        # it has seen these when it answers
        assert tls.fetch(NAME, port=8080, tls=False)[2] == b"plain\n"
        for one in waiting[3:]:
            one.hello()
        wait_for(lambda: stacks(server) >= 6, 10, "all laid aside")

    for one in waiting:
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()

    quiet()


def frame(kind, flags, stream, data=b""):
    return (len(data).to_bytes(3, "big") + bytes([kind, flags])
            + stream.to_bytes(4, "big") + data)


# RFC 9113: the preface, settings, GET /
H2_GET = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
          + frame(1, 5, 1, b"\x82\x87\x84\x41\x0b" + NAME.encode()))


@pytest.mark.parametrize("listen", ["reuseport", "deferred", "backlog=4",
                                    "http2"])
@pytest.mark.parametrize("lines", ["", "multi_accept on;",
                                   "accept_mutex on;"])
def test_listeners(nginx, listen, lines):
    server = events(configured(nginx, listen=listen, curve="secp384r1",
                               workers=2), lines).start()

    with tls.HandshakeStream(NAME, threads=3) as stream:
        stream.wait(60)
    assert not stream.failures

    quiet()

    # none of them is waited for; no more come at once than a backlog takes
    with Stopped(server):
        waiting = []
        while len(waiting) < 12:
            waiting += aside(4, alpn=["h2", "http/1.1"])
            wait_for(lambda: status() > len(waiting), 10,
                     lambda: f"{len(waiting)} taken, not {status() - 1}")

    for one in waiting:
        one.finish()
        if listen == "http2":
            assert one.tls.selected_alpn_protocol() == "h2"
            one.say(H2_GET).answer(b"hello\n")
        else:
            assert one.get().endswith(b"hello\n")
        one.close()


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
    assert "no renegotiation" in text
    quiet()


def test_early_data(serve, place):
    serve(http="ssl_session_timeout 1h;", server="ssl_early_data on;")
    session = f"{place}/session"
    early = f"{place}/early"

    text = tls.s_client("-tls1_3", "-sess_out", session, "-ign_eof", name=NAME,
                        stdin=GET)
    assert "hello" in text

    with open(early, "wb") as f:
        f.write(GET)

    text = tls.s_client("-tls1_3", "-sess_in", session, "-early_data", early,
                        "-ign_eof", name=NAME)
    assert "Early data was accepted" in text
    assert "hello" in text
    quiet()


def test_early_data_rejected(serve, place):
    """A whole handshake where early data is read for."""

    server = serve(server="ssl_early_data on;")
    session = f"{place}/session"
    text = tls.s_client("-tls1_3", "-sess_out", session, "-ign_eof", name=NAME,
                        stdin=GET)
    assert "hello" in text
    with open(f"{place}/early", "wb") as f:
        f.write(GET)

    # the keys of its tickets are new
    old = [*server.workers(), server.helper()]
    with server.clock.paced(1):
        server.reload()
        server.wait_gone(old)
    assert tls.handshake(NAME).der == server.pair.der

    with Stopped(server), ThreadPoolExecutor() as pool:
        waiting = aside(3)
        wait_for(lambda: stacks(server) == 3, 10, "laid aside")
        text = pool.submit(tls.s_client, "-tls1_3", "-sess_in", session,
                           "-early_data", f"{place}/early", "-ign_eof",
                           name=NAME, stdin=GET, timeout=60)
        wait_for(lambda: stacks(server) == 4, 30, "this as well")
        server.signal("CONT", server.helper())
        text = text.result()

    assert "Early data was rejected" in text
    assert "hello" in text
    for one in waiting:
        one.finish()
        one.close()
    quiet()


@pytest.mark.skipif(VERSION >= (1, 25, 1), reason='NGINX has no "ssl on"')
def test_ssl_on(nginx):
    """What "listen ... ssl" was, for all of a server's listeners."""

    server = changed(configured(nginx), "listen 443 ssl ;",
                     "listen 443; ssl on;")
    server.start()

    with Stopped(server):
        waiting = aside(5)
        wait_for(lambda: stacks(server) >= 5, 10, "all laid aside")

    for one in waiting:
        one.finish()
        assert one.get().endswith(b"hello\n")
        one.close()


def test_client_certificates(serve, authority, place):
    with open(f"{place}/ca.pem", "wb") as f:
        f.write(authority.pem)
    authority.issue("client").write(f"{place}/c.pem", f"{place}/c.key")

    serve(server=f"ssl_client_certificate {place}/ca.pem; "
                 "ssl_verify_client on;")

    for version in "-tls1_2", "-tls1_3":
        text = tls.s_client(version, "-cert", f"{place}/c.pem", "-key",
                            f"{place}/c.key", "-ign_eof", name=NAME,
                            stdin=GET)
        assert "hello" in text
    quiet()
