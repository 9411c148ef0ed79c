"""
HTTP-01 with several names and servers at a time, by real Pebble; and paths
that are almost a challenge's.
"""

import pytest

from support import tls
from support.wait import wait_for

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert_key_type secp256r1;
    autocert on;
"""

BLOCK = """
    server {
        listen 80;
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
}

# written otherwise, NGINX makes them what the CA asks for, or another path
SAME = ["/.well-known/acme-challenge/%{first:02x}{rest}",
        "/%2ewell-known/acme-challenge/{token}",
        "//.well-known//acme-challenge/{token}",
        "/a/../.well-known/acme-challenge/{token}"]

OTHER = ["/.well-known/acme-challenge/{token}%2f",
         "/.well-known/acme-challenge/{token}%00",
         "/.well-known/acme-challenge/{token}/../../x",
         "/.well-known/acme-challenge/../{token}",
         "/.well-known/acme-challenge/..%2f..%2f..%2fetc/passwd",
         "/.well-known/acme-challenge/%252e%252e/{token}",
         "/.well-known/acme-challenge/" + "A" * 4000,
         "/.well-known/acme-challenge/{token}.{token}",
         "/.well-known/acme-challenge",
         "/x/.well-known/acme-challenge/{token}"]


@pytest.mark.limit(180)
def test_many_servers_of_pebble(nginx, pebble):
    ca = pebble()
    blocks = "".join(BLOCK % item for item in WAYS.items())
    server = nginx(CONF % ca.directives + blocks).start()

    for way in WAYS:
        name = f"{way}.example.com"
        server.wait_log(f'certificate of "{name}" issued', 60)
        wait_for(lambda: not tls.handshake(name).self_signed, 20)
        assert tls.handshake(name, root=ca.root()).names == [name]

    assert ca.issued() == len(WAYS)
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

    for path in OTHER:
        status, body = get(path)
        assert status in (400, 404, 418), path
        assert ca.expected() not in body, path

    ca.release()
    server.wait_log('certificate of "one.example.com" issued', 60)

    for path in SAME:
        assert get(path) == (418, b"normal"), path
