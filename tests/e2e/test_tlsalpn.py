"""TLS-ALPN-01 (RFC 8737), and which challenge proves a name."""

import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from support import memory, tls
from support.certs import self_signed
from support.fakeca import Reply
from support.nginx import MODULES, VERSION
from support.wait import wait_for

HTTP = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert_key_type secp256r1;
    autocert on admin@example.com;
"""

SERVER = """
    server {
        %s
        server_name %s;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""

# Pebble waits for so long at most, at random
NEVER = {"PEBBLE_VA_NOSLEEP": "0", "PEBBLE_VA_SLEEPTIME": "3600"}
IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def configured(nginx, ca, listen="listen 443 ssl;", name="example.com",
               http="", **options):
    return nginx(HTTP % ca.directives + http + SERVER % (listen, name),
                 **options)


def issued(server, name="example.com", since=0, timeout=60):
    server.wait_log(f'certificate of "{name}" issued', timeout, since=since)


def begun(server, challenge, name="example.com", since=0, why=""):
    """The lines about orders by this challenge, for this reason."""

    return server.grep(re.escape(f'the order for "{name}" by {challenge} '
                                 f"({why}"), since=since)


def validation(name="example.com", port=443, address="127.0.0.1", **options):
    """A handshake as a CA makes it; its peer."""

    return tls.handshake(name, port, address, alpn=["acme-tls/1"], **options)


# the main job

@pytest.mark.parametrize("protocols", ["TLSv1.2", "TLSv1.3",
                                       "TLSv1.2 TLSv1.3"])
@pytest.mark.parametrize("listen", [
    "listen 443 ssl;", "listen 443 ssl http2;", "listen 127.0.0.1:443 ssl;",
    "listen [::]:443 ssl ipv6only=off;", "listen 443 ssl reuseport;"])
def test_main_job(nginx, pebble, protocols, listen):
    """The one listener is a TLS one: nothing else needs to be said."""

    ca = pebble()
    server = configured(nginx, ca, f"{listen} ssl_protocols {protocols};")
    server.start()
    issued(server)
    assert begun(server, "tls-alpn-01")
    assert tls.handshake("example.com", root=ca.root()).names \
        == ["example.com"]
    assert ca.count("validate w/ HTTP") == 0


DEFAULTS = {
    "rejects": "ssl_reject_handshake on;",
    "certificate": """ssl_certificate {dir}/other.pem;
                      ssl_certificate_key {dir}/other.key;""",
    "clients": """ssl_certificate {dir}/other.pem;
                  ssl_certificate_key {dir}/other.key;
                  ssl_verify_client on;
                  ssl_client_certificate {dir}/other.pem;""",
    "early": """ssl_certificate {dir}/other.pem;
                ssl_certificate_key {dir}/other.key;
                ssl_early_data on; ssl_session_cache shared:s:1m;""",
    "RSA": """ssl_certificate {dir}/other.pem;
              ssl_certificate_key {dir}/other.key;
              ssl_ciphers ECDHE-RSA-AES128-GCM-SHA256;""",
}


@pytest.mark.parametrize("default", DEFAULTS)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_default_server_of_another_kind(nginx, pebble, default, version):
    """The handshake begins in a server that has no autocert."""

    ca = pebble()
    server = configured(nginx, ca, name="a.test b.test", http=f"""
        ssl_protocols {version};
        server {{
            listen 443 ssl default_server;
            server_name other.test;
            {DEFAULTS[default]}
        }}""")
    self_signed(["other.test"]).write(f"{server.dir}/other.pem",
                                      f"{server.dir}/other.key")
    server.start()
    for name in "a.test", "b.test":
        issued(server, name)
        assert tls.handshake(name, root=ca.root()).names == [name]


# what a CA's client may find of the listener's own

PARTICULARS = {
    # the first share of the client's is not taken: HelloRetryRequest
    "curve": "ssl_ecdh_curve secp521r1;",
    "no sessions": "ssl_session_cache none; ssl_session_tickets off;",
    "buffering": "ssl_buffer_size 1k; ssl_early_data on;",
}


@pytest.mark.parametrize("particular", PARTICULARS)
def test_particulars(nginx, pebble, particular):
    ca = pebble()
    server = configured(nginx, ca, "listen 443 ssl;" + PARTICULARS[particular])
    server.start()
    issued(server)
    assert begun(server, "tls-alpn-01")


def test_name_with_an_ipv6_address_alone(nginx, pebble, dns):
    ca = pebble()
    dns.set_a("example.com", "127.0.0.99")          # nothing is there
    dns.set_aaaa("example.com", "::1")
    server = configured(nginx, ca, "listen 127.0.0.1:443 ssl;"
                        "listen [::1]:443 ssl;"
                        "autocert_challenge tls-alpn-01;").start()
    issued(server)
    assert tls.handshake("example.com", address="::1", root=ca.root()).names \
        == ["example.com"]


def test_clients_need_certificates(nginx, pebble):
    ca = pebble()
    server = configured(nginx, ca, """
        listen 443 ssl;
        ssl_verify_client on;
        ssl_client_certificate {dir}/client.pem;""")
    self_signed(["client.test"]).write(f"{server.dir}/client.pem",
                                       f"{server.dir}/client.key")
    server.start()
    issued(server)


# while a validation is under way

def pending(nginx, pebble, **options):
    """(server, ca) between the answer and the CA's question."""

    ca = pebble(env=NEVER)
    server = configured(nginx, ca, "listen 443 ssl http2;", **options).start()
    server.wait_log("awaiting the validation, name: example.com", 30)
    return server, ca


def token_of(server, name="example.com"):
    with open(f"{server.dir}/store/{name}/state.json") as f:
        return json.load(f)["token"]


@pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13])
@pytest.mark.parametrize("name", ["example.com", "EXAMPLE.com"])
def test_certificate_of_the_challenge(nginx, pebble, version, name):
    """RFC 8737, 3: this name alone, a critical acmeIdentifier, one digest."""

    server, ca = pending(nginx, pebble)

    peer = validation(name, version=version)
    assert peer.alpn == "acme-tls/1"
    assert peer.names == ["example.com"]
    assert peer.self_signed

    assert proof(peer) == expected(server)


def account_thumbprint(server):
    from support.fakeca import b64

    [key] = [f"{root}/account.key"
             for root, _, files in os.walk(f"{server.dir}/store/.accounts")
             if "account.key" in files]
    with open(key, "rb") as f:
        account = serialization.load_pem_private_key(f.read(), None)
    numbers = account.public_key().public_numbers()
    jwk = json.dumps({"crv": "P-256", "kty": "EC",
                      "x": b64(numbers.x.to_bytes(32, "big")),
                      "y": b64(numbers.y.to_bytes(32, "big"))},
                     separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(jwk.encode()).digest())


@pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13])
def test_ends_with_the_handshake(nginx, pebble, version):
    """Nothing of HTTP is reached, not even an error of it."""

    server, ca = pending(nginx, pebble)
    heard = []

    def talk(s):
        try:
            s.sendall(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
            heard.append(s.recv(100))
        except (ssl.SSLError, ConnectionError):
            heard.append(b"")

    validation(version=version, talk=talk)
    assert heard == [b""]
    with open(f"{server.dir}/access.log") as f:
        assert f.read() == ""


def test_other_handshakes(nginx, pebble):
    """They do not see that a validation is under way."""

    server, ca = pending(nginx, pebble)

    for version in tls.TLS12, tls.TLS13:
        for alpn, selected in (["h2", "http/1.1"], "h2"), \
                (["http/1.1"], "http/1.1"), (None, None), \
                (["acme-tls/1", "http/1.1"], "http/1.1"):
            peer = tls.handshake("example.com", version=version, alpn=alpn)
            assert peer.alpn == selected
            assert not any(e.oid == IDENTIFIER for e in peer.cert.extensions)

    assert tls.fetch("example.com")[0] == 200


REFUSED = "no application protocol"


@pytest.mark.parametrize("version", [tls.TLS12, tls.TLS13])
def test_refused(nginx, pebble, version):
    """Other names, and no name."""

    server, ca = pending(nginx, pebble, name="example.com www.example.com")

    for name in "www.example.com", "no.test", None:
        with pytest.raises(ssl.SSLError, match=REFUSED):
            validation(name, version=version)


def test_refused_when_all_is_done(nginx, pebble):
    server = configured(nginx, pebble()).start()
    issued(server)

    with pytest.raises(ssl.SSLError, match=REFUSED):
        validation()


def test_worker_has_no_key_of_it(nginx, pebble):
    server, ca = pending(nginx, pebble)
    validation()

    with open(f"{server.dir}/store/.challenge/privkey.pem", "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)

    scan = memory.Scan().key("challenge", key)
    for worker in server.workers():
        assert scan(worker) == []
    assert scan(server.master) == []
    assert scan(server.helper())


def test_private_on_disk(nginx, pebble):
    server, ca = pending(nginx, pebble)
    place = f"{server.dir}/store/.challenge"
    assert os.stat(place).st_mode & 0o777 == 0o700
    assert os.stat(f"{place}/privkey.pem").st_mode & 0o777 == 0o600


# another helper goes on with it

def proof(peer):
    """What the certificate says of the token and the account."""

    value = peer.cert.extensions.get_extension_for_oid(IDENTIFIER)
    assert value.critical
    assert value.value.value[:2] == b"\x04\x20"
    return value.value.value[2:]


def expected(server):
    text = f"{token_of(server)}.{account_thumbprint(server)}"
    return hashlib.sha256(text.encode()).digest()


def two_hundred():
    """What as many places are shown at a time."""

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        return set(pool.map(lambda n: proof(validation(timeout=30)),
                            range(200)))


def upgrade(server):
    """Between these two the CA asks the workers of both masters."""

    old = server.master
    server.signal("USR2")
    wait_for(lambda: len(server.workers()) == 2 * server.n, 20)
    yield
    server.signal("QUIT", old)
    server.wait_gone([old])


def kill(server):
    helper = server.helper()
    server.allow("exited on signal 9")
    server.signal("KILL", helper)
    yield
    server.helper(other_than=[helper])


def reload(server):
    old = set(server.workers(leaving=True))
    server.signal("HUP")
    yield
    wait_for(lambda: not old & set(server.workers(leaving=True)), 20)


@pytest.mark.parametrize("how", [reload, kill, upgrade])
@pytest.mark.limit(180)
def test_answered_all_the_while(nginx, pebble, how):
    """In the middle of a validation, whoever comes and goes."""

    server, ca = pending(nginx, pebble)
    answer = {expected(server)}
    assert two_hundred() == answer

    for n in range(2):
        mark = server.mark()
        for _ in how(server):
            assert two_hundred() == answer
        assert two_hundred() == answer
        server.wait_log('going on with the order for "example.com"', 30,
                        since=mark)
        server.wait_log("awaiting the validation", 30, since=mark)
        assert two_hundred() == answer

    assert ca.count("POST /order-plz") == 1
    assert ca.count("POST /chalZ/") == 1
    assert not server.grep("no certificate for")


# which challenge

CHOICES = {
    "listen 80; listen 443 ssl;":
        ("http-01", "there is a listener on port 80"),
    "listen 443 ssl;":
        ("tls-alpn-01", "there is none on port 80, but one on port 443"),
    "listen 8080; listen 443 ssl;":
        ("tls-alpn-01", "there is none on port 80, but one on port 443"),
    "listen 127.0.0.1:80; listen 443 ssl;":
        ("tls-alpn-01", "there is none on port 80, but one on port 443"),
    "listen 8080; listen 8443 ssl;":
        ("http-01", "port 80 has to lead to one of the plain listeners"),
    "listen 8443 ssl;":
        ("tls-alpn-01", "port 443 has to lead to one of the TLS listeners"),
    "listen 80; listen 443 ssl; autocert_challenge tls-alpn-01;":
        ("tls-alpn-01", 'as "autocert_challenge" says'),
    "listen 8080; listen 443 ssl; autocert_challenge http-01;":
        ("http-01", 'as "autocert_challenge" says'),
}


@pytest.mark.parametrize("listen", CHOICES)
def test_choice(nginx, listen):
    """One line says which, and why; nobody is there to be asked."""

    challenge, why = CHOICES[listen]
    server = nginx(HTTP % "autocert_ca https://127.0.0.1:14000/dir;"
                   + SERVER % (listen, "example.com")).start()
    wait_for(lambda: begun(server, challenge, why=why), 20)
    assert len(server.grep("beginning the order")) == 1


@pytest.mark.parametrize("listen, challenge", [
    ("listen 8080; listen 8443 ssl;", "http-01"),
    ("listen 8443 ssl;", "tls-alpn-01")])
def test_mapped_ports(nginx, pebble, listen, challenge):
    ca = pebble(config={"httpPort": 8080, "tlsPort": 8443})
    server = configured(nginx, ca, listen).start()
    issued(server)
    assert begun(server, challenge)


@pytest.mark.parametrize("listen, challenge", [
    ("listen 8080; listen 8443 ssl;", "http-01"),
    ("listen 8443 ssl;", "tls-alpn-01")])
def test_mapped_ports_without_root(nginx, pebble, listen, challenge):
    """As in a container: all of it is one user's."""

    ca = pebble(config={"httpPort": 8080, "tlsPort": 8443})
    server = configured(nginx, ca, listen)

    # the tree may stand where only root can look
    with open(server.conf_path) as f:
        conf = f.read()
    for module in MODULES:
        conf = conf.replace(module, shutil.copy(module, server.dir))
    server.write(conf=conf.replace(ca.trust,
                                   shutil.copy(ca.trust, server.dir)))

    subprocess.run(["chown", "-R", "www-data:www-data", server.dir],
                   check=True)
    command = server.command
    server.command = lambda *args: ["setpriv", "--reuid", "www-data",
                                    "--regid", "www-data", "--clear-groups",
                                    *command(*args)]
    server.start()
    issued(server)
    assert os.stat(f"/proc/{server.helper()}").st_uid != 0
    assert begun(server, challenge)
    assert tls.handshake("example.com", port=8443, root=ca.root()).names \
        == ["example.com"]


def test_differs_between_servers(nginx, pebble):
    ca = pebble()
    server = configured(
        nginx, ca, "listen 443 ssl; autocert_challenge tls-alpn-01;", "a.test",
        http=SERVER % ("listen 80; listen 443 ssl;"
                       "autocert_challenge http-01;", "b.test")).start()
    issued(server, "a.test")
    issued(server, "b.test")
    assert begun(server, "tls-alpn-01", "a.test")
    assert begun(server, "http-01", "b.test")


def try_again(server, name="example.com"):
    """As if the pause between two tries had passed."""

    server.stop()
    path = f"{server.dir}/store/{name}/state.json"
    with open(path) as f:
        state = json.load(f)
    state["next_attempt"] = 0
    with open(path, "w") as f:
        json.dump(state, f)
    server.start()


@pytest.mark.parametrize("listen, config, first, second", [
    ("listen 80; listen 443 ssl;", {"httpPort": 81},
     "http-01", "tls-alpn-01"),
    ("listen 8080; listen 443 ssl;", {"httpPort": 8080, "tlsPort": 81},
     "tls-alpn-01", "http-01")])
def test_other_way_after_a_failure(nginx, pebble, listen, config, first,
                                   second):
    """And the way that worked is taken from then on."""

    ca = pebble(config=config, validity=30)
    server = configured(nginx, ca, listen).start()
    server.wait_log('no certificate for "example.com"', 30)
    assert begun(server, first)

    mark = server.mark()
    try_again(server)
    issued(server, since=mark)
    assert begun(server, second, since=mark, why="the other way has failed)")

    if second == "tls-alpn-01":
        server.wait_log('certificate of "example.com" renewed', 60,
                        since=mark)
        assert len(begun(server, second, since=mark)) >= 2
        assert begun(server, second, since=mark,
                     why="it is the way that worked before)")

    assert not begun(server, first, since=mark)


def test_other_way_where_one_is_not_offered(nginx, dns, fakeca):
    ca = fakeca()
    ca.answer("authz", Reply(200, {
        "status": "pending",
        "identifier": {"type": "dns", "value": "example.com"},
        "challenges": [{"type": "tls-alpn-01", "status": "pending",
                        "url": f"{ca.base}/challenge/0",
                        "token": "A" * 22}]}))
    server = configured(nginx, ca, "listen 80; listen 443 ssl;").start()
    line = server.wait_log('no certificate for "example.com"', 30)
    assert "does not offer the challenge http-01 (offered: tls-alpn-01)" \
        in line and "likely cause" not in line

    mark = server.mark()
    try_again(server)
    wait_for(lambda: begun(server, "tls-alpn-01", since=mark,
                           why="the other way has failed)"), 20)


@pytest.mark.parametrize("refusal", ["caa", "rejectedIdentifier"])
def test_other_way_is_of_no_use(nginx, dns, fakeca, refusal):
    """It is the name that the CA does not want: nothing is looked at."""

    ca = fakeca()
    ca.hold("authz")
    server = configured(nginx, ca, "listen 80; listen 443 ssl;").start()
    server.wait_log("awaiting the validation, name: example.com", 60)
    with ca.lock:
        ca.orders[0].update(
            authz="invalid", challenge="invalid", order="invalid",
            error={"type": f"urn:ietf:params:acme:error:{refusal}",
                   "detail": "no"})

    line = server.wait_log('no certificate for "example.com"', 60)
    assert f"{refusal}: no" in line and "likely cause" not in line
    server.stop()
    with open(f"{server.dir}/store/example.com/state.json") as f:
        assert json.load(f)["challenge"] == "http-01"


def test_set_is_not_changed(nginx, pebble):
    ca = pebble(config={"httpPort": 81})
    server = configured(nginx, ca, """listen 80; listen 443 ssl;
                                      autocert_challenge http-01;""").start()
    server.wait_log('no certificate for "example.com"', 30)

    mark = server.mark()
    try_again(server)
    server.wait_log('no certificate for "example.com"', 30, since=mark)
    assert not server.grep("by tls-alpn-01")


@pytest.mark.parametrize("listen, challenge, add", [
    ("listen 443 ssl;", "http-01", "listen 80;"),
    ("listen 80;", "tls-alpn-01", "listen 443 ssl;")])
def test_cannot_be_answered(nginx, listen, challenge, add):
    server = nginx(HTTP % "" + SERVER % (
        f"{listen} autocert_challenge {challenge};", "example.com"))
    assert server.test().returncode == 0
    with open(server.conf_path) as f:
        line = [n for n, text in enumerate(f, 1) if "autocert on;" in text][-1]
    [said] = server.grep('no "listen" can answer "autocert_challenge '
                         f'{challenge}", add "{add}", in')
    assert said.endswith(f" in {server.conf_path}:{line}")
    server.start()
    server.wait_log('no certificate is ordered for "example.com": waiting '
                    'for a "listen" that can answer')


OLD = pytest.mark.skipif(VERSION >= (1, 25, 1), reason='NGINX has no "ssl on"')


@OLD
@pytest.mark.parametrize("http, listen, challenge, why", [
    ("""server { listen 443; ssl on; server_name other.test;
                 ssl_certificate {dir}/other.pem;
                 ssl_certificate_key {dir}/other.key; }""", "listen 8443 ssl;",
     "tls-alpn-01", "there is none on port 80, but one on port 443"),
    ("", "listen 80 http2; listen 8443 ssl;",
     "tls-alpn-01", "port 443 has to lead to one of the TLS listeners")])
def test_listeners_of_old(nginx, http, listen, challenge, why):
    """TLS by "ssl on", and HTTP/2 without a word of HTTP/1.1 before it."""

    server = nginx(HTTP % "autocert_ca https://127.0.0.1:14000/dir;"
                   + http + SERVER % (listen, "example.com"))
    self_signed(["other.test"]).write(f"{server.dir}/other.pem",
                                      f"{server.dir}/other.key")
    server.start()
    wait_for(lambda: begun(server, challenge, why=why), 20)


# what a hello may say

def hello(sni, alpn):
    """A ClientHello of TLS 1.2 with these bytes in the two extensions."""

    def ext(kind, data):
        return kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data

    exts = b""
    if sni is not None:
        exts += ext(0, sni)
    if alpn is not None:
        exts += ext(16, alpn)
    exts += ext(10, b"\0\x02\0\x17") + ext(13, b"\0\x02\x04\x03")
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\x02\xc0\x2b" + b"\1\0" \
        + len(exts).to_bytes(2, "big") + exts
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(message).to_bytes(2, "big") + message


ALPN = b"\0\x0b\x0aacme-tls/1"
NAME = b"\0\x0e\0\0\x0bexample.com"

HELLOS = [
    (NAME, b""), (NAME, b"\0"), (NAME, b"\0\x0b\x0bacme-tls/1"),
    (NAME, b"\0\x0c\x0aacme-tls/1"), (NAME, ALPN + b"\0"),
    (b"", ALPN), (b"\0", ALPN), (b"\0\x0e\0\0\x0c" + b"example.com", ALPN),
    (b"\0\x0e\1\0\x0bexample.com", ALPN), (NAME[:-1], ALPN),
    (b"\0\x03\0\0\0", ALPN), (b"\xff\xff\0\xff\xff", ALPN),
    (b"\1\x04\0\1\1" + b"a" * 257, ALPN),
    (b"\0\x0e\0\0\x0bexample\0com", ALPN), (None, ALPN),

    # a protocol, the last of several or not, that has the extension in it
    (NAME, b"\0\x12\x11" + b"\0\x10\0\x0d" + ALPN),
    (NAME, b"\0\x15\2xx\x11" + b"\0\x10\0\x0d" + ALPN),
    (NAME, b"\0\x0e\2xx\x0aacme-tls/1"),
]


def test_hostile_hellos(nginx, pebble):
    """Each ends with an alert, and the next one is served."""

    server, ca = pending(nginx, pebble)
    server.allow("bad extension")
    workers = server.workers()

    for sni, alpn in HELLOS:
        with socket.create_connection(("127.0.0.1", 443), 5) as s:
            s.sendall(hello(sni, alpn))
            answer = s.recv(7)
            assert answer[:1] == b"\x15", (sni, alpn, answer)

    # the same with nothing wrong is the first flight of a handshake
    with socket.create_connection(("127.0.0.1", 443), 5) as s:
        s.sendall(hello(NAME, ALPN))
        assert s.recv(1) == b"\x16"

    assert server.workers() == workers