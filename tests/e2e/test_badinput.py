"""
What bad input gets: NGINX starts and serves all the same, one line says what
failed, for which name, in whose words and when it is tried again, nothing on
disk is lost; and once its cause is mended, all is well.
"""

import calendar
import glob
import json
import os
import re
import socket
import subprocess
import time

import pytest

from support import tls
from support.certs import self_signed
from support.fakeca import Reply, problem

CONF = """
    %s
    autocert_path {dir}/store;
    autocert on admin@example.com;
    server {
        listen 80;
        listen 443 ssl;
        server_name %s;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""

RESOLVER = "resolver 127.0.0.1;\n"
NEXT = r"next try at (20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ)"
LOUD = r"\[(warn|error|crit|alert|emerg)\]"


def failed(server, name="example.com", timeout=60, since=0):
    """The line, which is the only one that is loud."""

    line = server.wait_log(f'no (new )?certificate for "{name}"', timeout,
                           since=since)
    assert re.search(NEXT, line), line
    assert server.grep(LOUD, since=since) == [line]
    return line


def serves(name="example.com"):
    status, _, body = tls.fetch(name)
    assert (status, body) == (200, b"hello\n")
    assert tls.fetch(name, port=80, tls=False)[2] == b"hello\n"
    return tls.handshake(name)


def seconds(line):
    """From the line's own time to the next try."""

    at = calendar.timegm(time.strptime(re.search(NEXT, line)[1],
                                       "%Y-%m-%dT%H:%M:%SZ"))
    return at - time.mktime(time.strptime(line[:19], "%Y/%m/%d %H:%M:%S"))


def state(server, name="example.com"):
    with open(f"{server.dir}/store/{name}/state.json") as f:
        return json.load(f)


def edit(server, name="example.com", **values):
    path = f"{server.dir}/store/{name}/state.json"
    with open(path) as f:
        kept = json.load(f)
    kept.update(values)
    with open(path, "w") as f:
        json.dump(kept, f)


def mended(server, name="example.com", root=None, hurry=True):
    """It is tried again, before its time, and succeeds."""

    mark = server.mark()
    if hurry:
        edit(server, name, next_attempt=int(time.time()))
        for path in glob.glob(f"{server.dir}/store/.accounts/*/state.json"):
            os.unlink(path)
        server.reload()
    server.wait_log(f'certificate of "{name}" (issued|renewed)', 90,
                    since=mark)
    assert tls.handshake(name, root=root).names == [name]


def snapshot(dir):
    found = {}
    for root, _, files in os.walk(dir):
        for name in files:
            path = os.path.join(root, name)
            if name not in (".control", ".lock", "state.json"):
                with open(path, "rb") as f:
                    found[os.path.relpath(path, dir)] = f.read()
    return found


# the way to the CA

def test_no_resolver(nginx, dns, fakeca):
    ca = fakeca()
    resolv = os.path.realpath("/etc/resolv.conf")
    with open(resolv) as f:
        kept = f.read()
    with open(resolv, "w") as f:
        f.write("# none\n")

    try:
        server = nginx(CONF % (ca.directives, "example.com")).start()
        line = server.wait_log('no certificate for "example.com"', 60)
    finally:
        with open(resolv, "w") as f:
            f.write(kept)

    assert '"localhost" can\'t be resolved' in line
    assert '"autocert_resolver"' in line and re.search(NEXT, line)
    assert serves().self_signed
    assert server.grep("CA can't be found by name"), "at the start"

    mended(server, root=ca.root)


def test_name_that_is_not_there(nginx, dns, fakeca):
    dns.set_servfail("ca.test")
    ca = fakeca(host="ca.test")
    server = nginx(CONF % (RESOLVER + ca.directives, "example.com")).start()
    line = failed(server)
    assert '"ca.test" could not be resolved (2: Server failure)' in line
    assert serves().self_signed

    dns.clear_servfail("ca.test")
    mended(server, root=ca.root)


def test_resolver_that_is_silent(nginx, dns, fakeca):
    """The time-out is that of autocert_resolver_timeout."""

    ca = fakeca()
    conf = CONF % (ca.directives + "autocert_resolver 127.0.0.9;"
                   "autocert_resolver_timeout 1s;", "example.com")

    silent = socket.socket(type=socket.SOCK_DGRAM)
    silent.bind(("127.0.0.9", 53))
    server = nginx(conf).start()
    line = failed(server)
    assert '"localhost" could not be resolved (110: Operation timed out)' \
        in line
    assert silent.recv(512)
    assert serves().self_signed
    silent.close()

    server.write(conf.replace("127.0.0.9", "127.0.0.1"))
    mended(server, root=ca.root)


def test_unreachable(nginx, dns, fakeca):
    conf = CONF % (RESOLVER + "autocert_ca https://localhost:14001/dir;",
                   "example.com www.example.com")
    server = nginx(conf).start()
    line = failed(server)
    assert '"localhost:14001": connecting' in line
    assert "connect() failed (111: Connection refused)" in line
    assert serves().self_signed
    assert serves("www.example.com").self_signed

    # one name is enough to know that there is no CA; the other waits with it
    assert 40 <= seconds(line) <= 61
    assert not server.grep('order for "www.example.com"')

    ca = fakeca()
    server.write(CONF % (RESOLVER + ca.directives,
                         "example.com www.example.com"))
    mark = server.mark()
    mended(server, root=ca.root)
    server.wait_log('certificate of "www.example.com" issued', 60, since=mark)


# what the CA says

def test_refused_by_pebble(nginx, pebble):
    ca = pebble(config={"domainBlocklist": ["example.com"]})
    server = nginx(CONF % (RESOLVER + ca.directives,
                           "example.com b.test")).start()
    line = failed(server)
    assert "the CA does not sign this name (status 400)" in line
    assert re.search(r"rejectedIdentifier: .*example\.com", line)
    assert serves().self_signed

    # the others are not kept waiting
    server.wait_log('certificate of "b.test" issued', 60)
    assert tls.handshake("b.test", root=ca.root())

    assert state(server)["failures"] == 1
    ca.stop()
    with open(ca.config) as f:
        text = f.read().replace("example.com", "other.com")
    with open(ca.config, "w") as f:
        f.write(text)
    ca.start()
    mended(server, root=ca.root())
    assert state(server)["failures"] == 0


def test_validation_that_fails(nginx, pebble, dns):
    """In the words of the CA's own look at the name."""

    ca = pebble()
    dns.set_a("example.com", "127.0.0.77")
    server = nginx((CONF % (RESOLVER + ca.directives, "example.com"))
                   .replace("listen 80", "autocert_challenge http-01; "
                            "listen 127.0.0.1:80")).start()
    line = failed(server)
    assert "the CA could not connect to the name" in line
    assert re.search(r"127\.0\.0\.77:80: connect: connection refused", line)
    assert serves().self_signed

    dns.set_a("example.com", "127.0.0.1")
    mended(server, root=ca.root())


PAGE = "<html><head><title>500</title></head>\r\n<body>oops \x1b[31m\0</body>"

SAYS = {
    "HTML instead of the directory": (
        "directory", Reply(200, "<html>hello</html>", "text/html"),
        ["directory makes no sense", "<html>hello</html>"]),
    "JSON of another kind": (
        "directory", Reply(200, ["x"]), ["directory makes no sense", '["x"]']),
    "a directory without newOrder": (
        "directory", Reply(200, {"newNonce": "https://localhost:14001/nonce",
                                 "newAccount": "https://localhost:14001/a"}),
        ["directory has no newOrder"]),
    "URLs without TLS": (
        "directory", Reply(200, {"newNonce": "http://localhost/nonce",
                                 "newAccount": "https://localhost:14001/a",
                                 "newOrder": "https://localhost:14001/o"}),
        ["newNonce is no https URL", "http://localhost/nonce"]),
    "a page of an error": (
        "order", Reply(500, PAGE, "text/html"),
        ["the CA is out of order (status 500)", "<title>500</title>"]),
    "a rate limit": (
        "order", problem(429, "rateLimited", "too many certificates for you",
                         Retry_After="7200"),
        ["a rate limit of the CA is reached (status 429)",
         "rateLimited: too many certificates for you"]),
    "maintenance": (
        "account", Reply(503, "back soon", "text/plain", Retry_After="1800"),
        ["the CA says: later (status 503)", "back soon"]),
    "an account refused": (
        "account", problem(403, "unauthorized", "this key is on our list"),
        ["the CA refuses the account (",
         "unauthorized: this key is on our list"]),
    "an order that is not JSON": (
        "order", Reply(201, "hello", Location="https://localhost:14001/x"),
        ["order makes no sense", "hello"]),
    "no location": (
        "order", Reply(201, {"status": "pending", "authorizations": [],
                             "finalize": "https://localhost:14001/x"}),
        ["order makes no sense: it has no https URL in Location"]),
    "a challenge that is not offered": (
        "authz", Reply(200, {"status": "pending", "challenges": [
            {"type": "dns-01", "token": "x" * 20}],
            "identifier": {"type": "dns", "value": "example.com"}}),
        ["does not offer the challenge http-01", "offered: dns-01"]),
    "a token that is a path": (
        "authz", Reply(200, {"status": "pending", "challenges": [
            {"type": "http-01", "token": "../../../../etc/passwd",
             "url": "https://localhost:14001/challenge/0",
             "status": "pending"}],
            "identifier": {"type": "dns", "value": "example.com"}}),
        ["challenge makes no sense: its token is not base64url"]),
    "a request refused": (
        "finalize", problem(400, "badCSR", "we want\nanother key"),
        ["refuses the certificate signing request", "badCSR: we want?another"]),
    "a page instead of the certificate": (
        "cert", Reply(200, "<html>", "text/html"),
        ["certificate makes no sense: its media type is another"]),
    "a certificate that is none": (
        "cert", Reply(200, "-----BEGIN CERTIFICATE-----\nAAAA\n"
                      "-----END CERTIFICATE-----\n",
                      "application/pem-certificate-chain"),
        ["the CA gave a certificate that can't be used"]),
    "bytes that are not HTTP": (
        "order", b"SSH-2.0-OpenSSH_9.2\r\n", ['"localhost:14001"']),
    "two lengths": (
        "order", b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\n"
        b"Content-Length: 2\r\n\r\nxx", ['"localhost:14001"']),
    "an answer that is cut off": (
        "order", b"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{",
        ["closed before the answer was whole"]),
}


@pytest.mark.parametrize("what", SAYS)
def test_said_by_the_ca(nginx, dns, fakeca, what):
    step, reply, words = SAYS[what]
    ca = fakeca()
    ca.answer(step, reply, times=None)
    server = nginx(CONF % (RESOLVER + ca.directives
                           + "autocert_challenge http-01;", "example.com"))
    server.start()
    line = failed(server)

    for word in words:
        assert word in line, line
    assert f"CA: {ca.directory}" in line
    assert "\x1b" not in server.log() and "\0" not in server.log()
    assert serves().self_signed
    assert ca.wrong == []

    if "Retry-After" in getattr(reply, "headers", {}):
        wait = int(reply.headers["Retry-After"])
        assert wait - 10 <= seconds(line) <= wait + 1
    else:
        assert 40 <= seconds(line) <= 61

    ca.normal()
    mended(server, root=ca.root)
    assert state(server)["failures"] == 0 and not state(server).get("why")


@pytest.mark.parametrize("what", ["names", "key", "old"])
def test_certificate_of_something_else(nginx, dns, fakeca, what):
    ca = fakeca()
    issue, life = ca.issue, ca.life
    if what == "names":
        ca.issue = lambda o: issue(o, ["other.com"])
    elif what == "key":
        ca.issue = lambda o: issue(
            o, None, self_signed("x", "secp384r1").key.public_key())
    else:
        ca.life = -1

    server = nginx(CONF % (RESOLVER + ca.directives, "example.com")).start()
    line = failed(server)
    assert "the CA gave a certificate that can't be used: " in line
    assert serves().self_signed
    assert os.listdir(f"{server.dir}/store/example.com") == ["state.json"]

    ca.issue, ca.life = issue, life
    mended(server, root=ca.root)


def test_a_reload_after_a_while_is_a_try(nginx, dns, fakeca):
    """Not one within ten minutes: who reloads a lot asks a lot."""

    ca = fakeca()
    ca.answer("order", problem(400, "malformed", "no"), times=None)
    server = nginx(CONF % (RESOLVER + ca.directives, "example.com")).start()
    failed(server)
    ca.normal()

    n = len(ca.requests)
    server.reload()
    server.wait_gone(server.helpers()[:-1])
    assert len(ca.requests) == n

    now = int(time.time())
    edit(server, failed_at=now - 601, next_attempt=now + 3600)
    mark = server.mark()
    server.reload()
    server.wait_log('certificate of "example.com" issued', 60, since=mark)


# the store

def mount(path, size="1m"):
    os.makedirs(path, mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=700,size={size}",
                    "tmpfs", path], check=True)


@pytest.fixture
def disk(place):
    """A store of its own that may be full or read-only."""

    path = f"{place}/nginx/store"
    mount(path)
    yield path
    subprocess.run(["umount", "-l", path])


def remount(path, how):
    subprocess.run(["mount", "-o", f"remount,{how}", path], check=True)


def fill(path):
    fd = os.open(f"{path}/.ballast", os.O_CREAT | os.O_WRONLY)
    try:
        while os.write(fd, bytes(4096)):
            pass
    except OSError:
        pass
    finally:
        os.close(fd)


def due(authority, store, name="example.com"):
    """A pair in the store that is to be renewed at once."""

    pair = authority.issue(name, life=3600, age=30 * 86400)
    pair.store(store, name)
    return pair


def test_read_only_store(nginx, dns, fakeca, disk, authority):
    pair = due(authority, disk)
    before = snapshot(disk)
    remount(disk, "ro")
    ca = fakeca()
    server = nginx(CONF % (RESOLVER + ca.directives, "example.com")).start()

    line = server.wait_log(r"\[error\].*Read-only file system", 30)
    assert disk in line and "no certificate is obtained until" in line
    assert serves().der == pair.der
    assert len(server.grep(LOUD)) == 1
    assert ca.requests == []
    assert snapshot(disk) == before

    remount(disk, "rw")
    mended(server, root=ca.root, hurry=False)


def test_store_that_becomes_read_only(nginx, dns, fakeca, disk, authority):
    """In the middle of an order: with the new certificate in hand."""

    pair = due(authority, disk)
    before = snapshot(disk)
    here = f"{disk}/example.com"
    subprocess.run(["mount", "--bind", here, here], check=True)
    ca = fakeca()
    ca.before("cert", lambda r: remount(here, "bind,ro"))
    server = nginx(CONF % (RESOLVER + ca.directives, "example.com")).start()

    line = failed(server)
    assert 'no new certificate for "example.com"' in line
    assert "Read-only file system" in line
    assert serves().der == pair.der
    now = snapshot(disk)
    assert {k: now[k] for k in before} == before

    # the order is valid: nothing but the download is repeated
    ca.hooks.clear()
    subprocess.run(["umount", here], check=True)
    mark = server.mark()
    server.reload()
    server.wait_log('certificate of "example.com" renewed', 90, since=mark)
    assert tls.handshake("example.com", root=ca.root)
    assert len(ca.of("order")) == len(ca.of("finalize")) == 1
    assert ca.wrong == []


def test_no_place_for_the_store(nginx, dns, fakeca, place):
    parent = f"{place}/parent"
    mount(parent)
    remount(parent, "ro")
    ca = fakeca()
    server = nginx((CONF % (RESOLVER + ca.directives, "example.com"))
                   .replace("{dir}/store", f"{parent}/store")).start()
    try:
        line = server.wait_log(r"\[error\].*Read-only file system", 30)
        assert f"{parent}/store" in line and "looking again" in line
        assert serves().self_signed
        assert len(server.grep(LOUD)) == 1
        assert ca.requests == []

        remount(parent, "rw")
        mended(server, root=ca.root, hurry=False)
    finally:
        server.stop()
        subprocess.run(["umount", "-l", parent])


@pytest.mark.parametrize("when", ["start", "order", "key", "cert"])
def test_full_disk(nginx, dns, fakeca, disk, authority, when):
    pair = due(authority, disk)
    before = snapshot(disk)
    ca = fakeca()
    if when == "start":
        fill(disk)
    else:
        step = {"order": "order", "key": "challenge", "cert": "cert"}[when]
        ca.before(step, lambda r: fill(disk))
    server = nginx(CONF % (RESOLVER + ca.directives, "example.com")).start()

    line = server.wait_log(r"\[(warn|error)\].*No space left on device", 60)
    assert disk in line
    assert serves().der == pair.der
    # of each file once
    files = [re.search(r'could not write "([^"]+)": No space left', loud)[1]
             for loud in server.grep(LOUD)]
    assert len(set(files)) == len(files)
    now = snapshot(disk)
    assert {k: now[k] for k in before} == before
    assert not [f for f in now if "tmp" in f], "what was half written"

    ca.hooks.clear()
    os.unlink(f"{disk}/.ballast")
    mark = server.mark()
    server.reload()
    server.wait_log('certificate of "example.com" renewed', 90, since=mark)
    assert tls.handshake("example.com", root=ca.root)
    assert ca.wrong == []


def test_damaged_memory_of_a_name(nginx, dns, fakeca):
    """state.json of nonsense: told, and begun anew."""

    ca = fakeca()
    server = nginx(CONF % (RESOLVER + ca.directives, "example.com")).start()
    server.wait_log('certificate of "example.com" issued', 60)
    der = serves().der
    with open(f"{server.dir}/store/example.com/state.json", "w") as f:
        f.write('{"failures": ')

    mark = server.mark()
    server.reload()
    line = server.wait_log("what is remembered of", 30, since=mark)
    assert '"example.com"' in line and "state.json" in line
    assert serves().der == der
    assert len(ca.of("order")) == 1


def test_damaged_account(nginx, dns, fakeca):
    ca = fakeca()
    server = nginx(CONF % (RESOLVER + ca.directives, "example.com")).start()
    server.wait_log('certificate of "example.com" issued', 60)
    der = serves().der
    server.stop()

    store = f"{server.dir}/store"
    account, = (f"{store}/.accounts/{d}/account.key"
                for d in os.listdir(f"{store}/.accounts"))
    with open(account, "rb") as f:
        kept = f.read()
    with open(account, "wb") as f:
        f.write(b"nonsense")

    server.write(CONF % (RESOLVER + ca.directives, "example.com b.test"))
    mark = server.mark()
    server.start()
    line = failed(server, "b.test", since=mark)
    assert "account.key" in line
    assert serves().der == der
    with open(account, "rb") as f:
        assert f.read() == b"nonsense", "never overwritten"

    with open(account, "wb") as f:
        f.write(kept)
    mark = server.mark()
    server.reload()
    edit_if_there(server, "b.test")
    server.wait_log('certificate of "b.test" issued', 120, since=mark)
    assert len(ca.accounts) == 1


def edit_if_there(server, name):
    """An attempt that wrote no state is known to its helper alone."""

    if os.path.exists(f"{server.dir}/store/{name}/state.json"):
        edit(server, name, next_attempt=int(time.time()))
        server.reload()
