"""$autocert_name and those of the certificate that a connection has."""

import re
import ssl
import time

import pytest

from support import tls
from support.certs import self_signed

DAY = 86400

CONF = """
    resolver 127.0.0.1;
    autocert_ca https://127.0.0.1:1/dir;
    autocert_path {dir}/store;
    autocert on admin@example.com;

    map $autocert_days_left $soon {
        default        later;
        ~^-            over;
        ~^[0-9]$       soon;
        ""             none;
    }

    log_format autocert "$request_uri: $autocert_name $autocert_state "
                        "$autocert_not_after $autocert_days_left";
    access_log {dir}/autocert.log autocert;

    add_header X-Name $autocert_name;
    add_header X-State $autocert_state;
    add_header X-Not-After $autocert_not_after;
    add_header X-Days-Left $autocert_days_left;
    add_header X-Soon $soon;

    server {
        listen 80;
        listen 127.0.0.1:443 ssl;
        server_name good.example soon.example over.example new.example;
        autocert on;
        location / { return 200 "good\\n"; }
    }

    server {
        listen 127.0.0.1:443 ssl;
        server_name other.example;
        ssl_certificate {dir}/other.pem;
        ssl_certificate_key {dir}/other.key;
        location / { return 200 "other\\n"; }
    }
"""


@pytest.fixture
def server(nginx):
    server = nginx(CONF)
    self_signed("other.example").write(f"{server.dir}/other.pem",
                                       f"{server.dir}/other.key")
    server.pairs = {
        name: self_signed(name, age=age * DAY, life=life * DAY + 600,
                          kind="secp384r1")
        for name, age, life in [("good.example", 30, 60),
                                ("soon.example", 80, 9),
                                ("over.example", 90, -1)]}
    for name, pair in server.pairs.items():
        pair.store(f"{server.dir}/store", name)
    server.start()
    server.wait_log("signing for worker")
    return server


def headers(sni, **options):
    """The X- headers of a response, by their names without it."""

    found = tls.fetch(sni, **options)[1]
    return {key[2:]: value for key, value in found.items()
            if key.startswith("x-")}


def known(name):
    """As headers(), once the helper has looked at the name."""

    end = time.monotonic() + 20
    while True:
        found = headers(name)
        if "not-after" in found or time.monotonic() > end:
            return found
        time.sleep(0.05)


def test_headers(server):
    cert = server.pairs["good.example"].cert

    assert known("good.example") == {
        "name": "good.example", "state": "valid",
        "not-after": cert.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "days-left": "60", "soon": "later"}
    assert known("soon.example")["soon"] == "soon"

    over = known("over.example")
    assert over["days-left"] == "-1" and over["soon"] == "over"


def test_nothing(server):
    """No certificate yet; no TLS; a server without autocert."""

    found = headers("new.example")
    assert found["name"] == "new.example"
    assert found["state"] in ("waiting", "issuing", "held", "failing")
    assert "not-after" not in found and "days-left" not in found
    assert found["soon"] == "none"

    for found in (headers("good.example", port=80, tls=False),
                  headers("other.example")):
        assert found == {"soon": "none"}


def test_host(server):
    """It is the handshake's name, whatever the request says."""

    known("good.example")
    assert headers("good.example", host="soon.example")["name"] \
        == "good.example"
    assert headers("good.example", host="other.example")["name"] \
        == "good.example"
    assert headers("other.example", host="good.example") == {"soon": "none"}


def test_resumed(server):
    """Likewise of a handshake that needs no certificate."""

    known("good.example")
    context = tls.client_context(version=ssl.TLSVersion.TLSv1_2)
    session, reused, answer = tls.resume(context, "good.example")
    assert not reused
    _, reused, answer = tls.resume(context, "good.example", session)
    assert reused and b"X-Name: good.example\r\n" in answer


def test_log(server):
    known("soon.example")
    headers("good.example", port=80, tls=False)
    server.stop()

    with open(f"{server.dir}/autocert.log") as f:
        lines = f.read().splitlines()

    assert re.fullmatch(r"/: soon.example \S+ \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
                        "9", lines[-2])
    assert lines[-1] == "/: - - - -"
