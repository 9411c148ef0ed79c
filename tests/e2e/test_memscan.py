"""The memory scanner finds what is there, in each form, and only that."""

import subprocess
import sys

import pytest

from support import tls
from support.certs import key_pem, make_key, self_signed
from support.memory import Scan

# a process that holds, on its heap, the bytes that it is sent

HOLDER = """
import ctypes, sys
data = bytes.fromhex(sys.stdin.readline())
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
at = libc.malloc(ctypes.c_size_t(len(data) + 4096))
ctypes.memmove(at + 2048 + int(sys.argv[1]), data, len(data))
del data
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder():
    """holder(bytes, shift) -> pid"""

    running = []

    def hold(data, shift=0):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(shift)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(process)
        process.stdin.write(data.hex() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        return process.pid

    yield hold

    for process in running:
        process.kill()
        process.communicate(timeout=10)


def scalar(key, order):
    size = (key.curve.key_size + 7) // 8
    return key.private_numbers().private_value.to_bytes(size, order)


def test_nothing(holder):
    key = make_key()
    scan = Scan().key("key", key)
    pid = holder(b"nothing of that")
    assert scan(pid) == []
    assert int(scan.summary[pid].split()[0]) > 1000000


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1"])
def test_known_scalar(holder, curve, order):
    key = make_key(curve)
    found = Scan().key("key", key)(holder(scalar(key, order), shift=3))
    label = "key:scalar-be" if order == "big" else "key:scalar-le"
    assert label in {f.label for f in found}


def test_known_pem_and_der(holder):
    key = make_key()
    scan = Scan().key("key", key)
    assert "key:pem-PKCS8-line1" in {f.label for f in
                                     scan(holder(key_pem(key)))}


@pytest.mark.parametrize("order", ["big", "little"])
def test_unknown_scalar_by_its_point(holder, order):
    key, other = make_key(), make_key()
    pid = holder(scalar(key, order))
    scan = Scan().point("key", key.public_key()) \
                 .point("other", other.public_key())
    found = scan(pid)
    assert {f.label for f in found} == {"key"}
    assert f"scalar-{order}-endian" in {f.how for f in found}


@pytest.mark.limit(300)
def test_scalars_at_any_place(holder):
    """
    One every 40 bytes, so that each boundary of the scanner's own reads is
    crossed by one: none is missed, by its bytes or by its point.
    """

    key = make_key()
    n = 2 * 131072 // 40
    pid = holder((scalar(key, "big") + b"\x11" * 8) * n)

    for scan in (Scan().point("key", key.public_key()),
                 Scan().bytes("key", scalar(key, "big"))):
        at = {f.address for f in scan(pid)}
        starts = [a for a in at if a - 40 not in at]
        assert any(all(a + 40 * i in at for i in range(n)) for a in starts)


def test_bad_question():
    with pytest.raises(AssertionError, match="point"):
        Scan().point("key", b"\4" + b"\1" * 64)(1)


@pytest.mark.limit(300)
def test_stock_worker_holds_its_key(nginx):
    """What the scan has to find where a key is static."""

    server = nginx("""
        server {
            listen 443 ssl;
            ssl_certificate {dir}/cert.pem;
            ssl_certificate_key {dir}/key.pem;
        }
    """, modules=False, workers=1)
    pair = self_signed("example.com")
    pair.write(f"{server.dir}/cert.pem", f"{server.dir}/key.pem")
    server.start()
    peer = tls.handshake("example.com")

    pids = [server.master, *server.workers()]

    known = Scan().key("static", pair.key)(pids)
    assert {f.pid for f in known} == set(pids)

    unknown = Scan().point("static", peer.point)
    assert {f.pid for f in unknown(pids)} == set(pids)
    assert Scan().point("other", make_key().public_key())(pids) == []
