"""Certificates are kept: renewed, taken up after a restart, never twice."""

import glob

import pytest

from support import memory, tls
from support.certs import self_signed
from support.engine import kill, of_ca, reload, settled, state
from support.wait import wait_for

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert_key_type secp256r1;
    autocert on admin@example.com;
    server {
        listen 80;
        listen 443 ssl;
        server_name %s;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""


@pytest.mark.limit(240)
def test_renewed_under_handshakes(nginx, pebble):
    ca = pebble(validity=20)
    server = nginx(CONF % (ca.directives, "example.com")).start()
    server.wait_log('certificate of "example.com" issued', 60)
    workers = server.workers()
    helper = server.helper()
    keys = []

    with tls.HandshakeStream("example.com", threads=2, pause=0.02,
                             root=ca.root()) as stream:
        for n in range(3):
            mark = server.mark()
            with open(f"{server.dir}/store/example.com/privkey.pem", "rb") as f:
                keys.append(f.read())
            server.wait_log('certificate of "example.com" renewed', 60,
                            since=mark)
            stream.wait(20)

    assert stream.failures == []
    assert len(stream.certificates) >= 4
    points = {tls.x509.load_der_x509_certificate(der).public_key()
              .public_numbers().x for der in stream.certificates}
    assert len(points) == len(stream.certificates), "a key was used twice"

    # the same processes, and none of the workers has ever had a key
    assert server.workers() == workers
    assert server.helper() == helper

    scan = memory.Scan()
    for i, pem in enumerate(keys):
        scan.key(f"key{i}", pem)
    with open(glob.glob(f"{server.dir}/store/.accounts/*/account.key")[0],
              "rb") as f:
        scan.key("account", f.read())
    assert scan([server.master, *workers]) == []
    assert scan([helper]) != []


def test_restart_talks_to_no_ca(nginx, pebble):
    ca = pebble()
    server = nginx(CONF % (ca.directives, "a.test b.test")).start()
    for name in "a.test", "b.test":
        server.wait_log(f'certificate of "{name}" issued', 60)
    wait_for(lambda: of_ca(server).get("blind")
             or all(state(server, n).get("renew_at")
                    for n in ("a.test", "b.test")), 30, "their windows")
    settled(server)
    root = ca.root()
    before = [tls.handshake(n, root=root).der for n in ("a.test", "b.test")]
    server.stop()
    ca.stop()

    mark = server.mark()
    server.start()
    settled(server)
    assert [tls.handshake(n, root=root).der
            for n in ("a.test", "b.test")] == before

    reload(server)
    kill(server)
    assert [tls.handshake(n, root=root).der
            for n in ("a.test", "b.test")] == before

    # had it been asked, a CA that is not there would have been complained of
    assert not server.grep("no (new )?certificate|beginning the order|"
                           "could not be", since=mark)


@pytest.mark.parametrize("how", ["HUP", "KILL", "restart"])
@pytest.mark.limit(180)
def test_order_taken_up(nginx, pebble, how):
    """One order, begun by one helper and ended by another."""

    ca = pebble(env={"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "4"})
    server = nginx(CONF % (ca.directives, "example.com")).start()
    server.allow("exited on signal 9")
    server.wait_log("awaiting the validation, name: example.com", 30)

    mark = server.mark()
    helper = server.helper()

    if how == "restart":
        server.stop()
        server.start()
    else:
        server.signal(how, server.master if how == "HUP" else helper)

    server.wait_log('going on with the order for "example.com"', 60,
                    since=mark)
    server.wait_log('certificate of "example.com" issued', 60, since=mark)
    assert tls.handshake("example.com", root=ca.root()).names \
        == ["example.com"]
    assert ca.issued() == 1
    assert ca.count("POST /order-plz") == 1
    assert ca.count("POST /chalZ/") == 1
    assert not server.grep("no certificate for")


@pytest.mark.parametrize("reject", [5, 50])
@pytest.mark.limit(180)
def test_nonces_refused(nginx, pebble, reject):
    ca = pebble(nonce_reject=reject)
    server = nginx(CONF % (ca.directives, "a.test b.test c.test")).start()
    for name in "a.test", "b.test", "c.test":
        server.wait_log(f'certificate of "{name}" issued', 120)
        assert tls.handshake(name, root=ca.root())
    assert ca.count("POST /sign-me-up") >= 1
    assert ca.issued() == 3


def test_account_is_kept(nginx, pebble):
    ca = pebble()
    server = nginx(CONF % (ca.directives, "a.test")).start()
    server.wait_log('certificate of "a.test" issued', 60)
    asked = ca.count("POST /sign-me-up")

    server.write(CONF % (ca.directives, "a.test b.test"))
    mark = server.mark()
    server.reload()
    server.wait_log('certificate of "b.test" issued', 60, since=mark)
    assert ca.count("POST /sign-me-up") == asked
    assert ca.issued() == 2


def test_ca_forgets_the_account(nginx, pebble):
    """Pebble keeps all in memory: started anew it knows nobody."""

    ca = pebble()
    server = nginx(CONF % (ca.directives, "a.test")).start()
    server.wait_log('certificate of "a.test" issued', 60)
    ca.stop()
    ca.start()

    server.write(CONF % (ca.directives, "a.test b.test"))
    mark = server.mark()
    server.reload()
    server.wait_log('certificate of "b.test" issued', 60, since=mark)
    assert tls.handshake("b.test", root=ca.root()).names == ["b.test"]


def test_two_servers_one_store(nginx, pebble):
    """One of them is the client, the other serves what it obtains."""

    ca = pebble()
    first = nginx(CONF % (ca.directives, "example.com")).start()
    first.wait_log('certificate of "example.com" issued', 60)

    second = nginx(CONF.replace("{dir}/store", f"{first.dir}/store")
                   .replace("listen 80", "listen 81")
                   .replace("listen 443", "listen 444")
                   % (ca.directives, "example.com"))
    second.start()
    assert tls.handshake("example.com", port=444, root=ca.root()).der \
        == tls.handshake("example.com", root=ca.root()).der
    second.wait_log("another process renews the certificates", 20)
    assert ca.issued() == 1

    mark = second.mark()
    first.stop()
    # the lock is free: from now on it would be the other one's turn
    new = self_signed("example.com")
    new.store(f"{first.dir}/store", "example.com")
    second.wait_log('certificate of "example.com" in the store has changed',
                    20, since=mark)
