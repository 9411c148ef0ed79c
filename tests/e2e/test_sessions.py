"""Sessions: good where they come from, for as long as may be; nowhere else."""

import datetime
import os
import re
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from support import tls
from support.certs import Authority, self_signed
from support.nginx import VERSION

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

# OpenSSL's own as well, in each worker
BOTH = "ssl_session_cache builtin:100 shared:one:1m; ssl_session_tickets off;"

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
    now = datetime.datetime.now(datetime.timezone.utc)
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

    def make(shared, one="none", port=443, two="none", name=TWO, names=ONE,
             listen="listen %s ssl;"):
        text = SERVERS % (SHARED.get(shared, BOTH), names, WANTS[one], port, name,
                          WANTS[two])
        text = re.sub(r"listen (\d+) ssl;", lambda m: listen % m.group(1), text)
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


def refused(context, name, session, port=443, body=b"two"):
    """Not taken: the server is asked as if there were no session."""

    _, _, alone = tls.resume(context, name, port=port)
    _, reused, answer = tls.resume(context, name, session, port)
    assert not reused
    assert answer.split(b"\r\n")[0] == alone.split(b"\r\n")[0]
    assert answer.startswith(b"HTTP/1.1 400 ") \
        or answer.endswith(b"\r\n\r\n" + body)
    return answer


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("port", [443, 8443])
@pytest.mark.parametrize("own, one, two", CROSSING)
def test_not_where_others_are_wanted(setup, place, shared, port, own, one,
                                     two):
    """On another listener to a server of the same name, and on the same."""

    name = TWO if port == 443 else ONE
    server = setup(shared, one, port, two, name)

    # NGINX's own, about a client certificate that is not good
    server.allow("ignoring stale global SSL error")

    for version in VERSIONS:
        context = client(place, version, own)
        answer = refused(context, name, taken(context), port)
        assert answer.startswith(b"HTTP/1.1 400 ") \
            == (two != "none" and one != "depth")


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("own, two, one", [
    (None, "none", "first"), ("other", "other", "first"),
    ("other", "optional", "first")])
def test_not_at_the_first_server(setup, place, shared, own, two, one):
    """The way back, on one listener."""

    server = setup(shared, one, 443, two)
    server.allow("ignoring stale global SSL error")

    for version in VERSIONS:
        context = client(place, version, own)
        answer = refused(context, ONE, taken(context, TWO, b"two"),
                         body=b"one")
        assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("port", [443, 8443])
def test_not_under_another_name(setup, place, shared, port):
    """Servers that differ in their names alone, on two listeners and on one."""

    setup(shared, port=port)

    for version in VERSIONS:
        context = client(place, version)
        refused(context, TWO, taken(context), port)


@pytest.mark.skipif(VERSION >= (1, 25, 1), reason='NGINX has no "ssl on"')
def test_ssl_on(setup, place):
    """What "listen ... ssl" was, for all of a server's listeners."""

    setup("ticket", listen="listen %s; ssl on;")

    for version in VERSIONS:
        context = client(place, version)
        refused(context, TWO, taken(context))
        taken(context, TWO, b"two")


@pytest.mark.parametrize("shared", [*SHARED, "both"])
def test_under_the_other_name(setup, place, shared):
    """Of one server, whether it is the first of its listener or not."""

    setup(shared, names=f"{ONE} www.{ONE}",
          name=rf"{TWO} *.{TWO} ~^x\d+\.example")

    for version in VERSIONS:
        context = client(place, version)
        for name, body in (ONE, b"one"), (TWO, b"two"):
            session = taken(context, name, body)
            for other in ["www." + name, "WWW." + name.upper()] \
                    + ["x12.example.com"] * (name == TWO):
                _, reused, answer = tls.resume(context, other, session)
                assert answer.endswith(b"\r\n\r\n" + body) and reused


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("first", ["stock", "autocert"])
def test_beside_others(nginx, place, shared, first):
    """
    On one listener those without autocert keep what NGINX gives them on one
    of their own, which is not the same in all its versions.
    """

    servers = {name: """
        server {
            listen 443 ssl;
            server_name %s;
            %s
            location / { return 200 "%s"; }
        }""" % (name, "autocert on;" if name == ONE else
                f"ssl_certificate {place}/{name}.pem;"
                f"ssl_certificate_key {place}/{name}.key;"
                "listen 8443 ssl;", name)
        for name in (ONE, TWO, "other.example.com")}

    for name in servers:
        self_signed(name).write(f"{place}/{name}.pem", f"{place}/{name}.key")
    with open(f"{place}/ticket.key", "wb") as f:
        f.write(os.urandom(80))

    order = sorted(servers, key=lambda name: (name == ONE)
                   == (first == "stock"))
    server = nginx("autocert_path {dir}/store;"
                   + SHARED[shared].replace("{place}", place)
                   + "".join(servers[name] for name in order), workers=1)
    self_signed(ONE).store(f"{server.dir}/store", ONE)
    server.start()

    for version in VERSIONS:
        context = client(place, version)
        sessions = {name: taken(context, name, name.encode())
                    for name in servers}

        def goes(name, session, port=443):
            _, reused, answer = tls.resume(context, name, session, port)
            assert answer.endswith(b"\r\n\r\n" + name.encode())
            return reused

        for origin, session in sessions.items():
            for name in servers:
                reused = goes(name, session)
                if ONE in (origin, name):
                    assert reused == (origin == name)
                else:
                    alone, _, _ = tls.resume(context, origin, port=8443)
                    assert reused == goes(name, alone, 8443)


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


def replace(source, path):
    """Another file, as newer versions of NGINX look at that and its time."""

    shutil.copyfile(source, path + ".new")
    os.rename(path + ".new", path)


@pytest.mark.parametrize("shared", SHARED)
@pytest.mark.parametrize("name", [ONE, TWO])
def test_not_once_revoked(setup, place, shared, name):
    """A reload with what the CA says by now, at each server of a listener."""

    crl = f"{place}/crl.pem"
    os.rename(crl, f"{place}/revoked.pem")
    replace(f"{place}/empty.pem", crl)
    server = setup(shared, *("crl", 443, "none") if name == ONE else
                   ("none", 443, "crl"))
    body = b"one" if name == ONE else b"two"

    for version in VERSIONS:
        context = client(place, version, "first")
        session = taken(context, name, body)

        replace(f"{place}/revoked.pem", crl)
        server.reload()
        assert refused(context, name, session).startswith(b"HTTP/1.1 400 ")

        replace(f"{place}/empty.pem", crl)
        server.reload()
