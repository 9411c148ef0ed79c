"""Sessions: good where they come from, for as long as may be; nowhere else."""

import datetime
import os
import shutil
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from support import tls
from support.certs import Authority, self_signed

SERVERS = """
    autocert_path {dir}/store;
    %s
    server {
        listen 443 ssl;
        server_name %s;
        autocert on;
        %s
        location / { return 200 "one"; }
    }
    server {
        listen %s ssl;
        server_name %s;
        autocert on;
        %s
        location / { return 200 "two"; }
    }
"""

ONE, TWO = "one.example.com", "two.example.com"
VERSIONS = [tls.TLS12, tls.TLS13]

# all servers of all listeners could know each other's

SHARED = {
    "cache": "ssl_session_cache shared:one:1m; ssl_session_tickets off;",
    "ticket": "ssl_session_ticket_key {place}/ticket.key;",
}

# what a server may want of its clients; two of the CAs have one name

VERIFY = "ssl_verify_client on; ssl_client_certificate {place}/%s.pem; "

WANTS = {
    "none": "",
    "first": VERIFY % "first",
    "optional": (VERIFY % "first").replace(" on;", " optional_no_ca;"),
    "other": VERIFY % "other",
    "second": VERIFY % "second",
    "trusted": VERIFY % "first" + "ssl_trusted_certificate "
                                  "{place}/other.pem;",
    "crl": VERIFY % "first" + "ssl_crl {place}/crl.pem;",
    "depth": VERIFY % "first" + "ssl_verify_depth 2;",
}

# (the client's own, where it is from, where it goes), from a server that
# takes the client to one that does not, or that does not look

CROSSING = [(None, "none", "first"), (None, "none", "other"),
            ("other", "optional", "first"), ("first", "first", "other"),
            ("first", "first", "second"), ("other", "trusted", "first"),
            ("first", "first", "crl"), ("first", "depth", "first"),
            ("first", "first", "none")]


def revoke(ca, pair=None):
    now = datetime.datetime.utcnow()
    day = datetime.timedelta(days=1)
    builder = x509.CertificateRevocationListBuilder() \
        .issuer_name(ca.cert.subject).last_update(now - day) \
        .next_update(now + day)
    if pair:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(pair.cert.serial_number)
            .revocation_date(now - day).build())
    return builder.sign(ca.key, hashes.SHA256()) \
        .public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def setup(nginx, place):
    """setup(shared, one, port, two, ...) -> a started NGINX."""

    def write(name, data):
        with open(f"{place}/{name}", "wb") as f:
            f.write(data)

    write("ticket.key", os.urandom(80))

    for name in "first", "second", "other":
        ca = Authority("Another CA" if name == "other" else "Clients' CA")
        pair = ca.issue("client")
        pair.write(f"{place}/{name}-own.pem", f"{place}/{name}-own.key")
        write(f"{name}.pem", ca.pem)
        if name == "first":
            write("crl.pem", revoke(ca, pair))
            write("empty.pem", revoke(ca))

    pairs = {name: self_signed(name) for name in (ONE, TWO, "www." + ONE)}

    def make(shared, one="none", port=443, two="none", name=TWO, names=ONE):
        text = SERVERS % (SHARED[shared], names, WANTS[one], port, name,
                          WANTS[two])
        server = nginx(text.replace("{place}", place), workers=1)
        for name, pair in pairs.items():
            pair.store(f"{server.dir}/store", name)
        return server.start()

    return make


def client(place, version, own=None):
    return tls.client_context(version, own=own and (
        f"{place}/{own}-own.pem", f"{place}/{own}-own.key"))


def taken(context, name=ONE, body=b"one"):
    """A session that is good where it comes from."""

    session, reused, answer = tls.resume(context, name)
    assert answer.endswith(b"\r\n\r\n" + body) and not reused
    _, reused, answer = tls.resume(context, name, session)
    assert answer.endswith(b"\r\n\r\n" + body) and reused
    return session


def offered(context, name, session, port=443):
    """(whether it was taken, the answer); NGINX may refuse the handshake."""

    try:
        return tls.resume(context, name, session, port)[1:]
    except ssl.SSLError as e:
        assert "ALERT" in e.reason, e
        return False, b"HTTP/1.1 421 by an alert"


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("port", [443, 8443])
@pytest.mark.parametrize("own, one, two", CROSSING)
def test_not_where_others_are_wanted(setup, place, shared, port, own, one,
                                     two):
    """
    On another listener to a server of the same name.  On the same one it is
    NGINX itself that sees to it, by an alert, or by its answer where TLS 1.2
    has resumed; where no certificate is wanted it sees to nothing.
    """

    name = TWO if port == 443 else ONE
    server = setup(shared, one, port, two, name)

    # NGINX's own, about a client certificate that is not good
    server.allow("ignoring stale global SSL error")

    for version in VERSIONS:
        context = client(place, version, own)
        session = taken(context)

        reused, answer = offered(context, name, session, port)
        assert port == 443 or answer[13:] != b"by an alert"
        assert not reused or port == 443 and (version == tls.TLS12
                                              or two == "none")

        if two != "none" and one != "depth":
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 421 "))
            assert not answer.endswith(b"two")


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("own, two, one", [
    (None, "none", "first"), ("other", "other", "first"),
    ("other", "optional", "first")])
def test_not_at_the_first_server(setup, place, shared, own, two, one):
    """The way back, on one listener."""

    setup(shared, one, 443, two)

    for version in VERSIONS:
        context = client(place, version, own)
        session, _, answer = tls.resume(context, TWO)
        assert answer.endswith(b"\r\n\r\ntwo")

        _, answer = offered(context, ONE, session)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 421 "))
        assert not answer.endswith(b"one")


@pytest.mark.parametrize("shared", SHARED)
def test_not_under_another_name(setup, place, shared):
    """Servers that differ in their names alone, on two listeners."""

    setup(shared, port=8443)

    for version in VERSIONS:
        context = client(place, version)
        session = taken(context)
        _, reused, answer = tls.resume(context, TWO, session, 8443)
        assert answer.endswith(b"\r\n\r\ntwo") and not reused


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("wants", ["none", "first", "trusted"])
def test_after_a_reload(setup, place, shared, wants):
    server = setup(shared, wants)
    own = {"none": None, "trusted": "other"}.get(wants, "first")

    for version in VERSIONS:
        context = client(place, version, own)
        session = taken(context)
        server.reload()
        _, reused, answer = tls.resume(context, ONE, session)
        assert answer.endswith(b"\r\n\r\none") and reused


@pytest.mark.parametrize("wants", ["none", "first"])
def test_on_another_host(setup, place, wants):
    """Another certificate, another order of the names: the same server."""

    context = {v: client(place, v, None if wants == "none" else "first")
               for v in VERSIONS}
    names = [ONE, "www." + ONE]

    server = setup("ticket", wants, names=" ".join(names))
    sessions = {v: taken(context[v]) for v in VERSIONS}
    server.stop()

    other = setup("ticket", wants, names=" ".join(reversed(names)))
    self_signed(ONE, "secp384r1").store(f"{other.dir}/store", ONE)
    other.reload()

    for version in VERSIONS:
        _, reused, answer = tls.resume(context[version], ONE,
                                       sessions[version])
        assert answer.endswith(b"\r\n\r\none") and reused


@pytest.mark.parametrize("shared", SHARED)
def test_not_once_revoked(setup, place, shared):
    """A reload with what the CA says by now."""

    crl = f"{place}/crl.pem"
    os.rename(crl, f"{place}/revoked.pem")
    shutil.copyfile(f"{place}/empty.pem", crl)
    server = setup(shared, "crl")

    for version in VERSIONS:
        context = client(place, version, "first")
        session = taken(context)

        shutil.copyfile(f"{place}/revoked.pem", crl)
        server.reload()
        reused, answer = offered(context, ONE, session)
        assert answer.startswith(b"HTTP/1.1 400 ") and not reused

        shutil.copyfile(f"{place}/empty.pem", crl)
        server.reload()
