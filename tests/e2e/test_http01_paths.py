"""
HTTP-01 by real Pebble, with whatever a configuration has in its way, a server
for each; and paths that are almost a challenge's.
"""

import contextlib
import socket
import socketserver
import threading

import pytest

from support import tls
from support.wait import wait_for

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert_key_type secp256r1;
    autocert_challenge http-01;
    autocert on;
"""

BLOCK = """
    server {
        listen 127.0.0.1:80;
        listen 443 ssl;
        server_name %s.example.com;
        autocert on;
        %s
    }
"""

WAYS = {
    "redirect": "return 301 https://$host$request_uri;",
    "deny": "deny all;",
    "rewrite": "rewrite ^ /elsewhere last; location / { return 410; }",
    "exact": "location = /.well-known/acme-challenge/ { return 403; } "
             "location ^~ /.well-known/ { return 403; }",
    "silent": "return 444;",
    "filters": "sub_filter . x; sub_filter_types *; gzip on; charset utf-8; "
               "add_header X-More more always;",
    "basic": "auth_basic closed; auth_basic_user_file /dev/null;",
    "request": "auth_request /auth; location = /auth { return 403; }",
    "limit": "limit_req zone=none; limit_req_status 429;",
    "dotfiles": r"location ~ /\. { deny all; } location ~ ^/\.w { return 403; }",
    "proxy": "location / { proxy_pass http://127.0.0.1:9; }",
    "if": "if ($uri ~ acme) { return 403; }",
    "error": "error_page 403 404 =200 /fine; deny all;",
    "addition": "addition_types *; add_before_body /b; add_after_body /b; "
                "location = /b { return 200 b; }",
    "mirror": "mirror /m; location = /m { return 500; }",
}

# the request comes to a server of another kind than the name's own

TLS = """
    server {
        listen 443 ssl;
        server_name %s.example.com;
        autocert on;
    }
"""

OTHERS = {
    "default": """
        server { listen 127.0.0.1:80 default_server; server_name _;
                 return 444; }""",
    "plain": """
        server { listen 127.0.0.1:80; server_name plain.example.com;
                 return 301 https://$host$request_uri; }""",
    "v6": """
        server { listen [::1]:80; server_name v6.example.com;
                 return 404; }""",
    "behind": """
        server { listen 127.0.0.1:81 proxy_protocol;
                 server_name behind.example.com; deny all; }""",
}

# written otherwise, NGINX makes them what the CA asks for, or another path
SAME = ["/.well-known/acme-challenge/%{first:02x}{rest}",
        "/%2ewell-known/acme-challenge/{token}",
        "//.well-known//acme-challenge/{token}",
        "/a/../.well-known/acme-challenge/{token}"]

# 404: below the path, and no token; 400: NGINX's own

OTHER = {"/.well-known/acme-challenge/{token}%2f": 404,
         "/.well-known/acme-challenge/{token}%00": 400,
         "/.well-known/acme-challenge/{token}/../../x": 418,
         "/.well-known/acme-challenge/../{token}": 418,
         "/.well-known/acme-challenge/..%2f..%2f..%2fetc/passwd": 400,
         "/.well-known/acme-challenge/%252e%252e/{token}": 404,
         "/.well-known/acme-challenge/" + "A" * 4000: 404,
         "/.well-known/acme-challenge/{token}.{token}": 404,
         "/.well-known/acme-challenge": 418,
         "/x/.well-known/acme-challenge/{token}": 418}


@contextlib.contextmanager
def balancer(address, port):
    """At port 80 of the address; it speaks the PROXY protocol to the port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.rfile.readline()
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n" + head)
                self.wfile.write(s.makefile("rb").read())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server((address, 80), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


@pytest.mark.limit(300)
def test_many_servers_of_pebble(nginx, pebble, dns):
    ca = pebble()
    dns.set_a("v6.example.com", "127.0.0.99")       # nothing is there
    dns.set_aaaa("v6.example.com", "::1")
    dns.set_a("behind.example.com", "127.0.0.9")
    blocks = "".join(BLOCK % item for item in WAYS.items()) \
        + "".join(TLS % name + block for name, block in OTHERS.items())
    server = nginx("limit_req_zone $server_name zone=none:1m rate=1r/m;"
                   + CONF % ca.directives + blocks)

    # at its limit: this is the one that is let through
    server.start()
    tls.fetch("limit.example.com", port=80, tls=False)
    assert tls.fetch("limit.example.com", port=80, tls=False)[0] == 429

    with balancer("127.0.0.9", 81):
        all_issued(server, ca, [*WAYS, *OTHERS])


def all_issued(server, ca, ways):
    for way in ways:
        name = f"{way}.example.com"
        server.wait_log(f'certificate of "{name}" issued', 60)
        wait_for(lambda: not tls.handshake(name).self_signed, 20)
        assert tls.handshake(name, root=ca.root()).names == [name]

    assert ca.issued() == len(ways)
    assert len(server.grep("beginning the order for .* by http-01")) \
        == len(ways)
    assert not server.grep("no certificate for")


def test_almost_the_path(nginx, dns, fakeca):
    ca = fakeca()
    ca.hold("authz")
    server = nginx(CONF % ca.directives
                   + BLOCK % ("one", "location / { return 418 normal; }"))
    server.start()
    server.wait_log("awaiting the validation, name: one.example.com", 60)
    token = ca.orders[0]["token"]

    def get(path):
        path = path.format(token=token, first=ord(token[0]), rest=token[1:])
        status, _, body = tls.fetch("one.example.com", path, port=80,
                                    tls=False)
        return status, body

    for path in SAME:
        assert get(path) == (200, ca.expected()), path

    for path, expected in OTHER.items():
        status, body = get(path)
        assert status == expected, path
        assert ca.expected() not in body, path

    ca.release()
    server.wait_log('certificate of "one.example.com" issued', 60)

    for path in SAME:
        assert get(path) == (418, b"normal"), path
