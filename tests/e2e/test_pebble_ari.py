"""
Renewal windows (RFC 9773) of Pebble's own, which from 2.8 on says what it is
told to; a real revocation, and a real refusal of `replaces`.
"""

import json
import re
import shutil
import ssl
import time
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from support.engine import DATE, DAY, conf, instant, issued, settled, state
from support.fakeca import b64
from support.proxy import date
from support.wait import wait_for

pytestmark = pytest.mark.ari

BETWEEN = (f'the CA wants "example.com" renewed between {DATE} and {DATE}, '
           f'it will be at {DATE}')
AT_ONCE = 'the CA wants "example.com" renewed at once'
RENEWED = 'certificate of "example.com" renewed'
LOOK = 9 * 3600         # Pebble says six hours


@pytest.fixture
def ca(proxy):
    ca = proxy(validity=90 * DAY)
    ca.windows_of_pebble()
    return ca


@pytest.fixture
def server(nginx, ca, clock):
    """It has a certificate, and has asked when to renew it."""

    server = nginx(conf(ca), env=clock.env).start()
    issued(server)
    server.wait_log(BETWEEN, 30)
    settled(server)
    return server


def certificate(server):
    with open(f"{server.dir}/store/example.com/fullchain.pem", "rb") as f:
        return x509.load_pem_x509_certificate(f.read())


def says(ca, server, text):
    """This is what Pebble answers from now on for this certificate."""

    pem = certificate(server).public_bytes(serialization.Encoding.PEM)
    ca.pebble.post("/set-renewal-info/", Certificate=pem.decode(),
                   ARIResponse=text)


def window(start, end, **more):
    now = time.time()
    return json.dumps({"suggestedWindow": {"start": date(now + start * DAY),
                                           "end": date(now + end * DAY)},
                       **more})


def looks(server, ca, clock):
    n = ca.count("renewal-info")
    clock.skip(server, LOOK)
    wait_for(lambda: ca.count("renewal-info") > n, 30, "asked again")


def revoke(ca, server):
    """RFC 8555, 7.6: signed with the key of the certificate."""

    context = ssl.create_default_context(cafile=ca.trust)

    def ask(path, data=None, method=None):
        request = urllib.request.Request(
            ca.base + path, data, method=method,
            headers={"Content-Type": "application/jose+json",
                     "User-Agent": "test"})
        return urllib.request.urlopen(request, timeout=10, context=context)

    with open(f"{server.dir}/store/example.com/privkey.pem", "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)
    point = key.public_key().public_numbers()
    header = b64(json.dumps({
        "alg": "ES256", "url": f"{ca.base}/revoke-cert",
        "nonce": ask("/nonce-plz", method="HEAD").headers["Replay-Nonce"],
        "jwk": {"kty": "EC", "crv": "P-256",
                "x": b64(point.x.to_bytes(32, "big")),
                "y": b64(point.y.to_bytes(32, "big"))}}).encode())
    payload = b64(json.dumps({"certificate": b64(certificate(
        server).public_bytes(serialization.Encoding.DER))}).encode())
    r, s = utils.decode_dss_signature(
        key.sign(f"{header}.{payload}".encode(), ec.ECDSA(hashes.SHA256())))
    body = {"protected": header, "payload": payload,
            "signature": b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))}
    assert ask("/revoke-cert", json.dumps(body).encode()).status == 200


def replaced(ca):
    return [r.payload.get("replaces") for r in ca.of("order")]


def test_chosen(ca, server, clock):
    """About a third of the life before its end; then it is renewed."""

    line = server.grep(BETWEEN)[0]
    start, end, at = map(instant, re.search(BETWEEN, line).groups())
    whole = certificate(server)
    assert whole.not_valid_before_utc.timestamp() <= start <= at <= end
    assert end <= whole.not_valid_after_utc.timestamp()
    assert state(server)["renew_at"] == at

    clock.skip(server, at - clock.now() - 3600)
    settled(server)
    assert ca.count("order") == 1
    clock.skip(server, 3700)
    server.wait_log(RENEWED, 30)
    assert replaced(ca)[0] is None and replaced(ca)[1]
    assert [r.status for r in ca.of("order")] == [201, 201]


def test_past(ca, server, clock):
    """Said with a reason; Pebble takes what is to replace it."""

    says(ca, server, window(-2, -1, explanationURL="https://ca.test/why"))
    looks(server, ca, clock)
    line = server.wait_log(AT_ONCE, 30)
    assert "[notice]" in line and "see https://ca.test/why" in line
    server.wait_log(RENEWED, 30)
    settled(server)
    asked = ca.of("renewal-info")[0].path.rpartition("/")[2]
    assert replaced(ca) == [None, asked]
    assert [r.status for r in ca.of("order")] == [201, 201]

    # of the new one Pebble says something else
    assert len(server.grep(BETWEEN)) == 2


def test_absurd(ca, server, clock):
    says(ca, server, window(20, 10))
    looks(server, ca, clock)
    line = server.wait_log("makes no sense and is ignored", 30)
    assert "[warn]" in line
    settled(server)
    assert not state(server).get("renew_at")
    assert ca.count("order") == 1


@pytest.mark.parametrize("text", [
    "{", "<html>", "{}", '{"suggestedWindow":{"start":"soon","end":"late"}}'])
def test_broken(ca, server, clock, text):
    """What was chosen stands, and nobody waits."""

    at = state(server)["renew_at"]
    says(ca, server, text)
    looks(server, ca, clock)
    server.wait_log('window of "example.com" could not be asked for', 30)
    settled(server)
    assert state(server)["renew_at"] == at
    assert not state(server).get("failures")

    says(ca, server, window(-2, -1))
    looks(server, ca, clock)
    server.wait_log(RENEWED, 30)


def test_revoked(ca, server, clock):
    serial = certificate(server).serial_number
    revoke(ca, server)
    looks(server, ca, clock)
    server.wait_log(AT_ONCE, 30)
    server.wait_log(RENEWED, 30)
    settled(server)
    assert certificate(server).serial_number != serial
    assert ca.count("order") == 2


def test_replaced_already(ca, server, clock):
    """A store that was put back: what it has was renewed before."""

    here = f"{server.dir}/store/example.com"
    server.stop()
    shutil.copytree(here, f"{server.dir}/before")
    server.start()
    says(ca, server, window(-2, -1))
    looks(server, ca, clock)
    server.wait_log(RENEWED, 30)

    server.stop()
    shutil.rmtree(here)
    shutil.copytree(f"{server.dir}/before", here)
    mark = server.mark()
    server.start()
    server.wait_log(AT_ONCE, 30, since=mark)
    server.wait_log(RENEWED, 30, since=mark)

    first, second, third, fourth = replaced(ca)
    assert first is None and second == third and fourth is None
    assert [r.status for r in ca.of("order")] == [201, 201, 409, 201]
