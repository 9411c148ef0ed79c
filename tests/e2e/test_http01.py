"""HTTP-01 is answered ahead of all that is configured, and only as long."""

import concurrent.futures
import os
import re
import socket
import ssl
import time

import pytest

from support import tls
from support.wait import wait_for

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert_challenge http-01;
    autocert on;
    %s
"""

TLS = """
    server {
        listen 443 ssl;
        server_name example.com;
        autocert on;
    }
"""

BOTH = """
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com;
        autocert on;
        %s
    }
"""

WAYS = {
    "redirect": BOTH % "return 301 https://$host$request_uri;",
    "rewrite": BOTH % "rewrite ^ /elsewhere last; location / { return 410; }",
    "deny": BOTH % "deny all; location / { deny all; }",
    "auth": BOTH % """auth_basic closed; auth_basic_user_file /dev/null;
                      location / { root /nowhere; }""",
    "location": BOTH % """location ^~ /.well-known/acme-challenge/ {
                          return 200 "wrong"; }""",
    "regex": BOTH % """location ~ ^/.well-known/ { return 200 "wrong"; }
                       location ~ /\\. { deny all; }""",
    "proxy": BOTH % "location / { proxy_pass http://127.0.0.1:9; }",
    "auth_request": BOTH % """auth_request /auth;
        location = /auth { internal; return 403; }""",
    "exact": BOTH % """location = /.well-known/acme-challenge/x { return 200; }
                       location /.well-known/acme-challenge { return 403; }
                       location ~ /\\.(?!x) { deny all; }""",
    "mirror": BOTH % "mirror /m; location = /m { return 500; }",
    "if": BOTH % "if ($uri ~ acme) { return 403; }",
    "default server": TLS + """
        server { listen 80 default_server; server_name _; return 444; }
    """,
    "server without autocert": TLS + """
        server { listen 80; server_name example.com;
                 return 301 https://$host$request_uri; }
    """,
    "another default": BOTH % "" + """
        server { listen 80 default_server; server_name other.com;
                 deny all; }
    """,
    "filters": BOTH % """
        gzip on; gzip_min_length 0; gzip_types *; gunzip on; charset utf-8;
        add_header X-More more always; expires 30d; etag on;
        sub_filter_types *; sub_filter_once off; sub_filter . x;
        add_before_body /before; add_after_body /after; addition_types *;
        ssi on; ssi_types *; limit_rate 1; chunked_transfer_encoding on;
        location = /before { return 200 "before"; }
        location = /after { return 200 "after"; }
    """,
    "limits": """
        limit_req_zone $server_name zone=none:1m rate=1r/m;
        limit_conn_zone $server_name zone=few:1m;
    """ + BOTH % """
        limit_req zone=none; limit_conn few 1; client_max_body_size 1;
        client_body_timeout 1s; keepalive_timeout 0; satisfy all;
        error_page 404 403 = @other; location @other { return 402; }
    """,
}


def http(path, method="GET", host="example.com", body=b"", more=""):
    """The bytes that come back."""

    with socket.create_connection(("127.0.0.1", 80), 10) as s:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}"
                  f"{more}Connection: close\r\n\r\n".encode() + body)
        answer = b""
        while True:
            data = s.recv(65536)
            if not data:
                return answer
            answer += data


@pytest.fixture
def waiting(nginx, dns, fakeca):
    """An order whose validation lasts: (server, ca, path), token is up."""

    def begin(servers):
        ca = fakeca()
        ca.hold("authz")
        server = nginx(CONF % (ca.directives, servers)).start()
        server.wait_log("awaiting the validation, name: example.com", 60)
        return (server, ca,
                "/.well-known/acme-challenge/" + ca.orders[0]["token"])

    return begin


@pytest.mark.parametrize("way", WAYS)
def test_ahead_of(waiting, way):
    server, ca, path = waiting(WAYS[way])

    for n in range(3):
        answer = http(path, more="Accept-Encoding: gzip\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split(b"\r\n")[0] == b"HTTP/1.1 200 OK", answer
        assert body == ca.expected()
        assert b"X-More" not in head and b"Encoding" not in head

    ca.release()
    server.wait_log('certificate of "example.com" issued', 60)
    assert tls.handshake("example.com", root=ca.root).names \
        == ["example.com"]
    assert ca.wrong == []


def test_methods_and_others(waiting):
    server, ca, path = waiting(BOTH % 'location / { return 418 "normal"; }')

    whole = http(path)
    head = whole[:-len(ca.expected())]
    assert whole == head + ca.expected()
    assert b"\r\nContent-Type: application/octet-stream\r\n" in head
    assert f"\r\nContent-Length: {len(ca.expected())}\r\n".encode() in head
    assert http(path, "HEAD") == head

    for method in "POST", "PUT", "DELETE":
        answer = http(path, method, body=b"x" * 100)
        assert answer.startswith(b"HTTP/1.1 405 "), answer
        assert ca.expected() not in answer

    # with a body, with a port, in capitals, over HTTP/1.0
    assert http(path, body=b"y" * 1000) == whole
    assert http(path, host="example.com:80") == whole
    assert http(path, host="EXAMPLE.com") == whole
    assert http(path + "?query") == whole

    with socket.create_connection(("127.0.0.1", 80), 10) as s:
        s.sendall(f"GET {path} HTTP/1.0\r\nHost: example.com\r\n\r\n"
                  .encode())
        assert s.makefile("rb").read() == whole

    # what is not it goes its normal way
    for other, host in ((path[:-1], "example.com"), (path + "x", "example.com"),
                        (path, "other.com"),
                        (path.replace("acme", "Acme"), "example.com"),
                        ("/.well-known/acme-challenge/", "example.com"),
                        ("/", "example.com")):
        answer = http(other, host=host)
        assert answer.startswith(b"HTTP/1.1 418 "), (other, host, answer)
        assert answer.endswith(b"normal")

    ca.release()
    server.wait_log('certificate of "example.com" issued', 60)

    # now the token is as any other
    assert http(path).startswith(b"HTTP/1.1 418 ")


def test_refused_whatever_error_page_says(waiting):
    server, ca, path = waiting(BOTH % """
        error_page 404 405 =200 /fine;
        location = /fine { return 200 "fine"; }
        location / { return 418; }""")
    place = "/.well-known/acme-challenge/"

    for target, method, status in ((path, "POST", b"405 Not Allowed"),
                                   (place + "A", "GET", b"404 Not Found"),
                                   (place + "A", "POST", b"404 Not Found"),
                                   (place + "A", "HEAD", b"404 Not Found")):
        head, _, body = http(target, method, body=b"x" * (method == "POST")) \
            .partition(b"\r\n\r\n")
        assert head.split(b"\r\n")[0] == b"HTTP/1.1 " + status
        assert (b"\r\nAllow: GET, HEAD" in head) == status.startswith(b"405")
        assert body == b""

    assert http(path).endswith(b"\r\n\r\n" + ca.expected())


@pytest.mark.parametrize("listen, address, port, before", [
    ("listen [::]:80 ipv6only=off;", "::1", 80, b""),
    ("listen [::1]:80; listen 127.0.0.1:80;", "::1", 80, b""),
    ("listen 80; listen 81 proxy_protocol;", "127.0.0.1", 81,
     b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n")])
def test_listeners(waiting, listen, address, port, before):
    server, ca, path = waiting(TLS + """
        server { %s server_name example.com; return 444; }""" % listen)

    with socket.create_connection((address, port), 10) as s:
        s.sendall(before + f"GET {path} HTTP/1.1\r\nHost: example.com\r\n"
                  "\r\n".encode())
        assert s.makefile("rb").read().endswith(b"\r\n\r\n" + ca.expected())


def test_two_hundred_at_a_time(waiting):
    """A CA asks from several places, and again; all get it."""

    server, ca, path = waiting(BOTH % "return 404 none;")

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda n: http(path), range(200)))

    assert len(answers) == 200
    assert all(a.endswith(b"\r\n\r\n" + ca.expected()) for a in answers)
    ca.release()
    server.wait_log('certificate of "example.com" issued', 60)


# no tokens: their length, their alphabet
NONE = ["A", "A" * 15, "A" * 129, "A" * 4000, "A" * 20 + "+", "A" * 20 + "=",
        "A" * 20 + ".", "A" * 20 + "%2f", "A" * 20 + "/x", "A" * 20 + "%00",
        "A" * 20 + "%ff", "A" * 20 + "%c3%a9", "%2e%2e", "index.html"]


@pytest.mark.parametrize("host", ["example.com", "other.com"])
def test_no_token(waiting, host):
    """
    Refused where a challenge is pending for the host; any other host's, and
    what could be a token of another ACME client's, goes its normal way.
    """

    server, ca, path = waiting(BOTH % 'location / { return 418 "normal"; }')
    place = "/.well-known/acme-challenge/"
    status = b"404" if host == "example.com" else b"418"

    for token in NONE:
        answer = http(place + token, host=host)
        if token.endswith("%00"):
            assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404"))
            continue
        if token == "%2e%2e":
            assert answer.startswith(b"HTTP/1.1 418"), answer
            continue
        assert answer.startswith(b"HTTP/1.1 " + status), (token, answer)

    assert http(place + "A" * 43, host=host).endswith(b"normal")

    ca.release()
    server.wait_log('certificate of "example.com" issued', 60)
    assert http(place + "A", host=host).endswith(b"normal")


def keepers(helper, n):
    """
    How often the helper's threads were woken, which sleep: one for each of n
    workers, and the door's.
    """

    def twice():
        first = switches(helper)
        time.sleep(0.05)
        return len(first) == n + 1 and switches(helper) == first and first

    return wait_for(twice, 20, "the helper's threads at rest")


def switches(helper):
    woken = {}
    for task in os.listdir(f"/proc/{helper}/task"):
        if int(task) != helper:
            with open(f"/proc/{helper}/task/{task}/status") as f:
                [n] = re.findall(r"^voluntary_ctxt_switches:\s*(\d+)",
                                 f.read(), re.M)
            woken[task] = n
    return woken


def test_floods_end_in_the_workers(waiting):
    """Neither wrong paths nor acme-tls/1 come to the helper."""

    server, ca, path = waiting(BOTH % "return 404 none;")
    tls.handshake("example.com")
    before = keepers(server.helper(), server.n)

    for n in range(300):
        http("/.well-known/acme-challenge/" + "A" * (n % 60))
        with pytest.raises(ssl.SSLError):
            tls.handshake("example.com", alpn=["acme-tls/1"])

    assert keepers(server.helper(), server.n) == before
    tls.handshake("example.com")
    assert keepers(server.helper(), server.n) != before


def test_there_before_and_gone_after(nginx, dns, fakeca):
    """The CA looks at the URL at each of its steps."""

    ca = fakeca()
    seen = {}

    def look(request):
        if ca.orders:
            seen.setdefault(request.step, []).append(ca.fetch()[::2])

    for step in "authz", "challenge", "finalize", "status", "cert":
        ca.before(step, look)

    server = nginx(CONF % (ca.directives, BOTH % "return 404 none;")).start()
    server.wait_log('certificate of "example.com" issued', 60)

    there, none = (200, ca.expected()), (404, b"none")
    assert seen["challenge"] == [there]
    assert seen["authz"][0] == none
    assert seen["authz"][1:] and set(seen["authz"][1:]) == {there}
    assert seen["finalize"] == [none]
    assert set(seen["status"]) == {none}
    assert seen["cert"] == [none]


def test_gone_after_a_failed_validation(waiting):
    server, ca, path = waiting(BOTH % "return 404 none;")
    assert http(path).endswith(ca.expected())

    with ca.lock:
        ca.orders[0].update(
            authz="invalid", challenge="invalid", order="invalid",
            error={"type": "urn:ietf:params:acme:error:connection",
                   "detail": "Timeout during connect (likely firewall)"})

    line = server.wait_log('no certificate for "example.com"', 60)
    assert "Timeout during connect (likely firewall)" in line
    assert http(path).endswith(b"none")


def test_answered_across_a_reload(waiting):
    """New workers, and both helpers, with the validation under way."""

    server, ca, path = waiting(BOTH % "return 404 none;")

    for n in range(3):
        server.reload()
        assert http(path).endswith(ca.expected())

    server.wait_log("going on with the order", 60)
    ca.release()
    server.wait_log('certificate of "example.com" issued', 60)
    assert http(path).endswith(b"none")
    assert len(ca.of("order")) == 1
