"""What fails on the way to a certificate: said once, nothing is lost."""

import datetime
import os
import re
import ssl

import pytest

from support import tls
from support.certs import Authority, self_signed
from support.fakeca import Reply, problem
from support.namespace import mount
from support.wait import wait_for

CONF = """
    %s
    %s
    autocert_resolver_timeout 2s;
    autocert_path {dir}/store;
    autocert on admin@example.com;
    server {
        listen 80;
        listen 443 ssl;
        server_name %s;
        autocert on;
    }
"""

DNS = "resolver 127.0.0.1;"
NAME = "example.com"
HELD = "held.example.com"


def files(dir):
    """{path: bytes} of the pairs in a store."""

    found = {}
    for root, _, names in os.walk(dir):
        for name in names:
            if name in ("privkey.pem", "fullchain.pem"):
                with open(f"{root}/{name}", "rb") as f:
                    found[f"{root}/{name}"] = f.read()
    return found


def complaints(server, since=0):
    """All at warn and above, save what NGINX's resolver says of itself."""

    return [line for line in server.grep(r"\[(warn|error|crit|alert|emerg)\]",
                                         since)
            if "while resolving, resolver" not in line]


def next_try(line):
    date = re.search(r"next try at (\S+?Z)\b", line).group(1)
    return datetime.datetime.strptime(date, "%Y-%m-%dT%H:%M:%SZ")


def check_failed(server, pattern, name=NAME, new="", timeout=60, since=0):
    """One line, with all that it takes to mend it."""

    line = server.wait_log(f'no {new}certificate for "{name}"', timeout, since)
    assert re.search(pattern, line), line
    assert f"name: {name}, CA: https://" in line
    assert next_try(line) > datetime.datetime.utcnow()
    assert complaints(server, since) == [line]
    return line


def again(server, name=NAME, config=None):
    """What a person does: begin anew at once."""

    os.unlink(f"{server.dir}/store/{name}/state.json")
    mark = server.mark()
    if config:
        server.write(config)
    server.reload()
    server.wait_log(f'certificate of "{name}" issued', 60, since=mark)


@pytest.fixture
def begin(nginx):
    """
    begin(directives) -> an NGINX that serves, with a pair for one of its two
    names; the pair is still there at the end, and served.
    """

    begun = []

    def make(directives, dns=DNS):
        server = nginx(CONF % (dns, directives, f"{NAME} {HELD}"))
        pair = self_signed(HELD)
        pair.store(f"{server.dir}/store", HELD)
        before = files(f"{server.dir}/store")
        assert len(before) == 2
        server.start(ready=False)

        def check():
            assert tls.handshake(HELD).der == pair.der
            now = files(f"{server.dir}/store")
            assert {path: now.get(path) for path in before} == before

        assert tls.handshake(NAME).self_signed
        check()
        begun.append(check)
        return server

    yield make

    for check in begun:
        check()


# the CA's address


NOWHERE = "autocert_ca https://ca.example.net:14001/dir;"


def test_no_resolver_answers(begin):
    server = begin(NOWHERE, "resolver 127.0.0.1:5353;")
    check_failed(server, r'"ca\.example\.net" could not be resolved '
                         r"\(110: Operation timed out\)")
    assert tls.handshake(NAME).self_signed


def test_resolver_fails(begin, dns):
    dns.set_servfail("ca.example.net")
    check_failed(begin(NOWHERE), r'"ca\.example\.net" could not be resolved '
                                 r"\(2: Server failure\)")


def test_name_not_found(begin, dns):
    dns.post("set-default-ipv4", ip="")
    check_failed(begin(NOWHERE), r'"ca\.example\.net" could not be resolved '
                                 r"\(3: Host not found\)")


def test_nobody_listens_then_somebody(begin, dns, fakeca):
    ca = fakeca()
    ca.stop()

    server = begin(ca.directives)
    check_failed(server, r'"localhost:14001": .*Connection refused')
    assert tls.handshake(NAME).self_signed

    ca = fakeca()
    again(server)
    assert tls.handshake(NAME, root=ca.root).names == [NAME]


# the CA's certificate


def untrusted(code):
    return (r'the certificate of "localhost:14001" is not trusted '
            rf"\({code}: [^)]+\), see \"autocert_ca_certificate\"")


PAIRS = {
    "another name": (62, lambda a: a.issue(["ca.example.net"])),
    "expired": (10, lambda a: a.issue(["localhost"], age=864000,
                                      life=-86400)),
    "not yet valid": (9, lambda a: a.issue(["localhost"], age=-86400)),
    "self-signed": (18, lambda a: self_signed(["localhost"])),
}


@pytest.mark.parametrize("which", PAIRS)
def test_certificate_of_the_ca(begin, dns, fakeca, authority, which):
    code, pair = PAIRS[which]
    ca = fakeca(pair=pair(authority))
    check_failed(begin(ca.directives), untrusted(code))
    assert ca.requests == []


def test_wrong_anchor_then_the_right_one(begin, dns, fakeca, authority):
    ca = fakeca()
    with open(ca.trust, "wb") as f:
        f.write(Authority("Another CA").pem)

    server = begin(ca.directives)
    check_failed(server, untrusted("20|19"))
    assert ca.requests == []

    with open(ca.trust, "wb") as f:
        f.write(authority.pem)
    again(server)


def test_old_tls(begin, dns, fakeca):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    ca = fakeca(tls=old)
    check_failed(begin(ca.directives),
                 r'"localhost:14001": .*(protocol version|unsupported)')
    assert ca.requests == []


# the CA's answers


HTML = "<html><title>Down for maintenance</title></html>"

ANSWERS = {
    "directory is no JSON": (
        "directory", Reply(200, HTML, "text/html"), r"directory", 0),
    "directory is empty": (
        "directory", Reply(200, "{}"), r"directory", 0),
    "not HTTP": (
        "directory", b"220 mail.example.net ESMTP\r\n",
        r'"localhost:14001": ', 0),
    "closes": ("directory", None, r'"localhost:14001": .*closed', 0),
    "page of a proxy": (
        "order", Reply(500, HTML, "text/html"),
        r"\(status 500\) \(.*Down for maintenance", 0),
    "503": (
        "directory", Reply(503, HTML, "text/html", Retry_After="7200"),
        r"later \(status 503\) \(.*Down for maintenance", 7200),
    "429": (
        "order", problem(429, "rateLimited", "too many certificates already "
                         "issued for example.com", Retry_After="90000"),
        r"\(status 429\) \(.*too many certificates already issued", 90000),
    "refused account": (
        "account", problem(403, "unauthorized", "an account was revoked"),
        r"the CA refuses the account \(.*an account was revoked", 0),
    "refused order": (
        "order", problem(400, "rejectedIdentifier",
                         "policy forbids \"example.com\""),
        r"\(status 400\) \(.*policy forbids", 0),
    "forged lines": (
        "order", problem(400, "malformed", "one\r\n2026/01/01 00:00:00 "
                         "[info] 1#1: two\x1b[31m\x7f\u0085"),
        r"\(status 400\) \(.*one\?\?2026.* two\?\[31m\?\?", 0),
}


@pytest.mark.parametrize("which", ANSWERS)
def test_answer(begin, dns, fakeca, which):
    step, reply, pattern, later = ANSWERS[which]
    ca = fakeca()
    ca.answer(step, reply, times=None)

    began = datetime.datetime.utcnow().replace(microsecond=0)
    server = begin(ca.directives)
    line = check_failed(server, pattern, timeout=100)
    assert next_try(line) >= began + datetime.timedelta(seconds=later)
    assert all(c.isprintable() for c in line)
    assert tls.handshake(NAME).self_signed

    # and it is not asked again before
    count = len(ca.requests)
    server.reload()
    server.helper(timeout=30)
    assert len(ca.requests) == count


def test_refused_then_taken(begin, dns, fakeca):
    ca = fakeca()
    ca.answer("order", problem(403, "rejectedIdentifier", "not this one"))
    server = begin(ca.directives)
    check_failed(server, "not this one")
    again(server)
    assert tls.handshake(NAME, root=ca.root).names == [NAME]


def test_one_name_refused(nginx, pebble):
    """By real Pebble, with its words; the other name is none the worse."""

    ca = pebble(config={"domainBlocklist": ["blocked.example.com"]})
    server = nginx(CONF % (DNS, ca.directives,
                           "blocked.example.com fine.example.com")).start()
    line = server.wait_log('no certificate for "blocked.example.com"', 60)
    assert "status 4" in line and "blocked.example.com" in line
    assert re.search(r"\(status \d+\) \(.*(forbid|block|policy)", line), line
    server.wait_log('certificate of "fine.example.com" issued', 60)
    assert complaints(server) == [line]
    assert tls.handshake("blocked.example.com").self_signed


def test_renewal_refused(nginx, dns, fakeca):
    """What was there is served on."""

    ca = fakeca()
    ca.answer("order", problem(403, "rejectedIdentifier", "no more of them"),
              times=None)
    server = nginx(CONF % (DNS, ca.directives, NAME))
    pair = self_signed(NAME, age=80 * 86400, life=5 * 86400)
    pair.store(f"{server.dir}/store", NAME)
    before = files(f"{server.dir}/store")
    server.start()

    check_failed(server, "no more of them", new="new ")
    assert tls.handshake(NAME).der == pair.der
    assert files(f"{server.dir}/store") == before


# the store


@pytest.fixture
def small(nginx, dns, fakeca):
    """An NGINX not started yet, whose store is a file system of its own."""

    ca = fakeca()
    server = nginx(CONF % (DNS, ca.directives, f"{NAME} {HELD}"))
    server.store = f"{server.dir}/store"
    os.mkdir(server.store, 0o700)
    mount("-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", server.store)
    server.pair = self_signed(HELD)
    server.pair.store(server.store, HELD)
    yield server, ca

    server.stop()
    os.system(f"umount -l {server.store}")


def check_held(server, before):
    assert tls.handshake(NAME).self_signed
    assert tls.handshake(HELD).der == server.pair.der
    assert files(server.store) == before


def test_store_can_not_be_written(small):
    server, ca = small
    before = files(server.store)
    mount("-o", "remount,ro", server.store)
    server.start(ready=False)

    line = server.wait_log(r"Read-only file system", 60)
    assert server.store in line
    assert "no certificate" in line
    check_held(server, before)
    assert complaints(server) == [line]
    assert ca.of("order") == []

    mount("-o", "remount,rw", server.store)
    mark = server.mark()
    server.reload()
    server.wait_log(f'certificate of "{NAME}" issued', 60, since=mark)
    assert tls.handshake(HELD).der == server.pair.der


def test_store_is_full(small):
    server, ca = small
    before = files(server.store)

    with open(f"{server.store}/.filler", "wb", buffering=0) as f:
        with pytest.raises(OSError):
            while True:
                f.write(b"x" * 512)

    server.start(ready=False)
    line = server.wait_log(r"No space left on device", 60)
    assert server.store in line and "certificate" in line
    check_held(server, before)
    assert complaints(server) == [line]
    assert ca.of("order") == []

    os.unlink(f"{server.store}/.filler")
    mark = server.mark()
    server.reload()
    server.wait_log(f'certificate of "{NAME}" issued', 60, since=mark)
    assert tls.handshake(HELD).der == server.pair.der
    wait_for(lambda: tls.handshake(NAME, root=ca.root).names == [NAME], 20)
