"""
The helper is killed at its n-th call that changes the store, in a first
issuance with a new account and in a renewal, against a real CA: the next one
finds what there is, goes on, and nothing is lost, nor asked for twice.
"""

import glob
import os
import shutil
from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding, PublicFormat, load_pem_private_key)

from support import tls
from support.certs import Authority
from support.crash import Crash
from support.engine import asleep, conf, state
from support.nginx import ASAN
from support.wait import wait_for

pytestmark = pytest.mark.skipif(bool(ASAN), reason="crash.so is preloaded")

NAME = "example.com"
FEW = 4             # kills of each in CI; all in check-deep


@pytest.fixture
def server(nginx, pebble, place):
    crash = Crash(place)
    server = nginx(env=crash.env, workers=1)
    server.allow("exited on signal 9")
    server.crash = crash
    server.ca = pebble()
    server.write(conf(server.ca))
    server.store = f"{server.dir}/store"
    crash.watch(server.store)
    return server


def key_id(path):
    with open(path, "rb") as f:
        key = load_pem_private_key(f.read(), None).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return urlsafe_b64encode(sha256(der).digest()).rstrip(b"=").decode()


def settled(server):
    """The pair is there, whole, and known for ours."""

    dir = f"{server.store}/{NAME}"
    if not os.path.exists(f"{dir}/privkey.pem") \
            or os.path.exists(f"{dir}/privkey.next.pem"):
        return False

    kept = state(server)
    known = kept.get("next_key") if kept.get("order") else kept.get("key")
    return known == key_id(f"{dir}/privkey.pem")


def check(server):
    """A pair of the CA's that matches, in files that are wanted."""

    peer = tls.handshake(NAME, root=server.ca.root())
    with open(f"{server.store}/{NAME}/privkey.pem", "rb") as f:
        key = load_pem_private_key(f.read(), None)
    assert key.public_key().public_numbers() == \
        peer.cert.public_key().public_numbers()

    for dir, _, files in os.walk(server.store):
        stray = [f for f in files if f.startswith(".tmp.")]
        assert len(stray) < 2, (dir, stray)

    wanted = {"fullchain.pem", "privkey.pem", "state.json"}
    assert wanted == {f for f in os.listdir(f"{server.store}/{NAME}")
                      if not f.startswith(".tmp.")}


def first(server):
    shutil.rmtree(server.store, ignore_errors=True)


def renewal(server):
    """With the account that there is."""

    if not os.path.exists(server.store):
        run(server, 0, lambda s: None)

    shutil.rmtree(f"{server.store}/{NAME}")
    for budget in glob.glob(f"{server.store}/.accounts/*/issued/*.json"):
        os.unlink(budget)

    Authority().issue(NAME, life=3600, age=30 * 86400) \
        .store(server.store, NAME)


def run(server, n, prepare):
    """Killed at the n-th call; returns how many there are if it is not."""

    prepare(server)
    issued = server.ca.issued()
    server.crash.kill(n)
    server.start()

    if n:
        server.crash.died(60)
        server.crash.set(at=0)

    wait_for(lambda: settled(server)
             and (n or not state(server).get("order")), 60,
             lambda: f"settled: {state(server)}, call {n}")
    check(server)
    assert server.ca.issued() - issued == 1, f"call {n}"

    if n == 0:
        # it has still to write down what it remembers of the CA
        asleep(server.helper())

    calls = server.crash.calls
    server.stop()

    return calls


def kills(server, prepare, deep):
    calls = run(server, 0, prepare)
    assert calls > 40

    for n in range(1, calls + 1, 1 if deep else calls // FEW):
        run(server, n, prepare)


@pytest.mark.limit(1800)
@pytest.mark.parametrize("prepare", [first, renewal])
@pytest.mark.parametrize("deep", [
    False, pytest.param(True, marks=pytest.mark.deep)], ids=["few", "every"])
def test_killed(server, prepare, deep):
    kills(server, prepare, deep)


def test_known_for_ours(server):
    """
    Killed between the commit and what is remembered of it: as obtained, not
    as a pair that was put there by hand.
    """

    server.crash.set(committed=1)
    server.start()
    server.crash.died()
    wait_for(lambda: state(server).get("key"), 60,
             lambda: f"{state(server)}")
    assert settled(server)
    check(server)

    kept = state(server)
    assert kept["issuer"] == server.ca.directory
    assert kept["account"].startswith("https://") and kept["issued_at"]
    assert server.ca.issued() == 1
    assert not server.grep("certificate of .* issued")
