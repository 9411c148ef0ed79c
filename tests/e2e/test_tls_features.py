"""
What NGINX's own directives about TLS do, they do at servers with autocert and
beside them.  Each is seen by clients on listeners with and without autocert:
what these saw must be the same.
"""

import hashlib
import os
import re
import socket
import ssl

import pytest
from cryptography.hazmat.primitives import serialization

from support import tls
from support.certs import self_signed
from support.nginx import VERSION
from support.wait import wait_for

ONE, TWO, NONE = "one.example.com", "two.example.com", "none.example.com"
VERSIONS = [tls.TLS12, tls.TLS13]

# for each port, which of its two servers have autocert
PORTS = {443: (True, False), 444: (False, True), 445: (True, True)}

# the same by NGINX alone, and without the feature
STOCK, PLAIN = 8443, 9443

HTTP = """
    resolver 127.0.0.1;
    autocert_ca https://127.0.0.1:9/dir;
    autocert_path {dir}/store;
    map $ssl_server_name $file { ~^two two; default one; }
    server { listen 80; server_name one.example.com; autocert on; }
"""

SERVER = """
    server {
        listen 127.0.0.1:%d ssl %s;
        server_name %s;
        %s
        location / {
            return 200 "%s $ssl_protocol $ssl_cipher $ssl_client_verify";
        }
    }
"""

OWN = """ssl_certificate {place}/%s.pem;
         ssl_certificate_key {place}/%s.key;"""
VERIFY = "ssl_verify_client %s; ssl_client_certificate {place}/ca.pem;"
CACHE = "ssl_session_cache %s; ssl_session_tickets off;"
SUITES = "ssl_conf_command Ciphersuites %s;"


class Feature:
    """
    one, two: of the first server and of the second; own: the second has this
    in place of its certificate's lines, and never autocert; listen: of the
    second; first: what the client sends ahead of TLS.
    """

    def __init__(self, one="", two="", own=None, listen="", first=b"",
                 since=(1, 22)):
        self.more = one, two
        self.own = own
        self.listen = listen
        self.first = first
        self.since = since


def both(text, **more):
    return Feature(text, text, **more)


FEATURES = {
    "verify at the first": Feature(one=VERIFY % "on"),
    "verify at the second": Feature(two=VERIFY % "on"),
    "verify optional": Feature(VERIFY % "optional",
                               VERIFY % "optional_no_ca"),
    "no sessions": both(CACHE % "off"),
    "cache": both(CACHE % "shared:s:1m"),
    "cache of each": Feature(CACHE % "shared:s:1m", CACHE % "shared:t:1m"),
    "timeout": both("ssl_session_timeout 100s;"),
    "protocols": both("ssl_protocols TLSv1.2;"),
    "protocols of each": Feature("ssl_protocols TLSv1.2;",
                                 "ssl_protocols TLSv1.3;"),
    "ciphers": Feature("ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;",
                       "ssl_ciphers ECDHE-ECDSA-CHACHA20-POLY1305;"),
    "cipher suites": Feature(SUITES % "TLS_CHACHA20_POLY1305_SHA256",
                             SUITES % "TLS_AES_128_GCM_SHA256"),
    "least protocol": both("ssl_conf_command MinProtocol TLSv1.3;"),
    "rejected": Feature(own="ssl_reject_handshake on;"),
    "variables": Feature(own=OWN % ("$file", "$file") + VERIFY % "optional"),
    "password": Feature(own=OWN % ("two", "secret") + VERIFY % "optional"
                        + "ssl_password_file {place}/password;"),
    "http2": Feature(listen="http2"),
    "deferred": Feature(two=VERIFY % "on", listen="backlog=64 deferred"),
    "proxy_protocol": Feature(listen="proxy_protocol",
                              first=b"PROXY UNKNOWN\r\n"),
}


def digest(der):
    return hashlib.sha256(der).hexdigest()[:8]


def talk(port, name, context, session=None, first=b""):
    """What a client saw, with the time taken out; and its session."""

    try:
        with socket.create_connection(("127.0.0.1", port), 10) as raw:
            raw.sendall(first)
            with context.wrap_socket(raw, server_hostname=name,
                                     session=session) as s:
                old = s.session_reused
                seen = [digest(s.getpeercert(True)),
                        s.version(), s.cipher(), old,
                        s.selected_alpn_protocol()]
                if seen[-1] != "h2":
                    s.sendall(f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n"
                              .encode())
                    answer = b""
                    while data := s.recv(65536):
                        answer += data
                    seen.append(answer.split(b"\r\n")[0])
                    seen.append(answer.partition(b"\r\n\r\n")[2])
                if s.session and not old:
                    seen += [s.session.has_ticket,
                             s.session.ticket_lifetime_hint]
                return seen, s.session
    except ssl.SSLError as e:
        return [e.reason], None
    except OSError as e:
        return [type(e).__name__], None


def seen(port, first, clients):
    """By all clients, and once more with the session of before."""

    found = {}

    for name in ONE, TWO, NONE:
        for n, context in enumerate(clients):
            fresh, session = talk(port, name, context, first=first)
            again = talk(port, name, context, session, first)[0] \
                if session else None
            found[name, n] = fresh, again

    return found


@pytest.fixture
def serve(nginx, place, authority):
    """serve(feature) -> a started NGINX, on all ports."""

    def write(name, data):
        with open(f"{place}/{name}", "wb") as f:
            f.write(data)

    write("ticket.key", os.urandom(80))
    write("password", b"secret\n")
    write("ca.pem", authority.pem)
    authority.issue("client").write(f"{place}/own.pem", f"{place}/own.key")

    pairs = {ONE: self_signed(ONE), TWO: self_signed(TWO)}
    pairs[ONE].write(f"{place}/one.pem", f"{place}/one.key")
    pairs[TWO].write(f"{place}/two.pem", f"{place}/two.key")
    pairs[TWO].write(f"{place}/secret.pem", f"{place}/secret.key")
    write("secret.key", pairs[TWO].key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret")))

    def servers(port, feature, autocert):
        lines = ["autocert on;" if on else OWN % (short, short)
                 for on, short in zip(autocert, ("one", "two"))]
        if feature.own:
            lines[1] = feature.own
        return "".join(
            SERVER % (port, feature.listen * n, name, lines[n]
                      + feature.more[n], name)
            for n, name in enumerate((ONE, TWO)))

    def make(feature):
        text = HTTP + servers(STOCK, feature, (False, False)) \
            + servers(PLAIN, Feature(), (False, False))
        for port, autocert in PORTS.items():
            text += servers(port, feature, autocert)
        server = nginx(text.replace("{place}", place), workers=1)
        # NGINX's own, about a client certificate that is not good
        server.allow("ignoring stale global SSL error")
        for name, pair in pairs.items():
            pair.store(f"{server.dir}/store", name)
        return server.start()

    return make


@pytest.mark.parametrize("what", FEATURES)
def test_as_without(serve, place, what):
    feature = FEATURES[what]
    serve(feature)

    who = [None]
    if VERIFY[:17] in "".join([*feature.more, feature.own or ""]):
        who.append((f"{place}/own.pem", f"{place}/own.key"))
    clients = [tls.client_context(version, own=own, alpn=["h2", "http/1.1"])
               for own in who for version in VERSIONS]

    stock = seen(STOCK, feature.first, clients)
    assert stock != seen(PLAIN, feature.first, clients), "it can be seen"
    for port in PORTS:
        assert seen(port, feature.first, clients) == stock, PORTS[port]


@pytest.mark.parametrize("kept", [CACHE % "shared:s:1m", "",
                                  "ssl_session_ticket_key {place}/ticket.key;"])
def test_sessions_beyond_a_renewal(serve, kept):
    """Those of before are as good as they were; new ones have the new pair."""

    server = serve(both(kept))
    clients = {(name, version): tls.client_context(version)
               for name in (ONE, TWO) for version in VERSIONS}
    before = {key: talk(445, key[0], context)[1]
              for key, context in clients.items()}

    pair = self_signed(ONE)
    pair.store(f"{server.dir}/store", ONE)
    wait_for(lambda: tls.handshake(ONE, 445).der == pair.der, 30, "served")
    worker = server.workers()

    for key, context in clients.items():
        again, _ = talk(445, key[0], context, before[key])
        assert again[3], key
        full, _ = talk(445, key[0], context)
        assert not full[3]
        assert (full[0] == digest(pair.der)) == (key[0] == ONE)

    assert server.workers() == worker


EARLY = "ssl_early_data on;"


def early(port, name, place):
    """What becomes of a request that is sent with the hello."""

    request = f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode()
    with open(f"{place}/request", "wb") as f:
        f.write(request)
    args = ["-tls1_3", "-ign_eof"]
    tls.s_client(*args, "-sess_out", f"{place}/session", name=name, port=port,
                 stdin=request)
    text = tls.s_client(*args, "-sess_in", f"{place}/session", "-early_data",
                        f"{place}/request", name=name, port=port,
                        stdin=request)
    assert f"\n{name} TLSv1.3" in text.replace("\r", ""), text
    return re.findall(r"Early data was [\w ]+|^Reused|^New,", text, re.M)


@pytest.mark.parametrize("feature", [
    both(EARLY), Feature(one=EARLY), Feature(two=EARLY)],
    ids=["both", "first", "second"])
def test_early_data(serve, place, feature):
    serve(feature)
    stock = {name: early(STOCK, name, place) for name in (ONE, TWO)}
    assert feature.more[0] == "" \
        or any("Early data was accepted" in text for text in stock.values())

    for port in PORTS:
        for name, found in stock.items():
            assert early(port, name, place) == found, (PORTS[port], name)


def test_stapling(serve, place, authority):
    """A certificate of NGINX's own has its OCSP response with it."""

    pair = authority.issue(TWO)
    pair.write(f"{place}/stapled.pem", f"{place}/stapled.key")
    with open(f"{place}/response", "wb") as f:
        f.write(authority.good(pair))

    serve(Feature(own=OWN % ("stapled", "stapled")
                  + "ssl_stapling on; ssl_stapling_file {place}/response;"))

    for port in STOCK, *PORTS:
        assert "Cert Status: good" in tls.s_client("-status", name=TWO,
                                                   port=port)
        assert "Cert Status" not in tls.s_client("-status", name=ONE,
                                                 port=port)


@pytest.mark.skipif(VERSION < (1, 29, 1),
                    reason="NGINX has no ssl_certificate_compression")
def test_compression(serve):
    """One of NGINX's own is compressed, and is never in place of ours."""

    compress = "ssl_certificate_compression on;"
    server = serve(Feature(compress + OWN % ("two", "two"), compress))

    for port, autocert in [(STOCK, (False, False)), *PORTS.items()]:
        for name, ours in zip((ONE, TWO), autocert):
            text = tls.s_client("-tls1_3", "-msg", name=name, port=port)
            assert ("CompressedCertificate" in text) == (not ours), text
            assert "Verify return code" in text
    assert server
