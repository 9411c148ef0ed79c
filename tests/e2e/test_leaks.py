"""
No secret reaches a log.  That of each server of each test is looked at when
its test ends, by the fixture "nginx"; here is what these looks find.
"""

import base64
import glob
import os

import pytest
from cryptography.hazmat.primitives import serialization

from support import engine, leaks
from support.fakeca import problem

@pytest.fixture
def served(nginx, dns, fakeca):
    """A server with a certificate, all that it logs, its CA."""

    ca = fakeca()
    server = nginx(engine.conf(ca), log_level="debug").start()
    engine.issued(server)
    return server, ca


def store_keys(server):
    found = list(leaks.keys(f"{server.dir}/store"))
    assert len(found) >= 2
    return found


def written(key, encoding, form):
    """As a careless line would have it."""

    if encoding == "scalar":
        raw = key.private_numbers().private_value.to_bytes(
            (key.curve.key_size + 7) // 8, "big")
    else:
        raw = key.private_bytes(serialization.Encoding.DER, encoding,
                                serialization.NoEncryption())
    return {"hex": raw.hex(), "base64": base64.b64encode(raw).decode(),
            "base64url": base64.urlsafe_b64encode(raw).decode()}[form]


def line(text, level="info"):
    return f"2026/11/27 08:00:00 [{level}] 7#7: autocert: {text}, name: x\n"


def test_the_log_of_a_whole_order_has_none(served):
    server, _ = served
    assert os.path.getsize(server.log_path) > 10000
    leaks.check(server, [])


FORMS = "hex", "base64", "base64url"
ENCODINGS = ("scalar", serialization.PrivateFormat.TraditionalOpenSSL,
             serialization.PrivateFormat.PKCS8)


def test_a_key_is_found(served):
    server, _ = served
    known = leaks.known([server.dir])

    for key in store_keys(server):
        for encoding in ENCODINGS:
            for form in FORMS:
                text = written(key, encoding, form)
                for level in "debug", "info":
                    bad = leaks.found(line(text, level), known)
                    assert bad and "a private key" in bad[0]


def test_a_key_that_is_gone_is_found(served):
    """By its shape, where it is no longer in the store."""

    for key in store_keys(served[0]):
        pem = key.private_bytes(serialization.Encoding.PEM,
                                serialization.PrivateFormat.PKCS8,
                                serialization.NoEncryption()).decode()
        assert leaks.found(line(pem), {})
        for encoding in ENCODINGS[1:]:
            for form in "hex", "base64":
                assert leaks.found(line(written(key, encoding, form)), {})


def test_a_key_authorization_is_found(served):
    server, _ = served
    known = leaks.known([server.dir])
    path = glob.glob(f"{server.dir}/store/.accounts/*/account.key")[0]
    with open(path, "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)
    thumbprint = leaks.thumbprint(key)

    for token in "short", "D" * 43:
        assert leaks.found(line(f"{token}.{thumbprint}", "debug"), known)
    assert leaks.found(line(f"{'D' * 43}.{thumbprint}"), {})


def test_a_nonce_is_found(served):
    _, ca = served
    assert leaks.NONCES
    for nonce in list(leaks.NONCES)[:3]:
        assert leaks.found(line(f"sent {nonce}"), {})
        assert leaks.found(line(f"sent {nonce}", "debug"), {}) == []
    assert leaks.found(line("Replay-Nonce: oFvnlFP1wIhRlYS2jTaXbA"), {})


@pytest.mark.parametrize("text", [
    "no secret here: https://ca/acme/new-nonce",
    "GET /.well-known/acme-challenge/" + "D" * 43,
    "modules/ngx_http_autocert_module.so and a.very-long-name-of-a-host.test",
])
def test_what_is_none(text):
    assert leaks.found(line(text), {}) == []


def test_the_fixture_looks(served):
    """Whatever file it is in."""

    server, _ = served
    key = store_keys(server)[0]
    with open(f"{server.dir}/other.log", "a") as f:
        f.write(line(written(key, "scalar", "hex"), "debug"))

    with pytest.raises(AssertionError, match="a private key"):
        leaks.check(server, [])

    os.remove(f"{server.dir}/other.log")


def test_the_words_of_the_ca_are_cut(nginx, dns, fakeca):
    """Boulder quotes the key authorization that it has expected."""

    token = "D" * 43
    ca = fakeca()
    ca.answer("order", problem(403, "unauthorized", "The key authorization "
                               "file from the server did not match this "
                               f'challenge. Expected "{token}.{"t" * 43}" '
                               '(got "nothing")'), times=None)
    server = nginx(engine.conf(ca)).start()
    assert f'Expected "{token}..." (got "nothing")' in engine.failed(server)
    assert "ttt" not in server.log()
    assert "ttt" not in str(engine.state(server))
