"""autocert on: the main job, against real Pebble and one with a script."""

import glob
import os
import re
import shutil
import socket
import ssl

import pytest

from support import engine, tls
from support.certs import Authority, self_signed

SERVER = """
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

ONE = SERVER.replace(" www.example.com", "") \
    .replace("listen 443", "listen 127.0.0.1:443")


def issued(server, name="example.com", timeout=60, since=0):
    return server.wait_log(f'certificate of "{name}" issued', timeout,
                           since=since)


def test_main_job(nginx, pebble):
    ca = pebble()
    server = nginx(SERVER % ca.directives).start()

    for name in "example.com", "www.example.com":
        server.wait_log(f'certificate of "{name}" issued', 30)
        peer = tls.handshake(name, root=ca.root())
        assert peer.names == [name]
        assert peer.curve == "secp384r1"

    assert ca.issued() == 2


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1"])
def test_key_type(nginx, pebble, curve):
    ca = pebble()
    server = nginx(ONE % (ca.directives
                          + f"autocert_key_type {curve};")).start()
    issued(server)
    assert tls.handshake("example.com", root=ca.root()).curve == curve


def test_strict(nginx, pebble):
    ca = pebble(strict=True)
    server = nginx(ONE % ca.directives).start()
    issued(server)
    assert tls.handshake("example.com", root=ca.root())


def test_authorization_is_reused(nginx, pebble):
    ca = pebble(authz_reuse=100)
    server = nginx(ONE % ca.directives).start()
    issued(server)
    validations = ca.count("Starting 3 validations")
    server.stop()
    shutil.rmtree(f"{server.dir}/store/example.com")

    mark = server.mark()
    server.start()
    issued(server, since=mark)
    assert ca.issued() == 2
    assert ca.count("Starting 3 validations") == validations == 1
    assert tls.handshake("example.com", root=ca.root())


# what is sent

def test_as_in_rfc_8555(nginx, dns, fakeca):
    """Each request is checked by the CA; here, what they are in all."""

    ca = fakeca()
    ca.hold("finalize")
    server = nginx(ONE % ca.directives).start()
    server.wait_log("awaiting the certificate", 60)
    ca.release()
    issued(server)

    steps = [s for n, s in enumerate(ca.steps())
             if n == 0 or ca.steps()[n - 1] != s]
    assert steps == ["directory", "nonce", "account", "order", "authz",
                     "challenge", "authz", "finalize", "status", "cert"]
    assert ca.wrong == []
    assert ca.connections == 1, "kept alive"

    account, = ca.of("account")
    assert account.payload == {"termsOfServiceAgreed": True,
                               "contact": ["mailto:admin@example.com"]}
    assert ca.of("order")[0].payload == {
        "identifiers": [{"type": "dns", "value": "example.com"}]}
    assert ca.of("challenge")[0].payload == {}
    for step in "authz", "status", "cert":
        assert all(r.payload is None for r in ca.of(step)), "POST-as-GET"
    assert ca.of("cert")[0].headers["Accept"] \
        == "application/pem-certificate-chain"
    assert all(re.fullmatch(r"nginx-autocert/\S+ nginx/[0-9.]+\S*",
                            r.headers["User-Agent"]) for r in ca.requests)
    assert tls.handshake("example.com", root=ca.root).names \
        == ["example.com"]


def test_account_of_before(nginx, dns, fakeca):
    """It is registered once, whatever is started and stopped."""

    ca = fakeca()
    server = nginx(ONE % ca.directives).start()
    issued(server)
    server.stop()

    server.write(ONE.replace("name example.com", "name example.com b.test")
                 % ca.directives)
    server.start()
    issued(server, "b.test")
    assert len(ca.of("account")) == 1
    assert len(ca.of("order")) == 2

    # that it is lost is no more than another registration with the same key
    server.stop()
    found, = glob.glob(f"{server.dir}/store/.accounts/*/account.json")
    os.unlink(found)
    shutil.rmtree(f"{server.dir}/store/b.test")
    mark = server.mark()
    server.start()
    issued(server, "b.test", since=mark)
    assert len(ca.of("account")) == 2
    assert len(ca.accounts) == 1
    assert ca.wrong == []


def test_the_names_of_public_cas(nginx, dns, fakeca):
    ca = fakeca(host="acme-v02.api.letsencrypt.org", port=443,
                address="127.0.0.3", path="/directory")
    dns.set_a("acme-v02.api.letsencrypt.org", "127.0.0.3")
    directives = f"autocert_ca letsencrypt; autocert_ca_certificate {ca.trust};"
    server = nginx(ONE % directives).start()
    issued(server)
    assert ca.wrong == []


def test_connection_closed_each_time(nginx, dns, fakeca):
    ca = fakeca(close=True)
    server = nginx(ONE % ca.directives).start()
    issued(server)
    assert ca.connections == len(ca.requests) > 7
    assert ca.wrong == []


def test_kept_connection_gone_when_needed(nginx, dns, fakeca):
    """
    Closed without a word with the request: it is sent once more, also what
    is not repeated when it gets no answer on a new connection.
    """

    ca = fakeca()
    steps = "account", "order", "authz", "challenge", "finalize", "cert"
    for step in steps:
        ca.answer(step, None)
    server = nginx(ONE % ca.directives).start()
    issued(server)
    assert ca.connections == 1 + len(steps)
    assert len(ca.orders) == 1
    assert not server.grep("no certificate")


# its addresses

DEAD = ["127.0.0.7", "127.0.0.8", "192.0.2.1", "127.0.0.9"]


@pytest.mark.parametrize("alive", ["127.0.0.1", "::1"])
def test_dead_addresses(nginx, dns, fakeca, alive):
    """Many connections, for all of which one address in nine is alive."""

    ca = fakeca(host="ca.test", address=alive, close=True)
    v4, v6 = list(DEAD), ["2001:db8::1", "::2", "2001:db8::2", "::3"]
    (v6 if ":" in alive else v4).append(alive)
    dns.set_a("ca.test", *v4)
    dns.set_aaaa("ca.test", *v6)
    server = nginx(ONE % ca.directives).start()
    issued(server)
    assert ca.connections > 7
    assert ca.wrong == []


def test_address_that_is_silent(nginx, dns, fakeca):
    """Half of the connections wait for it in vain, to the time-out."""

    silent = socket.socket()
    silent.bind(("127.0.0.8", 14001))
    silent.listen(0)
    clients = []
    for n in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.8", 14001))
        clients.append(client)

    ca = fakeca(host="ca.test")
    dns.set_a("ca.test", "127.0.0.8", "127.0.0.1")
    server = nginx(ONE % ca.directives).start()
    issued(server)
    assert ca.wrong == []


# whom it trusts

def old(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


UNTRUSTED = {
    "another CA": (lambda a: Authority("other").issue("localhost"), None,
                   "self-signed certificate in certificate chain"),
    "another name": (lambda a: a.issue("other.test"), None,
                     "hostname mismatch"),
    "common name only": (lambda a: a.issue(["localhost.test"]), None,
                         "hostname mismatch"),
    "expired": (lambda a: a.issue("localhost", life=-30), None,
                "certificate has expired"),
    "self-signed": (lambda a: self_signed("localhost"), None,
                    "self-signed certificate"),
    "TLS 1.0": (lambda a: a.issue("localhost"), ssl.TLSVersion.TLSv1,
                "the TLS handshake failed"),
    "TLS 1.1": (lambda a: a.issue("localhost"), ssl.TLSVersion.TLSv1_1,
                "the TLS handshake failed"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("what", UNTRUSTED)
def test_untrusted(nginx, dns, fakeca, authority, what):
    make, version, says = UNTRUSTED[what]
    ca = fakeca(pair=make(authority), tls=version and old(version))
    server = nginx(ONE % ca.directives).start()
    line = server.wait_log('no certificate for "example.com"', 60)

    assert '"localhost:14001"' in line and says in line, line
    assert re.search(r"next try at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", line)
    assert "[warn]" in line or "[error]" in line
    assert len(server.grep(r"\[(warn|error|crit|alert)\]")) == 1
    assert ca.connections > 0
    assert ca.requests == [], "nothing is told to whom we do not trust"
    assert tls.handshake("example.com").self_signed


def test_literal_address(nginx, dns, fakeca):
    """No resolver is asked, the certificate has to have the address."""

    ca = fakeca(host="127.0.0.1")
    server = nginx(ONE % ca.directives).start()
    issued(server)
    assert ca.wrong == []


def test_literal_address_not_in_the_certificate(nginx, dns, fakeca, authority):
    ca = fakeca(host="127.0.0.1", pair=authority.issue("localhost"))
    server = nginx(ONE % ca.directives).start()
    line = server.wait_log('no certificate for "example.com"', 60)
    assert "IP address mismatch" in line
    assert ca.requests == []


def test_each_line_of_an_order_says_whose(nginx, dns, fakeca):
    """Its name, and the CA; the last one what comes next, and when."""

    ca = fakeca()
    server = nginx(engine.conf(ca)).start()
    last = engine.issued(server)

    lines = server.grep("autocert: (beginning|creating|reading the auth|"
                        "answering|awaiting|finalizing|downloading|cert)")
    assert len(lines) >= 7 and lines[-1] == last
    for line in lines:
        assert re.search(r'(name: |")example\.com\b', line), line
        assert line.endswith(f", CA: {ca.directory}"), line

    assert "[notice]" in last and all("[info]" in line for line in lines[:-1])
    assert re.search(rf"valid until {engine.DATE} \(\d+ days\), to be renewed "
                     rf"at {engine.DATE}", last)
