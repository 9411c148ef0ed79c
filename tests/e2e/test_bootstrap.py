"""Before there is a certificate, and what stands in for it meanwhile."""

import os
import re
import ssl

import pytest

from support import tls
from support.certs import self_signed
from support.wait import wait_for

SERVER = """
    autocert_path {dir}/store;
    %s
    server {
        listen 443 ssl;
        server_name example.com www.example.com;
        autocert on;
        %s
        location / { return 200 "$ssl_session_reused\\n"; }
    }
"""

TAKEN_UP = 20           # s, for a pair that is put into the store by hand

VERSIONS = [tls.TLS12, tls.TLS13]


def check_bootstrap(name, version=None, names=None):
    peer = tls.handshake(name, version=version)
    assert peer.self_signed and peer.curve == "secp256r1"
    assert peer.names == (names or [name])
    return peer


# from the first moment


@pytest.mark.parametrize("version", VERSIONS)
def test_from_the_first_moment(nginx, version):
    """The CA is not even there."""

    server = nginx(SERVER % ("autocert_ca https://127.0.0.1:1/dir;",
                             "listen 80;"))
    server.start(ready=False)

    for _ in range(3):
        check_bootstrap("example.com", version)
        check_bootstrap("www.example.com", version)

    line = server.wait_log('no certificate for "example.com"', 60)
    assert "next try at" in line
    check_bootstrap("example.com", version)


def test_before_the_ca_answers(nginx, pebble):
    """Bootstrap until the CA has signed, then what it signed."""

    ca = pebble()
    server = nginx(SERVER % ("resolver 127.0.0.1; " + ca.directives,
                             "listen 80;"))
    workers = server.start().workers()
    check_bootstrap("example.com")

    server.wait_log('certificate of "example.com" issued', 60)
    assert not tls.handshake("example.com", root=ca.root()).self_signed
    assert server.workers() == workers


def test_names_that_no_ca_signs(nginx):
    """Servers with such names alone are up as well."""

    server = nginx("""
        autocert_path {dir}/store;
        server {
            listen 443 ssl;
            server_name _;
            autocert on;
        }
    """).start()
    assert tls.handshake("anything.example").self_signed
    assert tls.handshake(None).self_signed
    assert server.helper()


# no session under it


def resumed(version, name="example.com"):
    """Whether a session was given, and was taken when it was offered."""

    context = tls.client_context(version)
    session = tls.resume(context, name)[0]

    if session is None:
        return False, False

    _, reused, answer = tls.resume(context, name, session)
    assert answer.endswith(b"r\n") == reused
    return session.has_ticket or len(session.id) > 0, reused


CACHES = ["", "ssl_session_cache shared:one:1m;",
          "ssl_session_cache builtin:100; ssl_session_tickets off;"]


@pytest.mark.parametrize("cache", CACHES, ids=["ticket", "both", "cache"])
@pytest.mark.parametrize("version", VERSIONS)
def test_no_session(nginx, version, cache):
    """None, until there is a pair; the same server gives them then."""

    server = nginx(SERVER % (cache, ""), workers=1).start()
    check_bootstrap("example.com")

    for _ in range(3):
        assert resumed(version) == (False, False)

    flag = "-tls1_2" if version == tls.TLS12 else "-tls1_3"
    path = f"{server.dir}/session.pem"
    said = tls.s_client(flag, "-ign_eof", "-sess_out", path,
                        name="example.com",
                        stdin=b"GET / HTTP/1.0\r\n\r\n")
    assert "New Session Ticket arrived" not in said
    assert "TLS session ticket:" not in said

    if version == tls.TLS12:
        assert re.search(r"Session-ID: *\n", said)

        # -reconnect is there in TLS 1.2 alone

        said = tls.s_client(flag, "-reconnect", name="example.com")
        assert said.count("New, TLSv1.2") == 6
        assert "Reused" not in said
    else:
        assert not os.path.exists(path)

    pair = self_signed("example.com")
    pair.store(f"{server.dir}/store", "example.com")
    wait_for(lambda: tls.handshake("example.com").der == pair.der, TAKEN_UP,
             "the pair served")
    assert resumed(version) == (True, True)


# which certificate


def test_names(nginx):
    """By SNI in any case; the server's first name where there is none."""

    server = nginx(SERVER % ("", "")).start()

    check_bootstrap("WWW.Example.COM", names=["www.example.com"])
    check_bootstrap(None, names=["example.com"])
    check_bootstrap("other.org", names=["example.com"])

    pairs = {}
    for name in "example.com", "www.example.com":
        pairs[name] = self_signed(name)
        pairs[name].store(f"{server.dir}/store", name)
        wait_for(lambda: tls.handshake(name).der == pairs[name].der, TAKEN_UP)

    for sni, name in ((None, "example.com"), ("other.org", "example.com"),
                      ("EXAMPLE.com", "example.com"),
                      ("WWW.EXAMPLE.COM", "www.example.com"),
                      ("www.example.com", "www.example.com")):
        assert tls.handshake(sni).der == pairs[name].der


def test_names_of_another_server(nginx):
    """
    A listener shows no certificate but of its own servers, or who is sent
    there in another's place would be taken for it.
    """

    server = nginx("""
        autocert_path {dir}/store;
        server {
            listen 8443 ssl;
            server_name a.example.com;
            autocert on;
        }
        server {
            listen 9443 ssl;
            server_name b.example.com c.example.com;
            autocert on;
        }
        server {
            listen 9443 ssl;
            server_name *.example.com;
            autocert on;
        }
    """)

    pairs = {}
    for name in "abc":
        pairs[name] = self_signed(f"{name}.example.com")
        pairs[name].store(f"{server.dir}/store", f"{name}.example.com")
    server.start()

    for port, sni, name in ((8443, "a", "a"), (8443, "b", "a"),
                            (9443, "b", "b"), (9443, "c", "c"),
                            # which the wildcard asks for
                            (9443, "a", "a")):
        assert tls.handshake(f"{sni}.example.com", port).der \
            == pairs[name].der, (port, sni)


def test_first_name_that_can_have_one(nginx):
    """Not the wildcard that stands before it."""

    server = nginx("""
        autocert_path {dir}/store;
        server {
            listen 443 ssl;
            server_name *.example.org ~^www\\d+ example.org b.example.org;
            autocert on;
        }
    """)
    pair = self_signed("example.org")
    pair.store(f"{server.dir}/store", "example.org")
    server.start()

    for sni in None, "x.example.org", "www1", "example.org":
        assert tls.handshake(sni).der == pair.der

    check_bootstrap("b.example.org")


def test_beside_others(nginx):
    """Servers without autocert on the same listener have their own."""

    server = nginx("""
        autocert_path {dir}/store;
        server {
            listen 443 ssl default_server;
            server_name static.example.com;
            ssl_certificate {dir}/cert.pem;
            ssl_certificate_key {dir}/key.pem;
        }
        server {
            listen 443 ssl;
            server_name one.example.com;
            autocert on;
        }
        server {
            listen 443 ssl;
            server_name two.example.com;
            autocert on;
        }
    """)
    static = self_signed("static.example.com", "rsa")
    static.write(f"{server.dir}/cert.pem", f"{server.dir}/key.pem")
    pair = self_signed("one.example.com")
    pair.store(f"{server.dir}/store", "one.example.com")
    server.start()

    for version in VERSIONS:
        for sni in None, "static.example.com", "other.org":
            assert tls.handshake(sni, version=version).der == static.der
        assert tls.handshake("one.example.com",
                             version=version).der == pair.der
        check_bootstrap("two.example.com", version)


# a certificate of the user's that stands in

STATIC = "ssl_certificate {dir}/%s.pem; ssl_certificate_key {dir}/%s.key;"

PREFERS = {
    "any": [],
    "rsa": ["-sigalgs", "RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256:ECDSA+SHA384",
            "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:"
                       "ECDHE-ECDSA-AES128-GCM-SHA256"],
    "ecdsa": ["-sigalgs",
              "ECDSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA256:RSA+SHA256",
              "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256:"
                         "ECDHE-RSA-AES128-GCM-SHA256"],
}


def served(flag, prefers, name="example.com"):
    said = tls.s_client(flag, *PREFERS[prefers], name=name)
    return ssl.PEM_cert_to_DER_cert(
        re.search("-----BEGIN.*?END CERTIFICATE-----", said, re.S).group(0))


@pytest.mark.parametrize("kind", ["rsa", "secp256r1", "both"])
@pytest.mark.parametrize("where", ["http", "http-variable", "server",
                                   "variable"])
def test_fallback(nginx, where, kind):
    """
    Served until issuance, then overridden, whatever signature algorithms a
    client prefers.
    """

    kinds = ["rsa", "secp256r1"] if kind == "both" else [kind]
    lines = " ".join(STATIC % (k, k) for k in kinds)

    if "variable" in where:
        lines = lines.replace("{dir}/", "{dir}/$ssl_server_name-")

    server = nginx(SERVER % ((lines, "") if "http" in where else ("", lines)))
    statics = {}

    for k in kinds:
        statics[k] = self_signed("example.com", k)
        for prefix in "", "example.com-":
            cert = f"{server.dir}/{prefix}{k}.pem"
            key = f"{server.dir}/{prefix}{k}.key"
            statics[k].write(cert, key)
            os.chown(key, 33, 33)

    server.start()
    server.helper()
    stand_in = {p.der for p in statics.values()}

    for flag in "-tls1_2", "-tls1_3":
        for prefers in PREFERS:
            assert served(flag, prefers) in stand_in

        for k, prefers in zip(kinds[:2], ["rsa", "ecdsa"]):
            if kind == "both":
                assert served(flag, prefers) == statics[k].der

    pair = self_signed("example.com", "secp384r1")
    pair.store(f"{server.dir}/store", "example.com")
    wait_for(lambda: tls.handshake("example.com").der == pair.der, TAKEN_UP,
             "the pair served")

    for flag in "-tls1_2", "-tls1_3":
        for prefers in PREFERS:
            assert served(flag, prefers) == pair.der


def test_fallback_gives_way_to_what_is_issued(nginx, pebble):
    ca = pebble()
    server = nginx(SERVER % ("resolver 127.0.0.1; " + ca.directives,
                             "listen 80; " + STATIC % ("rsa", "rsa")))
    static = self_signed("example.com", "rsa")
    static.write(f"{server.dir}/rsa.pem", f"{server.dir}/rsa.key")
    workers = server.start().workers()

    server.wait_log('certificate of "example.com" issued', 60)
    peer = tls.handshake("example.com", root=ca.root())
    assert peer.names == ["example.com"]
    assert served("-tls1_3", "rsa") == peer.der
    assert server.workers() == workers
