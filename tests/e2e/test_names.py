"""Which names get a certificate, from a public CA and from a private one."""

import base64
import json
import os
import re
import socket
import ssl
import urllib.request

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from support import tls
from support.certs import self_signed

SERVER = """
    server {
        listen 80;
        listen 443 ssl;
        server_name %s;
        autocert on;
    }
"""

HTTP = "resolver 127.0.0.1;\nautocert on admin@example.com;\n"

ODD = "no public CA signs it: "
PRIVATE = ODD + "it is not of the public DNS"
ADDRESS = ODD + "it is an IP address"
SINGLE = ODD + "it is a single label"
UNDERSCORE = ODD + "it has an underscore"

# server_name: the names asked for, and for the others what is said of them
KINDS = [
    ("example.com", ["example.com"], {}),
    ("a.example.com b.example.com", ["a.example.com", "b.example.com"], {}),
    ("EXAMPLE.Com", ["example.com"], {}),
    ("example.com.", ["example.com"], {}),
    ("xn--bcher-kva.example.com", ["xn--bcher-kva.example.com"], {}),
    ("1.example.com", ["1.example.com"], {}),
    (".example.com", ["example.com"], {
        ".example.com": ("info", 'of server_name ".example.com" only '
                         '"example.com" gets a certificate')}),
    ("example.com .example.com EXAMPLE.COM.", ["example.com"], {
        ".example.com": ("info", 'of server_name ".example.com" only '
                         '"example.com" gets a certificate')}),
    ("*.example.com www.example.com", ["www.example.com"], {
        "*.example.com": ("info", 'server_name "*.example.com" gets no '
                          "certificate of its own, it is a wildcard")}),
    ("www.example.* www.example.com", ["www.example.com"], {
        "www.example.*": ("info", 'server_name "www.example.*" gets no '
                          "certificate of its own, it is a wildcard")}),
    (r"~^www\d\.example\.com$ www.example.com", ["www.example.com"], {
        "regex": ("info", r'server_name "^www\d\.example\.com$" gets no '
                  "certificate of its own, it is a regular expression")}),
    ('"" example.com', ["example.com"], {}),
    ("bücher.example.com example.com", ["example.com"], {
        "bücher": ("warn", 'server_name "bücher.example.com" gets no '
                   "certificate, name has a character that no DNS name has, "
                   'it is to be written as an A-label ("xn--...")')}),
    ("-a.example.com example.com", ["example.com"], {
        "-a": ("warn", 'server_name "-a.example.com" gets no certificate, '
               "name has a label that begins or ends with a hyphen")}),
    ("%s.example.com example.com" % ("a" * 64), ["example.com"], {
        "a": ("warn", "name has a label of more than 63 characters")}),
    ("192.0.2.300 example.com", ["example.com"], {
        "300": ("warn", 'server_name "192.0.2.300" gets no certificate, '
                "name ends in a number but is not an IP address")}),
]

# none of these from a public CA; from a private one all
ONLY_PRIVATE = [
    ("_", UNDERSCORE),
    ("a_b.example.com", UNDERSCORE),
    ("localhost", PRIVATE),
    ("www.localhost", PRIVATE),
    ("printer.local", PRIVATE),
    ("db.internal", PRIVATE),
    ("router.lan", PRIVATE),
    ("www.test", PRIVATE),
    ("WWW.Test", PRIVATE),
    ("www.invalid", PRIVATE),
    ("router.home.arpa", PRIVATE),
    ("intranet", PRIVATE),
    ("server1", SINGLE),
    (".com", SINGLE),
    ("192.0.2.1", ADDRESS),
    ("[2001:db8::1]", ADDRESS),
]

NOTHING = 'the server has no "server_name" that a certificate can be had for'


def checked(server):
    """The messages of nginx -t, as (level, text, line)."""

    mark = server.mark()
    done = server.test()
    assert done.returncode == 0, done.stdout

    found = []
    for line in server.log(mark).splitlines():
        m = re.fullmatch(r"\S+ \S+ \[(\w+)\] \S+: autocert: (.*)", line)
        if m:
            text, _, at = m[2].rpartition(f", in {server.conf_path}:")
            found.append((m[1], text, int(at)) if text else (m[1], m[2], 0))
    return found


def warned(server):
    return [m for m in checked(server) if m[0] != "info"]


def line_of(server, text):
    with open(server.conf_path) as f:
        return [n for n, line in enumerate(f, 1) if text in line][-1]


# a public CA, at nginx -t

@pytest.mark.parametrize("names, good, said", KINDS,
                         ids=[k[0][:30] for k in KINDS])
def test_public(nginx, names, good, said):
    """Each message once, with its place; a name that is good has none."""

    server = nginx(HTTP + SERVER % names)
    at = line_of(server, "autocert on;")
    messages = checked(server)

    for level, text in said.values():
        assert [m for m in messages
                if m[0] == level and text in m[1] and m[2] == at], messages

    about = [m for m in messages if "server_name" in m[1]]
    assert len(about) == len(said)


@pytest.mark.parametrize("name, why", ONLY_PRIVATE)
def test_public_refuses(nginx, name, why):
    server = nginx(HTTP + SERVER % name)
    at = line_of(server, "autocert on;")

    folded = name.lower().strip("[].")
    assert warned(server) == [
        ("warn", f'server_name "{folded}" gets no certificate, {why}', at),
        ("warn", NOTHING, at)]

    server.write(HTTP + SERVER % f"example.com {name}")
    assert [m[1] for m in warned(server)] == [
        f'server_name "{folded}" gets no certificate, {why}']


@pytest.mark.parametrize("ca", [
    "letsencrypt", "letsencrypt-staging",
    "https://acme-v02.api.letsencrypt.org/directory",
    "https://acme-staging-v02.api.letsencrypt.org/directory"])
@pytest.mark.parametrize("above", [True, False])
def test_public_cas(nginx, ca, above):
    """By alias and by URL, above and below the server."""

    line = f"autocert_ca {ca};\n"
    http = HTTP + (line if above else "") + SERVER % "localhost" \
        + ("" if above else line)
    assert [m for m in warned(nginx(http)) if PRIVATE in m[1]]


@pytest.mark.parametrize("name, why", ONLY_PRIVATE)
def test_private_takes(nginx, name, why):
    """No CA but the two public ones is second-guessed."""

    server = nginx(HTTP + "autocert_ca https://ca.example.net/directory;\n"
                   + SERVER % name)
    assert warned(server) == []


@pytest.mark.parametrize("names", [None, '""', "*.example.com", "www.*",
                                   r"~^(?<sub>.+)\.example\.com$"])
def test_no_name(nginx, names):
    """Said once, and the listener is up behind a bootstrap certificate."""

    http = HTTP + "autocert_path {dir}/store;\n" + SERVER % names
    if names is None:
        http = http.replace("server_name None;", "")

    server = nginx(http)
    assert warned(server) == [("warn", NOTHING,
                               line_of(server, "autocert on;"))]

    server.start()
    server.helper()
    assert tls.handshake("www.example.com").self_signed
    assert tls.handshake(None).self_signed
    server.stop()
    assert server.grep("beginning the order") == []


def test_no_name_twice(nginx):
    """Servers without a name have no options that could differ."""

    one, two = SERVER % '""', SERVER % '"" "*.example.com"'
    two = two.replace("autocert on;",
                      "autocert on;\nautocert_key_type secp256r1;") \
        .replace("listen 443", "listen 127.0.0.1:443") \
        .replace("listen 80", "listen 127.0.0.1:80")
    assert [m[1] for m in warned(nginx(HTTP + one + two))] == [NOTHING] * 2


# a private CA: issued

def private(nginx, ca, servers, http=HTTP):
    return nginx(ca.directives + http + "autocert_path {dir}/store;\n"
                 + servers)


def stored(server):
    """The names that have a certificate in the store."""

    path = f"{server.dir}/store"
    return sorted(name for name in os.listdir(path)
                  if name[0] != "."
                  and os.path.exists(f"{path}/{name}/fullchain.pem"))


def test_private_issues(nginx, pebble):
    """Every kind of name that Pebble signs; each name has its own."""

    ca = pebble()
    good = sorted({name for _, names, _ in KINDS for name in names})
    plain = ["db.internal", "intranet", "localhost", "printer.local",
             "router.home.arpa", "router.lan", "server1", "www.invalid",
             "www.localhost", "www.test"]

    servers = "".join(SERVER % names for names, _, _ in KINDS)
    servers += SERVER % " ".join(plain)
    server = private(nginx, ca, "server_names_hash_bucket_size 128;" + servers)
    server.start()

    for name in good + plain:
        server.wait_log(f'certificate of "{re.escape(name)}" issued', 60)
        assert tls.handshake(name, root=ca.root()).names == [name]

    assert stored(server) == sorted(good + plain)
    assert ca.issued() == len(good + plain)
    assert server.grep("no certificate for") == []


def test_case_and_dot_of_the_client(nginx, pebble):
    """What the client writes is folded as well."""

    ca = pebble()
    server = private(nginx, ca, SERVER % "Other.example.com example.com")
    server.start()
    for name in "example.com", "other.example.com":
        server.wait_log(f'certificate of "{name}" issued', 30)
        for sni in name, name.upper():
            assert tls.handshake(sni).names == [name]

    out = tls.s_client("-trace", name="example.com.")
    assert "example.com" in out
    assert tls.handshake(None).names == ["other.example.com"]
    assert tls.handshake("unknown.example.net").names == ["other.example.com"]


def test_hostname(nginx, pebble):
    ca = pebble()
    server = private(nginx, ca, SERVER % "$hostname").start()
    name = socket.gethostname().lower()
    server.wait_log(f'certificate of "{re.escape(name)}" issued', 30)
    assert tls.handshake(name, root=ca.root()).names == [name]


@pytest.mark.parametrize("name", ["_", "a_b.example.com"])
def test_underscore(nginx, pebble, name):
    """Asked for; Pebble refuses it, and its words are in the log."""

    ca = pebble()
    server = private(nginx, ca, SERVER % f"{name} example.com").start()
    server.wait_log('certificate of "example.com" issued', 30)
    line = server.wait_log(f'no certificate for "{re.escape(name)}"')
    assert "illegal character" in line and "next try at" in line
    assert tls.handshake("example.com", root=ca.root()).names \
        == ["example.com"]


@pytest.mark.parametrize("name, address", [("127.0.0.7", "127.0.0.7"),
                                           ("[::1]", "::1")])
@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_address(nginx, pebble, challenge, name, address):
    """
    RFC 8738.  Clients send no SNI then: it has a server of its own.  To
    validate it by TLS-ALPN-01 the CA sends its reverse name.
    """

    ca = pebble()
    listen = f"listen {name}:80;" if challenge == "http-01" else ""
    server = private(nginx, ca, f"""
        server {{
            {listen}
            listen {name}:443 ssl;
            server_name {name};
            autocert on;
        }}""").start()
    server.wait_log(f'certificate of "{re.escape(address)}" issued', 30)
    assert server.grep(f'the order for "{re.escape(address)}" by {challenge}')
    peer = tls.handshake(None, address=address)
    assert peer.names == [address]
    assert not peer.self_signed
    assert stored(server) == [address]


def test_duplicates(nginx, pebble):
    """One name in several servers is one certificate, served by all."""

    ca = pebble()
    other = """
        server {
            listen 8443 ssl;
            server_name Example.COM www.example.com;
            autocert on;
        }"""
    server = private(nginx, ca, SERVER % "example.com" + other)
    assert warned(server) == []
    server.start()
    for name in "example.com", "www.example.com":
        server.wait_log(f'certificate of "{name}" issued', 30)

    assert tls.handshake("example.com").der \
        == tls.handshake("example.com", port=8443).der
    assert tls.handshake(None, port=8443).names == ["example.com"]
    assert len(server.grep("beginning the order")) == 2
    assert ca.issued() == 2


@pytest.mark.parametrize("line", ["autocert_key_type secp256r1;",
                                  "autocert_renew_before 3d;",
                                  "autocert_challenge http-01;"])
def test_duplicates_with_other_options(nginx, line):
    """The first server's are taken, and that is said."""

    other = (SERVER % "example.com").replace("443", "8443") \
        .replace("listen 80;", "") \
        .replace("autocert on;", "autocert on; " + line)
    server = nginx(HTTP + SERVER % "example.com" + other)
    first = line_of(server, "autocert on;\n")
    assert warned(server) == [
        ("warn", '"example.com" is in servers with different options, those '
         f"of {server.conf_path}:{first} are taken and not those of "
         f"{server.conf_path}:{line_of(server, line)}", 0)]


# who opts in

def test_off_at_http_level(nginx, dns):
    """The master switch; a certificate of the user's own is served."""

    http = "autocert off;\nautocert_path {dir}/store;\n" + SERVER % \
        "example.com"
    server = nginx(http)
    server.allow('no "ssl_certificate" is defined')
    done = server.test()
    assert done.returncode == 1
    assert 'no "ssl_certificate" is defined' in done.stdout

    own = self_signed("example.com")
    own.write(f"{server.dir}/own.pem", f"{server.dir}/own.key")
    server.write(http + "ssl_certificate own.pem;\n"
                 "ssl_certificate_key own.key;\n")
    assert checked(server) == []

    server.start()
    assert tls.handshake("example.com").der == own.der
    assert server.helpers() == []
    assert not os.path.exists(f"{server.dir}/store")


def test_off_in_one_server(nginx, pebble):
    """And a server that says nothing is not in either."""

    ca = pebble()
    plain = """
        server {
            listen 80;
            server_name %s;
            %s
        }"""
    server = private(nginx, ca, SERVER % "example.com"
                     + plain % ("off.example.com", "autocert off;")
                     + plain % ("silent.example.com", ""))
    server.start()
    server.wait_log('certificate of "example.com" issued', 30)
    server.stop()
    assert len(server.grep("beginning the order")) == 1
    assert stored(server) == ["example.com"]


def test_nobody_opts_in(nginx):
    """At the http level alone it obtains nothing, which is said."""

    server = nginx(HTTP + "server { listen 80; server_name example.com; }")
    assert warned(server) == [
        ("warn", 'no certificate is obtained: "autocert on" at the http '
         'level is for all, but no server has "autocert on" of its own',
         line_of(server, "autocert on"))]
    server.start()
    assert server.helpers() == []


# contacts

NO_CONTACT = ("no email address is given, the account will have no contact; "
              '"autocert on user@host;" at the http level sets one')


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def account_of(server, ca):
    """The account as Pebble has it: POST-as-GET with the key in the store."""

    accounts = os.listdir(f"{server.dir}/store/.accounts")
    assert len(accounts) == 1
    path = f"{server.dir}/store/.accounts/{accounts[0]}"

    with open(f"{path}/account.json") as f:
        url = json.load(f)["url"]
    with open(f"{path}/account.key", "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)

    context = ssl.create_default_context(cafile=ca.trust)
    with urllib.request.urlopen(ca.directory, timeout=10,
                                context=context) as r:
        new_nonce = json.load(r)["newNonce"]
    with urllib.request.urlopen(new_nonce, timeout=10, context=context) as r:
        nonce = r.headers["Replay-Nonce"]

    head = base64url(json.dumps({"alg": "ES256", "kid": url, "nonce": nonce,
                                 "url": url}).encode())
    r, s = utils.decode_dss_signature(
        key.sign(f"{head}.".encode(), ec.ECDSA(hashes.SHA256())))
    body = {"protected": head, "payload": "", "signature":
            base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))}

    request = urllib.request.Request(
        url, data=json.dumps(body).encode(),
        headers={"Content-Type": "application/jose+json"})
    with urllib.request.urlopen(request, timeout=10, context=context) as r:
        return json.load(r)


def contacts(server, ca):
    """Those of the account, as Pebble has them."""

    server.start()
    server.wait_log('certificate of "example.com" issued', 30)
    account = account_of(server, ca)
    assert account["status"] == "valid"
    return sorted(account.get("contact") or [])


@pytest.mark.parametrize("http, own, found", [
    ("autocert on a@example.com;", ["on", "on"], ["a@example.com"]),
    ("autocert on;", ["on a@example.com", "on"], ["a@example.com"]),
    ("", ["on a@example.com", "on"], ["a@example.com"]),
    ("", ["on a@example.com", "on b@example.com"],
     ["a@example.com", "b@example.com"]),
    ("autocert on a@example.com;", ["on b@example.com", "on a@example.com"],
     ["a@example.com", "b@example.com"]),
])
def test_contacts(nginx, pebble, http, own, found):
    """All that are given are of the one account, each once."""

    ca = pebble()
    servers = "".join((SERVER % name).replace("autocert on", f"autocert {o}")
                      for name, o in zip(("example.com", "www.example.com"),
                                         own))
    server = private(nginx, ca, servers, "resolver 127.0.0.1;" + http)
    assert warned(server) == []
    assert contacts(server, ca) == [f"mailto:{c}" for c in found]


@pytest.mark.parametrize("http", ["", "autocert on;"])
def test_no_contact(nginx, pebble, http):
    """One notice, however many servers; the account has none."""

    ca = pebble()
    server = private(nginx, ca, SERVER % "example.com"
                     + SERVER % "www.example.com",
                     "resolver 127.0.0.1;" + http)
    assert warned(server) == [("notice", NO_CONTACT, 0)]
    assert contacts(server, ca) == []
