"""
What a disk does wrong: what can't be read is not lost for it, and nothing is
ordered in its place.
"""

import errno
import glob
import json
import os
import socket
import stat
import subprocess
import time

import pytest

from support import tls
from support.certs import self_signed
from support.fakeca import problem
from support.fault import Fault
from support.wait import wait_for

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert on admin@example.com;
    server {
        listen 80;
        listen 443 ssl;
        server_name %s;
        autocert on;
    }
"""

SWEEP = 20      # s, the most that a look takes to come
NOBODY = 65534


@pytest.fixture
def fault(place):
    return Fault(place)


@pytest.fixture
def ca(fakeca, dns):
    return fakeca()


def der(name="example.com"):
    return tls.handshake(name).der


def snapshot(dir):
    """
    What there is, with its mode and owner; links and the like as such.  Not the
    helper's socket, which is there while it lives.
    """

    found = {}
    for root, dirs, files in os.walk(dir):
        for name in dirs + files:
            path = os.path.join(root, name)
            st = os.lstat(path)
            text = None
            if name == ".control":
                continue
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    text = f.read()
            elif stat.S_ISLNK(st.st_mode):
                text = os.readlink(path)
            found[os.path.relpath(path, dir)] = (st.st_mode, st.st_uid, text)
    return found


def due(authority, store, name="example.com"):
    """A pair in the store that is to be renewed at once."""

    pair = authority.issue(name, life=3600, age=30 * 86400)
    pair.store(store, name)
    return pair


# errors that pass

@pytest.mark.parametrize("file, error", [
    ("example.com", errno.EMFILE), ("fullchain.pem", errno.ENFILE),
    ("privkey.pem", errno.EIO), ("fullchain.pem", errno.ENOMEM),
    ("privkey.pem", errno.ESTALE)])
def test_not_read_at_the_start(nginx, ca, fault, file, error):
    """Neither set aside nor ordered anew, and served as soon as it is."""

    server = nginx(CONF % (ca.directives, "example.com"), env=fault.env)
    store = f"{server.dir}/store"
    pair = self_signed("example.com")
    pair.store(store, "example.com")
    before = snapshot(f"{store}/example.com")

    fault.fail(file, error)
    server.start()
    line = server.wait_log('certificate of "example.com" can.t be used')
    assert "it is left alone, and none is ordered until" in line
    assert os.strerror(error) in line and "[error]" in line

    # later looks have nothing to add

    fault.met(3)
    assert len(server.grep(r"\[(warn|error)\]")) == 1
    assert snapshot(f"{store}/example.com") == before
    assert ca.requests == []
    with pytest.raises(OSError):
        tls.handshake("example.com")

    fault.mend()
    wait_for(lambda: der() == pair.der, SWEEP, "served")
    server.reload()
    assert der() == pair.der
    assert snapshot(f"{store}/example.com") == before
    assert ca.requests == []


@pytest.mark.parametrize("file", ["fullchain.pem", "privkey.pem"])
def test_not_read_by_a_new_helper(nginx, fault, ca, file):
    """A worker that has the chain keeps it: none is served in its place."""

    server = nginx(CONF % (ca.directives, "example.com"), env=fault.env)
    pair = self_signed("example.com")
    pair.store(f"{server.dir}/store", "example.com")
    server.start()
    for _ in range(10):
        assert der() == pair.der
    workers, helper = server.workers(), server.helper()

    with tls.HandshakeStream("example.com") as stream:
        stream.wait(10)
        fault.fail(file, errno.EMFILE)
        server.signal("KILL", helper)
        server.allow(rf"{helper} exited on signal 9")
        server.allow("SSL_do_handshake")
        server.helper(other_than=[helper])
        fault.met(3)
        fault.mend()
        wait_for(lambda: handshakes(), SWEEP, "signatures")

    assert set(stream.certificates) == {pair.der}
    assert server.workers() == workers


def handshakes():
    try:
        return der()
    except OSError:
        return None


def test_changed_and_not_read(nginx, fault, ca):
    """A change that meets an error is looked at again."""

    server = nginx(CONF % (ca.directives, "example.com"), env=fault.env)
    store = f"{server.dir}/store"
    old, new = self_signed("example.com"), self_signed("example.com")
    old.store(store, "example.com")
    server.start()
    assert der() == old.der

    fault.fail("fullchain.pem", errno.EIO)
    new.store(store, "example.com")
    line = server.wait_log('"example.com" in the store has changed, but')
    assert "Input/output error" in line and "[warn]" in line
    assert "the one in memory is served on" in line
    fault.met(2)
    assert der() == old.der
    assert len(server.grep("has changed, but")) == 1

    fault.mend()
    wait_for(lambda: der() == new.der, SWEEP, "the new one")


@pytest.mark.parametrize("file", ["state.json", "example.com.json", "issued",
                                  "example.com", "fullchain.pem"])
def test_not_read_when_it_is_due(nginx, ca, fault, clock, authority, file):
    """What is remembered is not begun anew: failures, orders, budget."""

    both = {**clock.env, **fault.env, "LD_PRELOAD":
            f"{clock.env['LD_PRELOAD']} {fault.env['LD_PRELOAD']}"}
    server = nginx(CONF % (ca.directives, "example.com"), env=both)
    store = f"{server.dir}/store"

    # an order that fails, so that all there may be is there

    ca.answer("finalize", problem(400, "badCSR", "not now"), times=None)
    pair = due(authority, store)
    server.start()
    server.wait_log('no new certificate for "example.com"', 60)
    server.stop()
    kept = json.load(open(f"{store}/example.com/state.json"))
    assert kept["failures"] == 1
    before = snapshot(store)
    n = len(ca.requests)

    # its time comes

    clock.set(kept["next_attempt"] - time.time() + 60)
    fault.fail(file, errno.EMFILE)
    mark = server.mark()
    server.start()
    fault.met(1)
    server.wait_log("Too many open files", since=mark)

    for _ in range(3):
        clock.skip(server, 61)
        fault.met(1)

    # what is remembered of the CA is in a file of the same name, and that it
    # can't be read is told once a minute

    assert len(server.grep(r"\[(warn|error)\]", since=mark)) == (
        5 if file == "state.json" else 1)
    assert len(ca.requests) == n
    assert snapshot(store) == before

    ca.normal()
    fault.mend()

    clock.skip(server, 61)
    server.wait_log('certificate of "example.com" renewed', 60, since=mark)
    assert der() != pair.der
    assert ca.wrong == []


@pytest.mark.parametrize("file", ["issued", "privkey.next.pem"])
def test_not_read_in_an_order(nginx, ca, fault, authority, file):
    """With the authorization in hand: the attempt ends, and nothing else."""

    server = nginx(CONF % (ca.directives, "example.com"), env=fault.env)
    store = f"{server.dir}/store"
    pair = due(authority, store)
    ca.before("challenge", lambda r: fault.fail(file, errno.ENFILE))
    server.start()
    line = server.wait_log('no new certificate for "example.com"', 60)
    assert "Too many open files in system" in line and file in line
    assert ca.of("finalize") == []
    assert der() == pair.der
    assert not glob.glob(f"{store}/.accounts/*/issued/*.json")


# commits

def test_put_there_in_the_midst_of_a_commit(nginx, ca, fault):
    """By hand, between the commit's last step and what follows it."""

    server = nginx(CONF % (ca.directives, "example.com"), env=fault.env)
    dir = f"{server.dir}/store/example.com"
    hand = self_signed("example.com")
    os.makedirs(dir, mode=0o700)
    hand.write(f"{dir}/hand.chain", f"{dir}/hand.key")
    fault.swap()
    server.start()
    server.wait_log('certificate of "example.com" issued', 60)
    assert fault.swapped()
    wait_for(lambda: der() == hand.der, SWEEP, "that by hand")
    assert len(server.grep("in the store has changed")) == 1


def test_own_commits_are_no_news(nginx, ca):
    server = nginx(CONF % (ca.directives, "example.com www.example.com"))
    server.start()
    for name in "example.com", "www.example.com":
        server.wait_log(f'certificate of "{name}" issued', 60)

    # a sweep has come by when the next pair by hand is noticed

    new = self_signed("www.example.com")
    new.store(f"{server.dir}/store", "www.example.com")
    wait_for(lambda: der("www.example.com") == new.der, SWEEP)
    assert len(server.grep("in the store has changed")) == 1


def test_cut_off_commit(nginx, ca):
    """Finished as soon as the lock is had; no news either."""

    server = nginx(CONF % (ca.directives, "example.com www.example.com"))
    store = f"{server.dir}/store"
    old, new = self_signed("example.com"), self_signed("example.com")
    dir = old.store(store, "example.com")
    new.write(f"{dir}/fullchain.pem", f"{dir}/privkey.next.pem")
    key = open(f"{dir}/privkey.next.pem").read()

    server.start()
    wait_for(lambda: not os.path.exists(f"{dir}/privkey.next.pem"), SWEEP,
             "finished")
    assert open(f"{dir}/privkey.pem").read() == key
    assert der() == new.der
    server.reload()
    assert der() == new.der
    assert not server.grep("example.com. in the store has changed|set aside")


# how files are kept

def open_to_group(path):
    os.chmod(path, os.lstat(path).st_mode | 0o060)


def of_another(path):
    os.chown(path, NOBODY, 0)


def link(path):
    os.rename(path, f"{path}.real")
    os.symlink(os.path.basename(path) + ".real", path)


def aside(path):
    os.rename(path, f"{path}.real")


def fifo(path):
    aside(path)
    os.mkfifo(path, 0o600)


def device(path):
    aside(path)
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))


def directory(path):
    aside(path)
    os.mkdir(path, 0o700)


def listener(path):
    aside(path)
    s = socket.socket(socket.AF_UNIX)
    here = os.open(os.path.dirname(path), os.O_PATH)
    s.bind(f"/proc/self/fd/{here}/{os.path.basename(path)}")
    os.close(here)
    s.close()
    os.chmod(path, 0o600)


KEPT = [(open_to_group, "run: chmod "), (of_another, "run: chown 0 "),
        (link, "is a symbolic link"), (fifo, "is not a regular file"),
        (device, "is not a regular file"),
        (directory, "is not a regular file"),
        (listener, "is not a regular file")]


def restore(path):
    """As root would, told so."""

    if os.path.exists(f"{path}.real"):
        (os.rmdir if os.path.isdir(path) and not os.path.islink(path)
         else os.unlink)(path)
        os.rename(f"{path}.real", path)
    os.chown(path, 0, 0)
    os.chmod(path, os.stat(path).st_mode & ~0o022
             if path.endswith("chain.pem") else 0o700
             if os.path.isdir(path) else 0o600)


def names(dirs):
    return " ".join(dirs)


def test_kept_badly(nginx, ca):
    """
    Refused with a message and left alone, however good: never followed, never
    moved away, nothing ordered in its place.  Mended, it is served.
    """

    cases = {}
    for file in "fullchain.pem", "privkey.pem":
        for i, (spoil, said) in enumerate(KEPT):
            cases[f"{file[:4]}{i}.example.com"] = (f"/{file}", spoil, said)

    for i, (spoil, said) in enumerate([
            (open_to_group, "run: chmod 700"), (of_another, "run: chown 0 "),
            (link, "is not a directory"), (fifo, "is not a directory")]):
        cases[f"dir{i}.example.com"] = ("", spoil, said)

    server = nginx(CONF % (ca.directives, names(cases)))
    store = f"{server.dir}/store"
    pairs = {name: self_signed(name) for name in cases}

    for name, (file, spoil, _) in cases.items():
        pairs[name].store(store, name)
        spoil(f"{store}/{name}{file}")

    before = snapshot(store)
    server.start()

    for name, (file, _, said) in cases.items():
        line = server.wait_log(f'certificate of "{name}" can.t be used')
        assert said in line and f"{store}/{name}{file}" in line, line
        assert "is left alone, and none is ordered until" in line

    for name in cases:
        assert tls.handshake(name).der != pairs[name].der

    assert ca.requests == []
    now = snapshot(store)
    assert {k: now.get(k) for k in before} == before
    assert not [k for k in now if k.endswith(".bad")]
    assert len(server.grep("can't be used")) == len(cases)

    for name, (file, _, _) in cases.items():
        restore(f"{store}/{name}{file}")

    for name in cases:
        wait_for(lambda: der(name) == pairs[name].der, SWEEP, name)

    assert ca.requests == []


# what is in them

def openssl(*args):
    return subprocess.run(["openssl", *args], check=True,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def put(text):
    def spoil(path):
        with open(path, "wb") as f:
            f.write(text() if callable(text) else text)
    return spoil


def truncate(path):
    os.truncate(path, os.path.getsize(path) // 2)


def other_curve():
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                   "ec_paramgen_curve:P-521")


def rsa():
    return openssl("genpkey", "-algorithm", "RSA", "-pkeyopt",
                   "rsa_keygen_bits:2048")


def swapped(path):
    dir = os.path.dirname(path)
    os.rename(path, f"{dir}/x")
    os.rename(f"{dir}/fullchain.pem", path)
    os.rename(f"{dir}/x", f"{dir}/fullchain.pem")
    os.chmod(path, 0o600)


WRONG = {
    "cut.example.com": ("fullchain.pem", truncate,
                        "is not a certificate chain"),
    "cut-key.example.com": ("privkey.pem", truncate,
                            "is not a key of use here"),
    "empty.example.com": ("fullchain.pem", put(b""),
                          "is not a certificate chain"),
    "empty-key.example.com": ("privkey.pem", put(b""),
                              "is not a key of use here"),
    "big.example.com": ("fullchain.pem", put(bytes(10 << 20)),
                        "is larger than 65536 bytes"),
    "big-key.example.com": ("privkey.pem", put(bytes(10 << 20)),
                            "is larger than 65536 bytes"),
    "curve.example.com": ("privkey.pem", put(other_curve),
                          "is not on curve P-256 or P-384"),
    "rsa.example.com": ("privkey.pem", put(rsa), "is not an EC key"),
    "swap.example.com": ("privkey.pem", swapped,
                         "is not a certificate chain"),
}


def test_wrong_content(nginx, ca):
    """Set aside, whole, under another name, and a new one is obtained."""

    server = nginx(CONF % (ca.directives, names(WRONG)))
    store = f"{server.dir}/store"
    kept = {}

    for name, (file, spoil, _) in WRONG.items():
        dir = self_signed(name).store(store, name)
        spoil(f"{dir}/{file}")
        kept[name] = {f"{k}.bad": v for k, v in snapshot(dir).items()}

    server.start()

    for name, (file, _, said) in WRONG.items():
        line = server.wait_log(f'certificate of "{name}" can.t be used')
        assert said in line and "is set aside" in line, line

    for name in WRONG:
        server.wait_log(f'certificate of "{name}" issued', 90)
        now = snapshot(f"{store}/{name}")
        assert {k: now.get(k) for k in kept[name]} == kept[name]
        assert tls.handshake(name, root=ca.root).names == [name]


# what is remembered

MEMORY = ["account.key", "account.json", "state.json",
          "example.com/state.json"]

# each of the files, each of the ways: they are all read by the same code
BADLY = [(MEMORY[(i + i // 4) % 4], *KEPT[i % 7]) for i in range(7)]


@pytest.mark.parametrize("file, spoil, said", BADLY,
                         ids=[f"{f}-{s.__name__}" for f, s, _ in BADLY])
def test_memory_kept_badly(nginx, ca, file, spoil, said):
    """It is refused and left alone; then all goes on where it was."""

    server = nginx(CONF % (ca.directives, "example.com")).start()
    store = f"{server.dir}/store"
    server.wait_log('certificate of "example.com" issued', 60)
    server.stop()

    if "/" not in file:
        file = os.path.relpath(*glob.glob(f"{store}/.accounts/*/{file}"),
                               store)
    path = f"{store}/{file}"
    spoil(path)
    before = snapshot(store)
    n = len(ca.requests)

    server.write(CONF % (ca.directives, "example.com b.test"))
    mark = server.mark()
    server.start()

    line = server.wait_log(r"\[error\]", 30, since=mark)
    assert said in line and path in line, line
    assert tls.handshake("example.com", root=ca.root)
    now = snapshot(store)
    for kept in before:
        if not kept.endswith("/state.json") or kept == file:
            assert now.get(kept) == before[kept], kept
    if "example.com" not in file:
        assert len(ca.requests) == n

    restore(path)
    server.reload()
    if os.path.exists(f"{store}/b.test/state.json"):
        state = json.load(open(f"{store}/b.test/state.json"))
        state["next_attempt"] = int(time.time())
        with open(f"{store}/b.test/state.json", "w") as f:
            json.dump(state, f)
        server.reload()
    server.wait_log('certificate of "b.test" issued', 90, since=mark)
    assert len(ca.accounts) == 1
    assert tls.handshake("b.test", root=ca.root)


@pytest.mark.parametrize("who, said", [(33, "run: chown 0 "),
                                       (0, "run: chmod go-w ")])
def test_parent_of_the_store(nginx, ca, place, who, said):
    """It is said, once, and served all the same."""

    above = f"{place}/above"
    os.mkdir(above)
    os.chown(above, who, 0)
    os.chmod(above, 0o755 if who else 0o777)
    server = nginx((CONF % (ca.directives, "example.com"))
                   .replace("{dir}/store", f"{above}/store")).start()
    server.wait_log('certificate of "example.com" issued', 60)
    line, = server.grep(r"\[(warn|error)\]")
    assert "above the store can put another in its place" in line
    assert f'{said}"{above}"' in line


def test_lock_kept_badly(nginx, ca):
    server = nginx(CONF % (ca.directives, "example.com"))
    lock = f"{server.dir}/store/.lock"
    os.makedirs(os.path.dirname(lock), mode=0o700)
    with open(lock, "w"):
        pass
    os.chmod(lock, 0o666)
    server.start()
    line = server.wait_log(r"run: chmod 600 .*/\.lock")
    assert "[error]" in line and "no certificate is obtained until" in line
    assert ca.requests == []

    os.chmod(lock, 0o600)
    server.wait_log('certificate of "example.com" issued', 60)
    assert len(server.grep(r"\.lock")) == 1
