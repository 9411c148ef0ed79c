"""Which process holds which key: what a scan of their memory finds."""

import glob
import os
import re
import resource
import shutil
import signal
import subprocess

import pytest

from support import proc, tls
from support.certs import make_key, self_signed
from support.engine import asleep
from support.memory import Scan
from support.nginx import ASAN, MODULES
from support.wait import wait_for

CURVES = ["secp256r1", "secp384r1"]

# pairs of both curves that are on disk, one that is issued, a bootstrap
# certificate (of the wildcard's server, which gets no other)

HTTP = """
    resolver 127.0.0.1;
    autocert_path {dir}/store;
    %s
    server {
        listen 80;
        listen 443 ssl;
        server_name secp256r1.example.com secp384r1.example.com;
        server_name issued.example.com;
        autocert on;
        location / { return 200 "$ssl_session_reused\\n"; }
    }
    server {
        listen 443 ssl;
        server_name *.boot.example.com;
        autocert on;
    }
"""

OF_EVENTS = {"anon_inode:[eventpoll]", "anon_inode:[eventfd]"}

BOOT = "any.boot.example.com"


@pytest.fixture
def server(nginx, pebble):
    """Running, with all of that in use, after reloads and handshakes."""

    ca = pebble()
    server = nginx(HTTP % ca.directives)
    server.store = f"{server.dir}/store"
    server.keys = {}
    server.names = ["issued.example.com"]

    for curve in CURVES:
        name = f"{curve}.example.com"
        pair = self_signed(name, curve)
        pair.store(server.store, name)
        server.keys[curve] = pair.key
        server.names.append(name)

    server.start()
    server.wait_log('certificate of "issued.example.com" issued', 60)

    with open(f"{server.store}/issued.example.com/privkey.pem", "rb") as f:
        server.keys["issued"] = f.read()

    account, = glob.glob(f"{server.store}/.accounts/*/account.key")
    with open(account, "rb") as f:
        server.keys["account"] = f.read()

    for _ in range(2):
        use(server)
        server.reload()

    wait_for(lambda: len(server.workers(leaving=True)) == server.n, 30,
             "old workers gone")
    server.helper(timeout=30)
    server.boot = use(server)
    return server


def use(server):
    """Handshakes until each worker has had some; the bootstrap one's peer."""

    for version in tls.TLS12, tls.TLS13:
        for name in server.names:
            for _ in range(4):
                tls.handshake(name, version=version)
        for _ in range(4):
            peer = tls.handshake(BOOT, version=version)

    return peer


def known(server):
    scan = Scan()
    for label, key in server.keys.items():
        scan.key(label, key)
    return scan


def serving(server):
    return [server.master, *server.workers()]


@pytest.mark.limit(600)
def test_in_the_helper_alone(server):
    """
    Master and workers: none of the keys in any form, none that makes the
    public keys they serve.  The helper: each one, found by the same scan.
    """

    scan = known(server)
    assert scan(serving(server)) == []

    found = {f.label.partition(":")[0] for f in scan(server.helper())}
    assert found >= {*CURVES, "issued"}


@pytest.mark.limit(300)
def test_account_key_while_it_signs(nginx, pebble, dns):
    """
    The CA waits for its DNS in the midst of an order: the key is in the
    helper, where the order goes on, and nowhere else.
    """

    ca = pebble()
    url = ca.directory.replace("localhost", "127.0.0.1")
    server = nginx(HTTP % ca.directives.replace(ca.directory, url))
    dns.process.send_signal(signal.SIGSTOP)

    try:
        server.start()
        wait_for(lambda: ca.count("Attempting to validate"), 30, "an order")

        account, = glob.glob(f"{server.dir}/store/.accounts/*/account.key")
        with open(account, "rb") as f:
            scan = Scan().key("account", f.read())

        assert {f.label for f in scan(server.helper())} >= \
            {"account:scalar-le"}
        assert scan(serving(server)) == []
    finally:
        dns.process.send_signal(signal.SIGCONT)


@pytest.mark.limit(300)
@pytest.mark.skipif(bool(ASAN), reason="clock.so is preloaded")
@pytest.mark.parametrize("curve", CURVES)
def test_replaced_key_is_forgotten(nginx, clock, curve):
    """Soon: it signs what began before, and then nothing."""

    name = f"{curve}.example.com"
    server = nginx(HTTP % "autocert_ca https://127.0.0.1:9/dir;",
                   env=clock.env)
    store = f"{server.dir}/store"
    old, new = self_signed(name, curve), self_signed(name, curve)
    old.store(store, name)
    server.start()
    assert tls.handshake(name).der == old.der

    new.store(store, name)
    server.wait_log(f'certificate of "{name}" in the store has changed')
    assert tls.handshake(name).der == new.der

    helper = server.helper()
    was, is_now = Scan().key("old", old.key), Scan().key("new", new.key)
    assert was([helper]) and is_now([helper])

    clock.skip(server, 10)
    asleep(helper)
    assert was([helper]) == []
    assert is_now([helper])
    assert tls.handshake(name).der == new.der


@pytest.mark.limit(900)
def test_bootstrap_key_in_the_helper_alone(server):
    """
    Its key is never on disk and so not known: every window of memory is
    multiplied and compared with the public key that is served.
    """

    assert server.boot.self_signed and server.boot.curve == "secp256r1"
    scan = Scan().point("bootstrap", server.boot.point) \
                 .point("stored", server.keys["secp256r1"].public_key())

    assert scan(serving(server), timeout=600) == []
    assert {f.label for f in scan(server.helper(), timeout=300)} == \
        {"bootstrap", "stored"}


@pytest.mark.limit(600)
def test_never_before_a_fork(server):
    """
    Not in the master at any time, so not in what a child inherits: workers
    that were started after all keys were in use hold none either, nor those
    of a helper that was killed.
    """

    server.allow(r"exited on signal 9")
    killed = server.helper()
    server.signal("KILL", killed)
    server.helper(other_than=[killed])
    use(server)

    for worker in server.workers():
        server.signal("KILL", worker)
        server.wait_gone(worker)

    wait_for(lambda: len(server.workers()) == server.n, 20)
    use(server)
    assert known(server)(serving(server)) == []


@pytest.mark.limit(300)
@pytest.mark.parametrize("curve", CURVES)
def test_the_scan_finds_a_static_key(nginx, curve):
    """What is to be seen where a stock NGINX has the very same key."""

    server = nginx("""
        server {
            listen 443 ssl;
            ssl_certificate {dir}/cert.pem;
            ssl_certificate_key {dir}/key.pem;
        }
    """, modules=False)
    pair = self_signed("example.com", curve)
    pair.write(f"{server.dir}/cert.pem", f"{server.dir}/key.pem")
    server.start()
    tls.handshake("example.com")

    pids = serving(server)
    assert {f.pid for f in Scan().key("static", pair.key)(pids)} == set(pids)
    assert Scan().key("other", make_key(curve))(pids) == []


FALLBACK = """
    autocert_path {dir}/store;
    server {
        listen 443 ssl;
        server_name example.com;
        autocert on;
        ssl_certificate {dir}/cert.pem;
        ssl_certificate_key {dir}/key.pem;
    }
"""


@pytest.mark.limit(300)
def test_fallback_is_the_only_key_that_workers_hold(nginx):
    server = nginx(FALLBACK)
    static = self_signed("example.com", "rsa")
    static.write(f"{server.dir}/cert.pem", f"{server.dir}/key.pem")
    pair = self_signed("example.com")
    pair.store(f"{server.dir}/store", "example.com")
    server.start()
    assert tls.handshake("example.com").der == pair.der

    pids = serving(server)
    assert Scan().key("issued", pair.key)(pids) == []
    found = Scan().key("static", static.key)(pids)
    assert {f.pid for f in found} == set(pids)


# the helper's walls

PLAIN = """
    autocert_path {dir}/store;
    server {
        listen 8443 ssl;
        server_name %s;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""


def plain(nginx, prefix):
    """An NGINX that is started by a command of prefix."""

    names = [f"{curve}.example.com" for curve in CURVES]
    server = nginx(PLAIN % " ".join([*names, "boot.example.com"]))
    command = server.command
    server.command = lambda *args: [*prefix, *command(*args)]
    server.pairs = {}

    for curve, name in zip(CURVES, names):
        server.pairs[name] = self_signed(name, curve)
        server.pairs[name].store(f"{server.dir}/store", name)

    return server


def looks(pid, prefix):
    """Whether a process of these rights may look at the memory of another."""

    done = subprocess.run([*prefix, "cat", f"/proc/{pid}/maps"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0 and b"nginx" in done.stdout


def test_not_dumpable(nginx):
    """
    Who may look at the master may not look at the helper: both of root, and
    looked at by root without the capabilities that open all.
    """

    weak = ["setpriv", "--bounding-set",
            "-sys_ptrace,-perfmon,-sys_admin"]
    server = plain(nginx, weak).start()
    tls.handshake("secp256r1.example.com", port=8443)
    helper = server.helper()

    assert looks(server.master, weak)
    assert not looks(helper, weak)


def test_no_core(nginx):
    """Whatever is allowed to its master."""

    server = plain(nginx, ["prlimit", "--core=unlimited"]).start()

    def limit(pid):
        return resource.prlimit(pid, resource.RLIMIT_CORE)

    infinity = resource.RLIM_INFINITY
    assert limit(server.master) == (infinity, infinity)
    assert limit(server.helper()) == (0, 0)


def kept_on_exec(pid):
    """What its descriptors lead to that would outlive an exec()."""

    found = []
    for fd, leads in proc.descriptors(pid).items():
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}") as f:
                flags = dict(line.split(":", 1) for line in f)["flags"]
        except FileNotFoundError:
            continue
        if int(fd) > 2 and not int(flags, 8) & os.O_CLOEXEC:
            found.append(leads)
    return found


def test_descriptors_close_on_exec(nginx):
    """All but NGINX's own for events; OpenSSL has a file open for a while."""

    server = plain(nginx, []).start()
    tls.handshake("secp256r1.example.com", port=8443)
    helper = server.helper()

    wait_for(lambda: set(kept_on_exec(helper)) <= OF_EVENTS, 20,
             lambda: f"closed on exec, not {kept_on_exec(helper)}")


def status(pid):
    """Of each thread: what the kernel tells of its rights."""

    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status") as f:
            yield dict(line.strip("\n").split(":\t", 1) for line in f
                       if ":\t" in line)


def test_jail(nginx):
    """
    No more rights to be had, one power of root's, a filter of system calls:
    so for each thread, and for a helper that was started anew.
    """

    server = plain(nginx, []).start()

    def jailed(helper):
        tls.handshake("secp256r1.example.com", port=8443)
        threads = list(status(helper))
        assert len(threads) > 1

        for thread in threads:
            assert thread["NoNewPrivs"] == "1"
            for powers in "CapPrm", "CapEff", "CapBnd":
                assert int(thread[powers], 16) == 1 << 1    # dac_override
            for powers in "CapInh", "CapAmb":
                assert int(thread[powers], 16) == 0
            assert thread["Seccomp"] == ("0" if ASAN else "2")

    helper = server.helper()
    jailed(helper)

    server.allow(r"exited on signal 9")
    server.signal("KILL", helper)
    jailed(server.helper(other_than=[helper]))

    for other in [server.master, *server.workers()]:
        for thread in status(other):
            assert (thread["NoNewPrivs"], thread["Seccomp"]) == ("0", "0")


def test_logs_of_the_workers_user(nginx):
    """They are reopened, with the one power that is left for that."""

    server = plain(nginx, []).start()
    helper = server.helper()

    # what logrotate leaves to the master to reopen
    os.rename(server.log_path, f"{server.log_path}.1")
    os.close(os.open(server.log_path, os.O_CREAT | os.O_WRONLY, 0o600))
    shutil.chown(server.log_path, "www-data", "www-data")
    server.signal("USR1")

    def reopened():
        with open(f"{server.log_path}.1") as f:
            return f"{helper}#{helper}: reopening logs" in f.read()

    wait_for(reopened, 10, "the helper told to reopen")
    server.reload()
    server.wait_log(f"{helper}#{helper}: autocert: signing for")


@pytest.mark.limit(300)
def test_unprivileged(nginx):
    """
    As in a container, all of one user: it works the same, a notice says what
    isolation is left, and that much is there.
    """

    user = ["setpriv", "--reuid", "www-data", "--regid", "www-data",
            "--clear-groups"]
    server = plain(nginx, user)

    # the tree may stand where only root can look
    with open(server.conf_path) as f:
        conf = f.read()
    for module in MODULES:
        conf = conf.replace(module, shutil.copy(module, server.dir))
    server.write(conf=conf)

    subprocess.run(["chown", "-R", "www-data:www-data", server.dir],
                   check=True)
    server.start()
    helper = server.helper()

    with open(f"/proc/{server.master}/status") as f:
        assert re.search(r"^Uid:\s+33\s+33\s+33\s+33$", f.read(), re.M)

    def serves():
        for version in tls.TLS12, tls.TLS13:
            for name, pair in server.pairs.items():
                peer = tls.handshake(name, port=8443, version=version)
                assert peer.der == pair.der
            assert tls.handshake("boot.example.com", port=8443,
                                 version=version).self_signed

    serves()
    server.allow(r"exited on signal 9")
    server.signal("KILL", helper)
    server.helper(other_than=[helper])
    serves()
    server.reload()
    wait_for(lambda: len(server.workers(leaving=True)) == server.n, 30)
    helper = server.helper(timeout=30)
    serves()

    line = server.wait_log("run as the same user")
    assert "[notice]" in line and f"{server.dir}/store" in line

    assert looks(server.master, user)
    assert not looks(helper, user)

    scan = Scan()
    for name, pair in server.pairs.items():
        scan.key(name, pair.key)
    assert scan(serving(server)) == []
    assert scan(helper)


def test_no_such_notice_as_root(nginx):
    server = plain(nginx, []).start()
    tls.handshake("secp256r1.example.com", port=8443)
    assert proc.alive(server.helper())
    assert not server.grep("run as the same user")
