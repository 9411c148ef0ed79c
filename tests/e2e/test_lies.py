"""
A CA that lies: whatever it says, NGINX and its helper live on as they are,
what is served stays, and one line says what was wrong; and when it comes to
its senses a certificate is obtained.  (tests/unit/test_lies.c tells 30,000
lies more, to engine and parsers alone.)
"""

import datetime
import glob
import json
import os
import re
import socket
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from support import proc, tls
from support.certs import Authority, make_key, self_signed, sign
from support.engine import conf, failed, issued, next_try, old_pair
from support.fakeca import FakeCA, Reply, problem
from support.nginx import ASAN
from support.wait import wait_for

DAY = 86400
END = b"-----END CERTIFICATE-----\n"
CHAIN = "application/pem-certificate-chain"
LOUD = r"\[(warn|error|crit|alert|emerg)\]"
STEPS = {"directory": "reading the CA's directory",
         "nonce": "getting a nonce",
         "account": "registering the account",
         "order": "creating the order",
         "authz": "reading the authorization",
         "challenge": "answering the challenge",
         "finalize": "finalizing the order",
         "status": "awaiting the certificate",
         "cert": "downloading the certificate"}


# lies: (step, what, answer, words that the line has)

GONE = object()

URLS = [GONE, None, 1, [], "", "/x", "http://localhost:14001/x",
        "ftp://localhost/x", "https://u:p@localhost/x",
        "https://localhost/x\r\nX: y", "https://localhost:99999/",
        "https://localhost/" + "x" * 65536]
STATES = [GONE, None, 7, {}, "", "unknown", "VALID"]
NAMES = [GONE, {}, "", "evil.test", "*.example.com", "example.com.evil.test"]
TOKENS = [GONE, 5, "", "short", "x" * 129, "x" * 65536,
          "../../../../../etc/passwd", "x" * 20 + ".y", "x" * 20 + "\r\ny: z",
          "x" * 20 + "\0", "x" * 20 + "%2fy", "\u00fc" * 20]
OBJECTS = [GONE, None, 0, "x", []]

FIELDS = [
    ("directory", "newNonce", URLS), ("directory", "newAccount", URLS),
    ("directory", "newOrder", URLS), ("account", "status", STATES),
    ("order", "status", STATES), ("order", "finalize", URLS),
    ("order", "authorizations.0", URLS[2:]), ("authz", "status", STATES),
    ("authz", "identifier", OBJECTS), ("authz", "identifier.value", NAMES),
    ("authz", "identifier.type", NAMES), ("authz", "challenges", OBJECTS),
    ("authz", "challenges.1", OBJECTS), ("authz", "challenges.1.url", URLS),
    ("authz", "challenges.1.token", TOKENS),
    ("authz", "challenges.1.status", STATES),
    ("challenge", "status", STATES), ("finalize", "status", STATES),
    ("finalize", "finalize", URLS), ("status", "status", STATES),
    ("status", "certificate", URLS[:7])]


def put(path, value):
    """The honest answer, with this in one place of it."""

    def change(honest):
        document = json.loads(honest.body)
        *way, last = [int(w) if w.isdigit() else w for w in path.split(".")]
        place = document
        for step in way:
            place = place[step]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
        honest.body = json.dumps(document).encode()
        return honest

    return change


def body(text):
    """The honest answer with another body."""

    def change(honest):
        honest.body = text(honest.body) if callable(text) else text
        return honest

    return change


def header(name, value):
    def change(honest):
        honest.headers.pop(name, None)
        if value is not None:
            honest.headers[name] = value
        return honest

    return change


def fields():
    for step, path, values in FIELDS:
        for value in values:
            shown = "gone" if value is GONE else repr(value)[:40]
            yield step, f"{path}: {shown}", put(path, value), "makes no|the CA"


def documents():
    for what, text in [
            ("empty", b""), ("NUL", b"\0"), ("cut", lambda b: b[:-1]),
            ("more", lambda b: b + b"x"), ("twice", lambda b: b + b),
            ("a name twice", lambda b: b[:-1] + b',"a":1,"a":1}'),
            ("UTF-16", lambda b: b.decode().encode("utf-16")),
            ("Latin-1", lambda b: b[:-1] + b',"a":"\xfc"}'),
            ("surrogate", lambda b: b[:-1] + b',"a":"\\ud800"}'),
            ("deep", b"[" * 50000), ("many", b"[" + b"0," * 20000 + b"0]"),
            ("HTML", b"<html>\x1b[31m</html>")]:
        yield "order", f"document: {what}", body(text), "order makes no sense"

    for value in (None, "", "/x", "http://localhost/x", "https://u@h/",
                  "https://localhost/" + "x" * 5000):
        for step in ("account", "order"):
            yield (step, f"Location: {str(value)[:20]}",
                   header("Location", value), "no https URL in Location")

    for type in (None, "text/html", "application/json"):
        yield ("cert", f"type: {type}", header("Content-Type", type),
               "its media type is another")


def problems():
    detail = "\x1b[2J\r\nfoo\u202e" + "x" * 5000
    for step in ("account", "order", "authz", "challenge", "finalize",
                 "status", "cert"):
        yield step, "refused", problem(403, "malformed", detail), "refuses"
        yield (step, "subproblems", Reply(400, {
            "type": "urn:ietf:params:acme:error:malformed",
            "subproblems": [{"detail": "y" * 50}] * 2000},
            "application/problem+json"), r"refuses.*\(yyy")
    for status in (301, 302, 303, 307, 308):
        for step in ("directory", "order"):
            yield (step, f"redirected: {status}", Reply(
                status, Location="https://localhost:14001/elsewhere"),
                rf"status {status}")
    yield ("order", "for ever", problem(429, "rateLimited", "x",
                                        Retry_After="9" * 20), "rate limit")
    yield "order", "badNonce", problem(400, "badNonce", "x"), "no nonce"
    yield "nonce", "no nonce", b"HTTP/1.1 200 OK\r\n\r\n", "no valid nonce"


HEAD = b"HTTP/1.1 201 Created\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def endless(first, each):
    yield first
    while True:
        yield each


def slowly():
    for byte in HEAD:
        yield bytes([byte])
        time.sleep(1)


def silent():
    time.sleep(60)
    yield b""


def messages():
    for what, reply in [
            ("nothing", None), ("no HTTP", b"SSH-2.0-x\r\n"),
            ("HTTP/2", b"HTTP/2.0 201 Created\r\n\r\n"),
            ("status", b"HTTP/1.1 2000 X\r\n\r\n"),
            ("interim", endless(b"", b"HTTP/1.1 100 Go on\r\n\r\n" * 100)),
            ("header", endless(HEAD, b"X: " + b"x" * 9999)),
            ("headers", endless(HEAD, b"X: y\r\n" * 999)),
            ("folded", HEAD + b"X: y\r\n z\r\n\r\n"),
            ("NUL", HEAD + b"X: \0\r\n\r\n"),
            ("two lengths", HEAD + b"Content-Length: 1\r\n"
             b"Content-Length: 2\r\n\r\nxx"),
            ("two ways", HEAD + b"Content-Length: 1\r\n"
             b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("length -1", HEAD + b"Content-Length: -1\r\n\r\n"),
            ("length", HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n"),
            ("short", HEAD + b"Content-Length: 99\r\n\r\n{"),
            ("chunk", CHUNKED + b"-1\r\n"),
            ("big chunk", CHUNKED + b"ffffffffffffffff\r\n{"),
            ("no last chunk", CHUNKED + b"2\r\n{}\r\n"),
            ("extension", endless(CHUNKED, b"1;" + b"x" * 9999)),
            ("endless chunks", endless(CHUNKED, b"2\r\n  \r\n" * 999)),
            ("endless", endless(HEAD + b"\r\n", b" " * 9999)),
            ("a byte a second", slowly()), ("silent", silent())]:
        yield ("order", f"message: {what}", (lambda honest, r=reply: r)
               if reply is not None else None,
               '"localhost:14001": |accepts no nonce')


def chain(ca, change):
    """What a certificate of the order's name and key is changed into."""

    def answer(honest):
        o = ca.orders[-1]
        return Reply(200, change(ca, o), CHAIN)

    return answer


def leaf(**lie):
    """sign() with one thing wrong, and its issuer behind."""

    def change(ca, o):
        key = lie.get("key") or Public(o["csr"].public_key())
        age, life = lie.get("age", 60), lie.get("life", 90 * DAY)
        ahead = int(ca.clock.now() - time.time())
        cert = sign(lie.get("names", [o["name"]]), key, ca.cert,
                    lie.get("signer", ca.key), life=life + ahead,
                    age=age - ahead, ca=lie.get("ca", False))
        return pem(cert) + ca.root * lie.get("n", 1)

    return change


class Public:
    """Half of a key."""

    def __init__(self, key):
        self.key = key

    def public_key(self):
        return self.key


def pem(cert):
    return cert.public_bytes(Encoding.PEM)


# the OID of an RSA signature, but for its last byte: that tells the digest
RSA = bytes.fromhex("2a864886f70d0101")
SHA256, SHA1, MD5 = b"\x0b", b"\x05", b"\x04"


def signed(kind, digest=SHA256):
    """
    By a key that is not the CA's.  What libraries no longer sign is said to
    be of that digest.
    """

    def change(ca, o):
        key = make_key(kind)
        now = datetime.datetime.now(datetime.timezone.utc)
        cert = x509.CertificateBuilder() \
            .subject_name(ca.cert.subject).issuer_name(ca.cert.subject) \
            .public_key(o["csr"].public_key()).serial_number(1) \
            .not_valid_before(now - datetime.timedelta(days=1)) \
            .not_valid_after(now + datetime.timedelta(days=900)) \
            .add_extension(x509.SubjectAlternativeName(
                [x509.DNSName(o["name"])]), False)
        der = cert.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
        der = der.replace(RSA + SHA256, RSA + digest)
        return ssl.DER_cert_to_PEM_cert(der).encode() \
            + ca.root * (kind != "rsa")

    return change


def certificates(ca):
    other = make_key()
    good = leaf()
    for what, change, words in [
            ("other name", leaf(names=["evil.test"]), "another name"),
            ("wildcard", leaf(names=["*.example.com"]), "another name"),
            ("name below", leaf(names=["www.example.com"]), "another name"),
            ("other key", leaf(key=other), "another key"),
            ("other signer", leaf(signer=other), "not issued"),
            ("signature", signed("secp256r1"), "signature"),
            ("expired", leaf(age=9 * DAY, life=-DAY), "expired"),
            ("not yet valid", leaf(age=-3 * DAY), "not valid yet"),
            ("a CA", leaf(ca=True), "another name|of a CA"),
            ("chain of 50", leaf(n=50), "too many"),
            ("SHA-1", signed("rsa", SHA1), "weak"),
            ("MD5", signed("rsa", MD5), "weak"),
            ("self-signed", lambda ca, o: self_signed("example.com").pem,
             "another key"),
            ("turned round", lambda ca, o: ca.root
             + good(ca, o)[:-len(ca.root)], "not issued"),
            ("no chain", lambda ca, o: ca.root, "another key"),
            ("not issued", lambda ca, o: good(ca, o) + Authority("x").pem,
             "not issued"),
            ("cut", lambda ca, o: good(ca, o)[:-9], "can't be used"),
            ("garbage", lambda ca, o: good(ca, o) + b"x", "can't be used"),
            ("a key", lambda ca, o: good(ca, o)
             + self_signed("x").key_pem, "can't be used"),
            ("damaged", lambda ca, o: good(ca, o)[:300] + b"AAAA"
             + good(ca, o)[304:], "can't be used"),
            ("no PEM", lambda ca, o: b"x" * 999, "begin as PEM"),
            ("NUL", lambda ca, o: good(ca, o)[:99] + b"\0", "no text"),
            ("huge", lambda ca, o: good(ca, o) * 300, "answer|too|body")]:
        yield "cert", f"certificate: {what}", chain(ca, change), words


def old_tls(ca, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    context.load_cert_chain(*ca.files)
    return context


class Plain:
    """In place of a context: what comes is no TLS."""

    def __init__(self, data):
        self.data = data

    def wrap_socket(self, raw, server_side):
        raw.sendall(self.data)
        raw.close()
        raise OSError


def contexts(ca, authority, dir):
    """Below HTTP; each is (what, context, words)."""

    host = ["localhost"]
    for what, pair, words in [
            ("other name", authority.issue(["other.test"]), "not trusted"),
            ("expired", authority.issue(host, age=99 * DAY, life=-DAY),
             "has expired"),
            ("not yet valid", authority.issue(host, age=-2000 * DAY,
                                              life=3000 * DAY), "not yet"),
            ("self-signed", self_signed(host), "self.signed"),
            ("other CA", Authority().issue(host), "not trusted"),
            ("RSA of 1024", authority.issue(host, kind="rsa1024"),
             "not trusted|TLS handshake")]:
        path = f"{dir}/{what.replace(' ', '-')}"
        pair.write(f"{path}.pem", f"{path}.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(f"{path}.pem", f"{path}.key")
        yield what, context, words

    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        yield version.name, old_tls(ca, version), "TLS handshake failed"
    for what, data in (("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                       ("nothing", b""), ("garbage", os.urandom(999)),
                       ("half a record", b"\x16\x03\x03\x40\x00\x02")):
        yield what, Plain(data), "TLS handshake failed"


class Liar:
    """Makes the time of the next try come, and looks at what it brings."""

    def __init__(self, server, ca, clock):
        self.server, self.ca, self.clock = server, ca, clock
        self.name = "example.com"
        self.dir = f"{server.dir}/store/{self.name}"
        self.at = 0
        self.good = self.files()

    def files(self):
        found = []
        for name in ("fullchain.pem", "privkey.pem"):
            with open(f"{self.dir}/{name}", "rb") as f:
                found.append(f.read())
        return found

    def wait(self, pattern, mark):
        """Whenever nothing goes on any more, time passes."""

        deadline = time.monotonic() + 30
        seen, still, leap = self.seen(), time.monotonic(), 5
        self.clock.skip(self.server, max(0, self.at - self.clock.now()) + 1)

        while True:
            found = self.server.grep(pattern, since=mark)
            if found:
                return found[0]
            now = time.monotonic()
            assert now < deadline, \
                f"{pattern!r} in the log: {self.server.log(mark)}"
            if self.seen() != seen:
                seen, still, leap = self.seen(), now, 5
            elif now - still > 0.15:
                self.clock.skip(self.server, leap)
                leap = min(leap * 2, 3600) if self.idle(mark) else 5
                still = now
            time.sleep(0.01)

    def seen(self):
        return self.ca.connections, len(self.ca.requests), self.ca.busy

    def idle(self, mark):
        return not self.server.grep("the order for", since=mark)

    def fails(self, mark, words):
        """One line that says all, and nothing has changed."""

        line = self.wait(f'no new certificate for "{self.name}"', mark)
        assert re.search(words, line), (words, line)
        assert re.search(r"next try at \d{4}-", line)
        assert f"name: {self.name}, CA: {self.ca.directory}" in line
        # the same as the one before is not loud again
        assert self.server.grep(LOUD, since=mark) == [line] \
            or "[info]" in line and "failures in a row" in line
        assert self.files() == self.good
        self.at = next_try(line)
        self.forget()
        return line

    def forget(self):
        """The order of before is no more, and costs nothing."""

        with self.ca.lock:
            for order in self.ca.orders:
                order["order"] = "invalid"
        for path in os.listdir(f"{self.server.dir}/store/.accounts"):
            try:
                os.unlink(f"{self.server.dir}/store/.accounts/{path}/issued/"
                          f"{self.name}.json")
            except FileNotFoundError:
                pass

    def tell(self, step, answer, words):
        mark = self.server.mark()
        self.ca.normal()
        self.ca.answer(step, answer, times=None)
        if step in ("finalize", "status", "cert"):
            self.ca.answer("order", self.ready, times=None)
        line = self.fails(mark, words)
        assert f"while {STEPS[step]}" in line or step == "status", line
        return line

    def ready(self, honest):
        """Nothing is to be proved."""

        n = len(self.ca.orders) - 1
        self.ca.orders[n].update(order="ready", authz="valid",
                                 challenge="valid")
        return Reply(201, self.ca.order_object(n), Location=honest.headers[
            "Location"])


@pytest.mark.limit(300)
def test_lies(nginx, dns, fakeca, authority, clock, place, measured):
    began = time.monotonic()
    ca = fakeca(pair=authority.issue(["localhost"], life=900 * DAY))
    ca.clock = clock
    ca.life = 900 * DAY
    ca.files = [f"{place}/fakeca/fakeca.{end}" for end in ("pem", "key")]
    server = nginx(conf(ca, more="autocert_challenge http-01;"
                        "autocert_renew_before 400d;"), env=clock.env)
    pair = old_pair(authority, server, "example.com", 390, age=900)

    # first the lies of what is asked first, and then not again

    told = [*fields(), *documents(), *problems(), *messages(),
            *certificates(ca)]
    told.sort(key=lambda lie: list(STEPS).index(lie[0]))

    step, what, answer, words = told[0]
    ca.answer(step, answer, times=None)
    mark = server.mark()
    server.start()
    helper, processes = server.helper(), server.processes()
    liar = Liar(server, ca, clock)
    liar.fails(mark, words)

    warm = len(told) // 4

    for n, (step, what, answer, words) in enumerate(told[1:]):
        if n == warm:
            before = proc.memory(helper)
        try:
            liar.tell(step, answer, words)
        except AssertionError as e:
            raise AssertionError(f"{step}: {what}: {e}") from None

    # below HTTP, at the first connection

    kept, ca.close = ca.context, True
    below = list(contexts(ca, authority, place))
    liar.tell("order", Reply(404), "404")
    ca.normal()

    for what, context, words in below:
        ca.context = context
        mark = server.mark()
        try:
            liar.fails(mark, words)
        except AssertionError as e:
            raise AssertionError(f"TLS: {what}: {e}") from None

    after = proc.memory(helper)
    lies = len(told) + 1 + len(below)
    measured("lies told to NGINX", lies)
    measured("grown by, KiB", after - before)
    measured("seconds", round(time.monotonic() - began))

    assert lies >= 200
    # ASan keeps what is freed for a while
    assert ASAN or after - before < 1024
    assert server.helper() == helper and server.processes() == processes
    assert tls.handshake("example.com").der == pair.der
    assert ca.wrong == []

    # nothing of a key is in the log, nor what would do something to who reads

    log = server.log()
    assert "\x1b" not in log and "\0" not in log
    for path in glob.glob(f"{server.dir}/store/**/*key*", recursive=True) \
            + glob.glob(f"{server.dir}/store/.accounts/*/account.key"):
        with open(path) as f:
            for line in f.read().splitlines():
                assert line not in log

    ca.context = kept
    ca.normal()
    mark = server.mark()
    liar.wait('certificate of "example.com" renewed', mark)
    assert tls.handshake("example.com").der != pair.der


def test_polled_for_ever(nginx, dns, fakeca, clock, measured):
    """Each answer is as large as it may be, and none of them is kept."""

    ca = fakeca()
    ca.hold("finalize")
    padding = b',"x":"' + b"\\/" * 50000 + b'","y":[0' + b",0" * 8000 + b"]}"

    def answer(honest):
        honest.body = honest.body[:-1] + padding
        honest.headers["Retry-After"] = "1"
        return honest

    ca.answer("status", answer, times=None)
    server = nginx(conf(ca), env=clock.env).start()
    helper = server.helper()

    def polls(n):
        clock.skip(server, 1)
        return len(ca.of("status")) >= n

    wait_for(lambda: polls(20), 60, "20 polls", 0.05)
    before = proc.memory(helper)
    wait_for(lambda: polls(90), 60, "90 polls", 0.05)
    grown = proc.memory(helper) - before
    measured("grown by 70 large answers, KiB", grown)
    # ASan keeps what is freed for a while
    assert ASAN or grown < 1024

    line = wait_for(lambda: polls(0) and server.grep(
        'no certificate for "example.com"'), 60, "given up")[0]
    assert "the CA takes longer than 300 s" in line
    assert server.helper() == helper


# Where a body ends with its connection TLS has to say that it ends there.

def until_closed(honest, n):
    """So many bytes of the body, and nothing that says how many there are."""

    head = "".join(f"{k}: {v}\r\n" for k, v in honest.headers.items())
    return (f"HTTP/1.1 {honest.status} X\r\n{head}\r\n".encode()
            + honest.body[:n])


@pytest.mark.parametrize("cut", [False, True])
def test_end_without_close_notify(nginx, dns, fakeca, cut):
    """Python's server just closes; what came is a chain that would do."""

    ca = fakeca()
    ca.answer("cert", lambda honest: until_closed(
        honest, honest.body.index(END) + len(END) if cut else None),
        times=None)
    server = nginx(conf(ca)).start()
    line = failed(server)
    assert "closed before the answer was whole" in line
    assert "unexpected eof while reading" in line
    assert tls.handshake("example.com").self_signed
    assert "fullchain.pem" not in os.listdir(f"{server.dir}/store/example.com")


def test_end_with_close_notify(nginx, dns, fakeca):
    ca = fakeca(ends=True)
    ca.answer("cert", lambda honest: until_closed(honest, None), times=None)
    server = nginx(conf(ca)).start()
    issued(server)
    assert tls.handshake("example.com", root=ca.root).names == ["example.com"]
