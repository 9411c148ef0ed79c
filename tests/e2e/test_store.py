"""Certificates put into the store by hand, and stores that are bad."""

import base64
import os
import re
import shutil
import stat

import pytest

from support import tls
from support.certs import Authority, self_signed
from support.wait import wait_for

HTTP = """
    autocert_path {dir}/store;
    server {
        listen 443 ssl;
        server_name example.com www.example.com;
        autocert on;
    }
"""

NAMES = ["example.com", "www.example.com"]

SWEEP = 10          # s, the most that a new pair waits for
SLACK = 10          # s, for a machine that is busy


@pytest.fixture
def server(nginx):
    server = nginx(HTTP)
    server.store = f"{server.dir}/store"
    return server


def der(name="example.com"):
    return tls.handshake(name).der


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def read(path):
    with open(path, "rb") as f:
        return f.read()


# made


def test_made(server):
    server.start()
    wait_for(lambda: os.path.isdir(server.store), 10, "a store")
    assert mode(server.store) == 0o700
    assert os.stat(server.store).st_uid == 0
    assert tls.handshake("example.com").self_signed


def test_not_made_by_a_test_of_the_configuration(server):
    assert server.test().returncode == 0
    assert not os.path.exists(server.store)


# put there by hand


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1"])
def test_served_from_the_first_handshake(server, authority, curve):
    """With its whole chain, and to each worker's first client."""

    pair = authority.issue("example.com", curve)
    pair.store(server.store, "example.com")

    server.start(ready=False)
    assert der() == pair.der

    peer = tls.handshake("example.com", root=authority.pem)
    assert peer.curve == curve

    shown = tls.s_client("-showcerts", name="example.com")
    assert shown.count("BEGIN CERTIFICATE") == 2

    assert tls.handshake("www.example.com").self_signed
    assert not server.grep("set aside|can't be used")


def test_replaced_while_running(server):
    """Served by the same workers, without a reload, and no handshake fails."""

    old = self_signed("example.com")
    old.store(server.store, "example.com")
    server.start()
    workers, helper = server.workers(), server.helper()

    with tls.HandshakeStream("example.com") as stream:
        stream.wait(20)

        for curve in "secp384r1", "secp256r1":
            new = self_signed("example.com", curve)
            new.store(server.store, "example.com")
            wait_for(lambda: new.der in stream.certificates, SWEEP + SLACK,
                     "the new certificate")

        server.wait_log('of "example.com" in the store has changed')

        # each worker takes it up: nobody is served the old one again

        for _ in range(20):
            assert der() == new.der

    assert stream.failures == []
    assert len(stream.certificates) == 3
    assert server.workers() == workers
    assert server.helper() == helper


def test_put_there_while_running(server):
    """The bootstrap certificate gives way."""

    server.start()
    assert tls.handshake("example.com").self_signed
    other = der("www.example.com")
    workers = server.workers()

    pair = self_signed("example.com")
    pair.store(server.store, "example.com")
    wait_for(lambda: der() == pair.der, SWEEP + SLACK, "served")
    assert server.workers() == workers
    assert der("www.example.com") == other


def test_noticed_at_a_reload(server):
    old, new = self_signed("example.com"), self_signed("example.com")
    old.store(server.store, "example.com")
    server.start()
    assert der() == old.der

    new.store(server.store, "example.com")
    server.reload()
    assert der() == new.der


def spoil_mismatch(dir):
    """The key of another."""

    self_signed("example.com").write(f"{dir}/none.pem", f"{dir}/privkey.pem")
    os.unlink(f"{dir}/none.pem")


def spoil_garbage(dir):
    with open(f"{dir}/fullchain.pem", "w") as f:
        f.write("-----BEGIN CERTIFICATE-----\nnonsense\n")


def spoil_open_key(dir):
    os.chmod(f"{dir}/privkey.pem", 0o644)


def spoil_link(dir):
    os.rename(f"{dir}/privkey.pem", f"{dir}/real.pem")
    os.symlink("real.pem", f"{dir}/privkey.pem")


def spoil_no_key(dir):
    os.unlink(f"{dir}/privkey.pem")


def rewrite(path, change):
    """The DER of a text with one block, changed."""

    with open(path) as f:
        head, *lines, tail = f.read().split("\n")[:-1]
    der = change(base64.b64decode("".join(lines)))
    text = base64.encodebytes(der).decode()
    with open(path, "w") as f:
        f.write(f"{head}\n{text}{tail}\n")


def spoil_scalar(dir):
    """Seen by who computes the point alone: what is stated is right."""

    def change(der):
        at = der.index(b"\x02\x01\x01\x04\x20") + 5
        return der[:at] + bytes([der[at] ^ 1]) + der[at + 1:]

    rewrite(f"{dir}/privkey.pem", change)


def spoil_name(dir):
    """A subject that is no name, which the structure around does not show."""

    def change(der):
        at = der.rindex(b"\x31", 0, der.index(b"\x06\x03\x55\x04\x03"))
        return der[:at] + b"\x30" + der[at + 1:]

    rewrite(f"{dir}/fullchain.pem", change)


def spoil_extension(dir):
    """A subjectAltName that is none, in a certificate that decodes."""

    def change(der):
        at = der.index(b"\x06\x03\x55\x1d\x11\x04") + 7
        return der[:at] + b"\x31" + der[at + 1:]

    rewrite(f"{dir}/fullchain.pem", change)


def spoil_issuer(dir):
    """The certificate of another CA of the same name."""

    pair = Authority().issue("example.com")
    pair.pem = pair.pem[:pair.pem.rindex(b"-----BEGIN")] + Authority().pem
    pair.write(f"{dir}/fullchain.pem", f"{dir}/privkey.pem")


SPOILS = [(spoil_mismatch, "is not the key of the certificate"),
          (spoil_garbage, "is not a certificate chain"),
          (spoil_open_key, "is open to users other than its owner"),
          (spoil_link, "is a symbolic link"),
          (spoil_no_key, "is there without its key"),
          (spoil_scalar, "private key does not match its public key"),
          (spoil_name, "is not a certificate chain"),
          (spoil_extension, "certificate is malformed"),
          (spoil_issuer, "is not issued by the next one")]

IDS = [spoil.__name__[6:] for spoil, _ in SPOILS]

# not by how it is kept, but by what is in it
DAMAGED = [(spoil, said) for spoil, said in SPOILS
           if spoil not in (spoil_open_key, spoil_link)]


def test_bad_pairs_while_running(server):
    """
    Left alone, said once; the pair in memory is served on, until there is
    one that matches.
    """

    bad = {f"{id}.example.com".replace("_", "-"): s
           for id, s in zip(IDS, SPOILS)}
    server.write(HTTP.replace("example.com www", " ".join([*bad, "www"])))

    old = {name: self_signed(name) for name in bad}
    dirs = {name: old[name].store(server.store, name) for name in bad}
    server.start()
    assert {name: der(name) for name in bad} == \
        {name: old[name].der for name in bad}
    assert tls.handshake("www.example.com").self_signed

    before = {}
    for name, (spoil, _) in bad.items():
        spoil(dirs[name])
        before[name] = {file: os.lstat(f"{dirs[name]}/{file}").st_mtime_ns
                        for file in os.listdir(dirs[name])}

    for name, (_, said) in bad.items():
        line = server.wait_log(f'"{name}".*can.t be used', SWEEP + SLACK)
        assert said in line and "[warn]" in line
        assert "the one in memory is served on" in line

    # a later look, which finds the next pair, has nothing to add

    new = self_signed("www.example.com")
    new.store(server.store, "www.example.com")
    wait_for(lambda: der("www.example.com") == new.der, SWEEP + SLACK)

    assert len(server.grep("can't be used")) == len(bad)

    for name in bad:
        assert der(name) == old[name].der
        assert {file: os.lstat(f"{dirs[name]}/{file}").st_mtime_ns
                for file in os.listdir(dirs[name])} == before[name]

    good = {name: self_signed(name) for name in bad}
    for name in bad:
        good[name].store(server.store, name)
    for name in bad:
        wait_for(lambda: der(name) == good[name].der, SWEEP + SLACK, name)


@pytest.mark.parametrize("spoil, said", DAMAGED,
                         ids=[spoil.__name__[6:] for spoil, _ in DAMAGED])
def test_bad_pair_at_the_start(server, spoil, said):
    """Set aside whole, with a reason; the server starts, behind bootstrap."""

    good = self_signed("www.example.com")
    good.store(server.store, "www.example.com")
    dir = self_signed("example.com").store(server.store, "example.com")
    spoil(dir)
    kept = {name: read(f"{dir}/{name}") for name in os.listdir(dir)}

    server.start()
    assert tls.handshake("example.com").self_signed
    assert der("www.example.com") == good.der

    line = server.wait_log("is set aside")
    assert said in line and '"example.com"' in line and "[error]" in line

    assert {name: read(f"{dir}/{name}.bad") for name in kept} == kept
    assert not os.path.lexists(f"{dir}/fullchain.pem")
    assert not os.path.lexists(f"{dir}/privkey.pem")

    # what is whole is left alone, also at the next start

    server.reload()
    assert len(server.grep("is set aside")) == 1
    assert der("www.example.com") == good.der


def test_replaced_in_halves(server):
    """A pair that nobody has asked for yet, with a look between its files."""

    old, new = self_signed("example.com"), self_signed("example.com")
    dir = old.store(server.store, "example.com")
    server.start()
    wait_for(lambda: os.stat(f"{dir}/privkey.pem").st_atime_ns
             > os.stat(f"{dir}/privkey.pem").st_mtime_ns, what="a first look")

    new.write(f"{dir}/fullchain.pem", f"{dir}/new.pem")
    written = os.stat(f"{dir}/fullchain.pem").st_mtime_ns
    wait_for(lambda: os.stat(f"{dir}/fullchain.pem").st_atime_ns > written,
             SWEEP + SLACK, "a look at one half")

    os.rename(f"{dir}/new.pem", f"{dir}/privkey.pem")
    wait_for(lambda: der() == new.der, SWEEP + SLACK)
    assert not [f for f in os.listdir(dir) if ".bad" in f]
    assert not server.grep("set aside")


def test_interrupted_commit(server):
    """The chain is new and its key still is privkey.next.pem: it is served."""

    old, new = self_signed("example.com"), self_signed("example.com")
    dir = old.store(server.store, "example.com")
    new.write(f"{dir}/fullchain.pem", f"{dir}/privkey.next.pem")

    server.start()
    assert der() == new.der
    assert not server.grep("set aside|can't be used")


def test_removed_while_running(server):
    """What is served is served on."""

    pair = self_signed("example.com")
    dir = pair.store(server.store, "example.com")
    server.start()
    assert der() == pair.der
    assert tls.handshake("www.example.com").self_signed
    shutil.rmtree(dir)

    new = self_signed("www.example.com")
    new.store(server.store, "www.example.com")
    wait_for(lambda: der("www.example.com") == new.der, SWEEP + SLACK)
    assert der() == pair.der


# stores that can't be used


def store_is_a_file(path):
    with open(path, "w"):
        pass


def store_is_a_link(path):
    os.mkdir(f"{path}.real", 0o700)
    os.symlink(f"{path}.real", path)


def store_of_another(path):
    os.mkdir(path, 0o700)
    os.chown(path, 33, 33)


def store_open_to_all(path):
    os.mkdir(path)
    os.chmod(path, 0o777)


def store_without_parent(path):
    pass


STORES = [(store_is_a_file, "store", "is not a directory"),
          (store_is_a_link, "store", "is not a directory"),
          (store_of_another, "store", "run: chown 0 "),
          (store_open_to_all, "store", "run: chmod 700 "),
          (store_without_parent, "no/such/store", "could not make")]


@pytest.mark.parametrize("spoil, at, said", STORES,
                         ids=[s[0].__name__[6:] for s in STORES])
def test_bad_store(server, spoil, at, said):
    """
    One clear line, the server starts behind bootstrap; mended, it is taken
    into use without a reload.
    """

    path = f"{server.dir}/{at}"
    spoil(path)
    server.write(HTTP.replace("{dir}/store", path)).start()

    line = server.wait_log(re.escape(said))
    assert "[error]" in line and path in line
    assert "no certificate is obtained or kept" in line
    assert tls.handshake("example.com").self_signed

    if os.path.islink(path) or os.path.isfile(path):
        os.unlink(path)
    else:
        shutil.rmtree(path, ignore_errors=True)

    os.makedirs(os.path.dirname(path), exist_ok=True)
    pair = self_signed("example.com")
    pair.store(path, "example.com")
    wait_for(lambda: der() == pair.der, SWEEP + SLACK, "served")

    assert len(server.grep("no certificate is obtained or kept")) == 1


def test_read_only(server):
    """On a medium that can't be written pairs are served all the same."""

    pair = self_signed("example.com")
    pair.store(server.store, "example.com")
    mounted = f"mount --bind {server.store} {server.store} && " \
              f"mount -o remount,ro,bind {server.store}"
    assert os.system(mounted) == 0

    try:
        server.write(HTTP.replace("listen 443 ssl;",
                                  "listen 443 ssl; listen 80;")).start()
        assert der() == pair.der
        assert tls.handshake("www.example.com").self_signed
        line = server.wait_log("Read-only file system")
        assert server.store in line and "[error]" in line
        assert len(server.grep("Read-only file system")) == 1
    finally:
        server.stop()
        assert os.system(f"umount {server.store}") == 0
