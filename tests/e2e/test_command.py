"""The command nginx-autocert, and the helper's socket that it asks at."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from support import tls
from support.certs import Authority
from support.engine import conf, failures, issued, settled, some, state
from support.fakeca import problem
from support.nginx import BUILD, TOP
from support.proxy import Cut
from support.wait import wait_for

COMMAND = f"{BUILD}/nginx-autocert"
DAY = 86400


def run(server, *args, path=None, timeout=60, **options):
    return subprocess.run([COMMAND, "--path", path or f"{server.dir}/store",
                           *args], timeout=timeout, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, **options)


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def serial(server, name="example.com"):
    return lines(run(server, "show", name, "--json").stdout)[0]["serial"]


def listening(server):
    path = f"{server.dir}/store/.control"
    wait_for(lambda: os.path.exists(path), 20, "a socket")
    return path


@contextlib.contextmanager
def asked(server, data=b"", timeout=20):
    s = socket.socket(socket.AF_UNIX)
    try:
        # where the queue is full it waits
        s.connect(listening(server))
        s.settimeout(timeout)
        # it may have hung up already, and said why
        with contextlib.suppress(BrokenPipeError):
            s.sendall(data)
        yield s
    finally:
        s.close()


def answer(s):
    data = b""
    while True:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            return data
        if not more:
            return data
        data += more


def ask(server, **request):
    with asked(server, json.dumps(request).encode() + b"\n") as s:
        return lines(answer(s).decode())


class Watch:
    """nginx-autocert watch, beside the test."""

    def __init__(self, server, *args, **options):
        self.process = subprocess.Popen(
            [COMMAND, "--path", f"{server.dir}/store", "watch", *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, **options)
        self.events = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def saw(self):
        return [(e["event"], e["name"]) for e in list(self.events)]

    def wait(self, n, timeout=30):
        wait_for(lambda: len(self.events) >= n, timeout,
                 lambda: f"{n} events, not {self.saw()}")
        return self.events[n - 1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.thread.join(10)
        self.said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()


def watched(server):
    """Somebody watches, and knows of all names by now."""

    helper = server.helper()

    def connected():
        with open(f"/proc/{helper}/net/unix") as f:
            return sum(line.rstrip().endswith("/.control") or "/.control" in
                       line for line in f) >= 2

    wait_for(connected, 20, "a watcher")


class Nobody:
    directives = "autocert_ca https://127.0.0.1:9/dir;"


NAMES = "example.com www.example.com"


@pytest.fixture
def server(nginx):
    """It has certificates, and nothing to obtain."""

    server = nginx(conf(Nobody, NAMES))
    mine = Authority()
    for name in NAMES.split():
        mine.issue(name).store(f"{server.dir}/store", name)
    server.start()
    settled(server)
    return server


@pytest.fixture
def obtained(nginx, pebble):
    """Those of Pebble's."""

    ca = pebble()
    server = nginx(conf(ca, NAMES)).start()
    server.ca = ca
    for name in NAMES.split():
        issued(server, name)
    settled(server)
    return server


def test_list(server):
    done = run(server, "list")
    assert done.returncode == 0 and done.stderr == ""
    head, *rows = done.stdout.splitlines()
    assert head.split()[:2] == ["NAME", "STATE"]
    assert [r.split()[:2] for r in rows] == [["example.com", "valid"],
                                             ["www.example.com", "valid"]]

    done = run(server, "list", "--json")
    assert [r["name"] for r in lines(done.stdout)] == ["example.com",
                                                       "www.example.com"]


def test_show(server):
    done = run(server, "show", "example.com")
    assert done.returncode == 0
    facts = tls.handshake("example.com")
    assert f"{facts.cert.serial_number:x}" in done.stdout
    assert f"{server.dir}/store/example.com/fullchain.pem" in done.stdout
    assert "certificates now" in done.stdout

    [facts] = lines(run(server, "--json", "show", "EXAMPLE.com").stdout)
    assert facts["name"] == "example.com" and facts["state"] == "valid"


def test_no_such_name(server):
    for word in "show", "renew", "revoke":
        done = run(server, word, "ww.example.com")
        assert done.returncode == 3
        assert 'did you mean "www.example.com"?' in done.stderr
    done = run(server, "show", "another.test")
    assert "did you mean" not in done.stderr
    assert "nginx-autocert list" in done.stderr


def test_renew(obtained):
    """Not before it is due; by force, and never past the budget."""

    server = obtained
    before = serial(server)
    done = run(server, "renew", "example.com")
    assert done.returncode == 3 and "--force" in done.stderr
    assert serial(server) == before

    done = run(server, "renew", "--force", "example.com", "www.example.com")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "example.com: creating the order" in said
    assert any(re.match("example.com: certificate obtained, .* days", line)
               for line in said)
    assert serial(server) != before
    assert tls.handshake("example.com").cert.serial_number \
        == int(serial(server), 16)
    assert len(server.grep('"example.com" is asked for by nginx-autocert, '
                           'by force')) == 1

    done = run(server, "renew", "--force", "--json", "example.com")
    assert done.returncode == 0
    told = lines(done.stdout)
    assert {"event": "step", "name": "example.com",
            "step": "finalizing the order"} in told
    assert told[-2]["report"]["state"] == "valid"
    assert told[-1] == {"end": "done"}

    last = serial(server)
    done = run(server, "renew", "--force", "example.com")
    assert done.returncode == 3
    assert "the budget is used up: 3 certificates" in done.stderr
    assert "possible from 20" in done.stderr
    assert serial(server) == last
    [facts] = lines(run(server, "show", "example.com", "--json").stdout)
    assert facts["state"] == "valid" and facts["last_error"] is None
    assert facts["budget_left"] == 0


def test_renew_fails(nginx, pebble, dns):
    """What the CA says, and when it is tried again."""

    dns.set_servfail("example.com")
    server = nginx(conf(pebble())).start()
    server.wait_log('no certificate for "example.com"', 60)
    done = run(server, "renew", "example.com")
    assert done.returncode == 1
    assert "next try at 20" in done.stderr
    assert state(server)["failures"] == 2

    dns.clear_servfail("example.com")
    dns.set_a("example.com", "127.0.0.1")
    assert run(server, "renew", "example.com").returncode == 0
    assert serial(server)


def test_renew_is_kept_back(nginx, proxy):
    """Whoever waits when the CA asks all to wait is told so at once."""

    ca = proxy()
    server = nginx(conf(ca, NAMES)).start()
    for name in NAMES.split():
        issued(server, name)
    settled(server)
    both = threading.Event()
    ca.before("order", lambda request: both.wait(15))
    ca.answer("order", 503, retry_after=3600, times=None)
    n = ca.count("order")

    def renew(name):
        return subprocess.Popen(
            [COMMAND, "-p", f"{server.dir}/store", "renew", "-f", name],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = renew("example.com")
    wait_for(lambda: ca.count("order") > n, 30, "an order")
    second = renew("www.example.com")
    try:
        server.wait_log('"www.example.com" is asked for by', 30)
        both.set()
        assert "next try at 20" in first.communicate(timeout=30)[1]
        said = second.communicate(timeout=10)[1]
        assert second.returncode == 1
        assert "it has to wait for the CA" in said
        assert "next try at 20" in said
    finally:
        second.kill()

    done = run(server, "renew", "-f", "www.example.com")
    assert done.returncode == 3
    assert "asked to wait, possible from 20" in done.stderr


def test_reload_while_it_waits(nginx, dns, fakeca):
    """The next helper is asked again, and there is one order in all."""

    ca = fakeca()
    ca.hold("authz")
    server = nginx(conf(ca, curve="secp384r1")).start()
    server.wait_log("awaiting the validation", 60)
    assert re.search("^next order +now$", run(server, "show",
                                              "example.com").stdout, re.M)
    waiting = subprocess.Popen(
        [COMMAND, "-p", f"{server.dir}/store", "renew", "example.com"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watched(server)
    mark = server.mark()
    server.reload()
    server.wait_log('going on with the order for "example.com"', 60,
                    since=mark)
    ca.release()
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    assert "certificate" in out
    assert len(ca.of("order")) == 1
    assert ca.wrong == []


@pytest.mark.parametrize("reason, number", some(
    [(None, 0), ("keycompromise", 1), ("superseded", 4)],
    ("keycompromise", 1)))
def test_revoke(nginx, proxy, reason, number):
    """Pebble has it revoked; there is another one, with another key."""

    ca = proxy()
    server = nginx(conf(ca, curve="secp256r1")).start()
    issued(server)
    settled(server)
    old = tls.handshake("example.com")
    args = ["--reason", reason] if reason else []
    done = run(server, "revoke", "example.com", *args)
    assert done.returncode == 0, done.stderr
    assert "the certificate is revoked, obtaining another one" in done.stdout
    assert "certificate obtained" in done.stdout

    new = tls.handshake("example.com")
    assert new.cert.serial_number != old.cert.serial_number
    assert new.point != old.point

    [asked_for] = ca.of("revoke")
    assert asked_for.status == 200
    assert asked_for.payload.get("reason", 0) == number
    found = json.loads(ca.pebble.get(
        f"/cert-status-by-serial/{old.cert.serial_number:x}"))
    assert found["Status"] == "Revoked"
    assert found.get("Reason", 0) == number


@pytest.mark.parametrize("refused", [False, True])
def test_revoke_during_an_order(nginx, proxy, refused):
    """What is served is revoked, not what the order gives; it goes on then."""

    ca = proxy()
    if refused:
        ca.answer("revoke", 400, "badRevocationReason", "no such reason")
    server = nginx(conf(ca)).start()
    issued(server)
    settled(server)
    old = serial(server)
    asked_for = threading.Event()

    def finalize(request):
        if not asked_for.is_set() and asked_for.wait(15):
            raise Cut

    ca.before("finalize", finalize)
    ca.before("revoke", lambda request: asked_for.set())
    n = ca.count("finalize")
    waiting = subprocess.Popen(
        [COMMAND, "-p", f"{server.dir}/store", "renew", "-f", "example.com"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: ca.count("finalize") > n, 30, "an order")
    done = run(server, "revoke", "example.com")
    _, err = waiting.communicate(timeout=60)
    assert done.returncode == refused, done.stderr
    assert waiting.returncode == 0, err
    assert ("obtaining another one" in done.stdout) == (not refused)

    def status(number):
        return json.loads(ca.pebble.get(
            f"/cert-status-by-serial/{number}"))["Status"]

    assert status(old) == ("Valid" if refused else "Revoked")
    assert serial(server) != old and status(serial(server)) == "Valid"
    assert ca.count("order") == 2 and ca.count("revoke") == 1


@pytest.mark.deep
def test_revoke_what_another_account_has(nginx, proxy):
    """By the key of the certificate; P-384 as well."""

    ca = proxy()
    server = nginx(conf(ca, curve="secp384r1")).start()
    issued(server)
    serial_number = tls.handshake("example.com").cert.serial_number
    server.stop()
    for dir in os.listdir(f"{server.dir}/store/.accounts"):
        for name in "account.key", "account.json":
            os.unlink(f"{server.dir}/store/.accounts/{dir}/{name}")
    server.start()
    settled(server)
    done = run(server, "revoke", "example.com")
    assert done.returncode == 0, done.stderr
    assert json.loads(ca.pebble.get(
        f"/cert-status-by-serial/{serial_number:x}"))["Status"] == "Revoked"


def test_revoke_refused(nginx, proxy):
    """Then nothing is changed; but what the account may not, its key may."""

    ca = proxy()
    server = nginx(conf(ca, curve="secp384r1")).start()
    issued(server)
    settled(server)
    before = serial(server)
    done = run(server, "revoke", "example.com", "--reason", "boredom")
    assert done.returncode == 2 and "keyCompromise" in done.stderr

    ca.answer("revoke", 400, "badRevocationReason", "no such reason")
    done = run(server, "revoke", "example.com", "--reason", "aACompromise")
    assert done.returncode == 1, done.stdout
    assert "no such reason" in done.stderr
    assert "no such reason" in server.grep("is not revoked")[0]
    assert serial(server) == before

    ca.answer("revoke", 403, "unauthorized", "not yours")
    done = run(server, "revoke", "example.com")
    assert done.returncode == 0, done.stderr
    assert [r.status for r in ca.of("revoke")] == [400, 403, 200]
    assert serial(server) != before


def test_revoke_and_another_helper(nginx, proxy):
    """Which finds another certificate: nobody knows of the one of before."""

    ca = proxy()
    server = nginx(conf(ca)).start()
    issued(server)
    settled(server)
    gate = threading.Event()
    ca.before("revoke", lambda request: gate.wait(20))
    waiting = subprocess.Popen(
        [COMMAND, "-p", f"{server.dir}/store", "revoke", "example.com"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: ca.count("revoke") == 1, 30, "a revocation")
        Authority().issue("example.com").store(f"{server.dir}/store",
                                               "example.com")
        server.reload()
        err = waiting.communicate(timeout=30)[1]
    finally:
        gate.set()
        waiting.kill()
    assert waiting.returncode == 1
    assert "is revoked is not known" in err


def test_revoke_by_hand(nginx, proxy):
    """What is not ours is ours to replace, also after a failure and a kill."""

    ca = proxy()
    server = nginx(conf(ca)).start()
    issued(server)
    server.stop()
    store = f"{server.dir}/store/example.com"
    os.unlink(f"{store}/state.json")
    server.start()
    settled(server)
    old = serial(server)
    assert not state(server).get("key")
    ca.answer("order", 400, "malformed", "no", times=None)
    done = run(server, "revoke", "example.com")
    assert done.returncode == 1 and "is revoked, obtaining" in done.stdout
    assert failures(server, 1)["key"]
    helper = server.helper()
    server.allow("exited on signal 9")
    server.signal("KILL", helper)
    server.helper(other_than=[helper])
    settled(server)
    ca.normal()
    done = run(server, "renew", "example.com")
    assert done.returncode == 0, done.stderr
    assert serial(server) != old


def test_check(nginx, pebble, dns):
    """OK, WARNING, CRITICAL, UNKNOWN."""

    dns.set_servfail("www.example.com")
    ca = pebble()
    server = nginx(conf(ca))
    assert run(server, "check", "-w", "soon").returncode == 3
    done = run(server, "check")
    assert done.returncode == 3
    assert done.stdout.startswith("AUTOCERT UNKNOWN - ")

    server.start()
    issued(server)
    done = run(server, "check")
    assert done.returncode == 0
    assert re.fullmatch(r"AUTOCERT OK - 1 names, the next end in \d+ days "
                        r"\| names=1 bad=0 days_left=\d+\n", done.stdout)

    left = int(done.stdout.rpartition("=")[2])
    done = run(server, "check", "-w", str(left + 2), "-c", "1")
    assert done.returncode == 1
    assert f"AUTOCERT WARNING - 1 of 1 names: example.com: {left} days left" \
        in done.stdout
    done = run(server, "check", "-w", str(left + 2), "-c", str(left + 1))
    assert done.returncode == 2 and "CRITICAL" in done.stdout

    server.write(conf(ca, NAMES))
    server.reload()
    server.wait_log('no certificate for "www.example.com"', 60)
    done = run(server, "check")
    assert done.returncode == 2
    assert "www.example.com: no certificate yet, " in done.stdout
    assert "example.com: " not in done.stdout.replace("www.example.com", "")
    assert run(server, "check", "example.com").returncode == 0
    assert run(server, "check", "nowhere.test").returncode == 3

    done = run(server, "check", "--json")
    assert done.returncode == 2
    [told] = lines(done.stdout)
    assert (told["status"], told["names"], told["bad"]) == ("CRITICAL", 2, 1)
    assert [r["name"] for r in told["attention"]] == ["www.example.com"]


def test_watch(obtained, place):
    """What is there is no news; a reload and a crash lose and double none."""

    server = obtained
    script = f"{place}/told"
    with open(script, "w") as f:
        f.write("#!/bin/sh\n"
                'test -r "$AUTOCERT_CERTIFICATE" && test -r "$AUTOCERT_KEY"'
                " || exit 1\n"
                f'echo "$AUTOCERT_EVENT $AUTOCERT_NAME $1" >> {place}/told.txt\n')
    os.chmod(script, 0o755)

    with Watch(server, "--", script, "a b;c") as watch:
        watched(server)
        assert run(server, "renew", "-f", "example.com").returncode == 0
        event = watch.wait(1)
        assert event["event"] == "renewed"
        assert event["report"]["serial"] == serial(server)

        mark = server.mark()
        server.reload()
        server.wait_log("start autocert helper", 30, since=mark)
        assert run(server, "renew", "-f", "www.example.com").returncode == 0
        assert watch.wait(2)["name"] == "www.example.com"

        helper = server.helper()
        server.allow("exited on signal 9")
        server.signal("KILL", helper)
        server.helper(other_than=[helper])
        assert run(server, "renew", "-f", "www.example.com").returncode == 0
        watch.wait(3)
        settled(server)
        time.sleep(1)           # that nothing more is told has no event
        assert watch.saw() == [("renewed", "example.com"),
                               ("renewed", "www.example.com"),
                               ("renewed", "www.example.com")]

    with open(f"{place}/told.txt") as f:
        assert f.read().splitlines() == [
            "renewed example.com a b;c", "renewed www.example.com a b;c",
            "renewed www.example.com a b;c"]


def test_watch_new_names(nginx, pebble, dns):
    """Issued, by whichever helper; and what fails, once."""

    dns.set_servfail("www.example.com")
    ca = pebble()
    server = nginx(conf(ca)).start()
    issued(server)
    with Watch(server) as watch:
        watched(server)
        # it sees nothing until all is over
        watch.process.send_signal(signal.SIGSTOP)
        server.write(conf(ca, f"{NAMES} a.test"))
        server.reload()
        issued(server, "a.test")
        server.wait_log('no certificate for "www.example.com"', 60)
        watch.process.send_signal(signal.SIGCONT)
        watch.wait(2, 60)
        assert sorted(watch.saw()) == [("failing", "www.example.com"),
                                       ("issued", "a.test")]
        run(server, "renew", "www.example.com")
        assert len(watch.events) == 2
        [event] = [e for e in watch.events if e["event"] == "failing"]
        assert event["report"]["last_error"]["why"]


def test_watch_ends(server):
    """Put there by hand: it ends in 60 hours, and then in 20."""

    store = f"{server.dir}/store"
    server.write(conf(Nobody, NAMES, "autocert_renew_before 1h;"))
    mark = server.mark()
    server.reload()
    server.wait_log("start autocert helper", 30, since=mark)
    assert run(server, "list").returncode == 0
    mine = Authority()
    pair = mine.issue("example.com", life=60 * 3600, age=80 * DAY)
    with Watch(server) as watch:
        watched(server)
        pair.store(store, "example.com")
        watch.wait(2)
        mine.issue("example.com", life=20 * 3600, age=80 * DAY) \
            .store(store, "example.com")
        watch.wait(4)
        assert [(e["event"], e.get("days")) for e in watch.events] == [
            ("renewed", None), ("expiring", 3), ("renewed", None),
            ("expiring", 1)]

        # another helper tells of it again, and it is no news
        mark = server.mark()
        server.reload()
        server.wait_log("start autocert helper", 30, since=mark)
        watched(server)
        mine.issue("example.com").store(store, "example.com")
        watch.wait(5)
        assert watch.saw()[4:] == [("renewed", "example.com")]


def test_watch_children(server):
    """Whoever starts it may ignore its own, as daemons do."""

    store = f"{server.dir}/store"
    mine = Authority()
    with Watch(server, "--", "false", preexec_fn=lambda: signal.signal(
            signal.SIGCHLD, signal.SIG_IGN)) as watch:
        watched(server)
        for name in NAMES.split():
            mine.issue(name).store(store, name)
        watch.wait(2)           # it has waited for what the first one ran
    assert '"false" has failed at "renewed" of ' in watch.said


def test_watch_a_ca_that_is_gone(nginx, dns, fakeca):
    """It is the CA's failure, and the names' as well; told once."""

    ca = fakeca()
    ca.answer("directory", problem(404, "malformed", "no such thing"),
              times=None)
    server = nginx(conf(ca))
    with Watch(server) as watch:
        server.start()
        event = watch.wait(1)
        assert event["event"] == "failing"
        assert event["report"]["state"] == "held"
        assert run(server, "renew", "example.com").returncode == 1
        run(server, "list")
        assert watch.saw() == [("failing", "example.com")]


COMPLETE = """
    PATH=%s:$PATH
    source %s/completion/nginx-autocert
    COMP_WORDS=(nginx-autocert %s)
    COMP_CWORD=%d
    _nginx_autocert 2> /dev/null
    echo "${COMPREPLY[@]}"
"""


def test_completion(server):
    def complete(*words):
        script = COMPLETE % (BUILD, TOP, " ".join(f"'{w}'" for w in words),
                             len(words))
        return subprocess.run(["bash", "-c", script], timeout=20, text=True,
                              stdout=subprocess.PIPE).stdout.split()

    store = "--path", f"{server.dir}/store"
    assert complete("re") == ["renew", "revoke"]
    assert complete(*store, "show", "w") == ["www.example.com"]
    assert complete(*store, "renew", "example.com", "") == NAMES.split()
    assert complete("revoke", "--reason", "k") == ["keyCompromise"]
    assert "--force" in complete("renew", "--")


def test_manual():
    """Each option and each variable is in it, and mandoc has no complaint."""

    page = f"{TOP}/man/nginx-autocert.8"
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.stdout == "" and done.returncode == 0
    text = subprocess.run(["mandoc", "-Tascii", page], text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    text = re.sub(".\b", "", text)
    told = subprocess.run([COMMAND, "--help"], text=True, check=True,
                          stdout=subprocess.PIPE).stdout
    for option in re.findall(r"--[a-z]+", told):
        assert option in text, option
    with open(f"{TOP}/cmd/watch.c") as f:
        for variable in re.findall("AUTOCERT_[A-Z_]+", f.read()):
            assert variable in text, variable


def test_the_socket(server):
    """Root's alone, gone at the end, made anew over what a crash leaves."""

    path = listening(server)
    info = os.lstat(path)
    assert stat.S_ISSOCK(info.st_mode)
    assert stat.S_IMODE(info.st_mode) == 0o600 and info.st_uid == 0
    assert not os.path.exists(f"{path}.new")

    server.allow("exited on signal 9")
    helper = server.helper()
    server.signal("KILL", helper)
    server.helper(other_than=[helper])
    assert run(server, "list").returncode == 0
    assert os.lstat(path).st_ino != info.st_ino

    mark = server.mark()
    server.reload()
    server.wait_log("start autocert helper", 30, since=mark)
    assert run(server, "list").returncode == 0

    server.stop()
    assert not os.path.exists(path)
    done = run(server, "list")
    assert done.returncode == 4 and "NGINX is not running" in done.stderr


def test_nobody(server, place):
    done = run(server, "list", path=f"{place}/nowhere")
    assert done.returncode == 4 and "there is no store" in done.stderr
    done = run(server, "list", user="nobody")
    assert done.returncode == 4 and "root" in done.stderr


def test_a_helper_that_does_not_answer(server):
    """There is an end to it, and it is told."""

    helper = server.helper()
    server.signal("STOP", helper)
    try:
        asking = [subprocess.Popen([COMMAND, "-p", f"{server.dir}/store",
                                    *args], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
                  for args in [["check"], ["list"], ["renew", "example.com"]]]
        for process, status in zip(asking, (3, 4, 4)):
            out, err = process.communicate(timeout=20)
            assert process.returncode == status
            assert "does not answer" in err
            assert ("UNKNOWN" in out) == (status == 3)
    finally:
        server.signal("CONT", helper)
        for process in asking:
            process.kill()

    assert run(server, "check").returncode == 0


@pytest.mark.parametrize("args, status", [
    (["list"], 1), (["list", "--json"], 1), (["show", "example.com"], 1),
    (["check"], 3), (["--version"], 1)])
def test_what_cannot_be_written(server, args, status):
    with open("/dev/full", "w") as full:
        done = subprocess.run([COMMAND, "-p", f"{server.dir}/store", *args],
                              timeout=20, text=True, stdout=full,
                              stderr=subprocess.PIPE)
    assert done.returncode == status
    assert "can't be written" in done.stderr


def test_another_user(server):
    """Whoever gets as far as the socket nonetheless is refused there."""

    path = listening(server)
    os.chmod(f"{server.dir}/store", 0o711)
    os.chmod(path, 0o666)
    done = run(server, "list", user="nobody")
    assert done.returncode == 4
    assert "is at the control socket, refused" \
        in server.grep("at the control socket")[0]
    os.chmod(f"{server.dir}/store", 0o700)


def test_long_path(nginx, pebble, place):
    long = f"{place}/" + "/".join(["d" * 60] * 3)
    os.makedirs(long, mode=0o755)
    server = nginx(conf(pebble()).replace("{dir}/store", f"{long}/store")) \
        .start()
    issued(server)
    done = run(server, "list", path=f"{long}/store")
    assert done.returncode == 0 and "example.com" in done.stdout


BAD = [b"\n", b"{}\n", b"[]\n", b"list\n", b'{"do":"list"}x\n',
       b'{"do":"kill"}\n', b'{"do":1}\n', b'{"do":"show"}\n',
       b'{"do":"list","name":"example.com"}\n',
       b'{"do":"show","name":""}\n', b'{"do":"show","name":1}\n',
       b'{"do":"show","name":"a\\u0000b"}\n', b'{"do":"list","do":"list"}\n',
       b'{"do":"renew","name":"example.com","force":1}\n',
       b'{"do":"revoke","name":"example.com","reason":7}\n',
       b'{"do":"revoke","name":"example.com","reason":-1}\n',
       b'{"do":"show","name":"example.com","reason":1}\n',
       b'{"do":"list","more":null}\n', b"\x00\xff\n", b"{" * 900 + b"\n"]


def test_garbage(server):
    for data in BAD:
        with asked(server, data) as s:
            assert lines(answer(s).decode()) == [{"end": "bad"}], data

    # two lines, a line too long, more than was asked for
    for data in (b'{"do":"list"}\n{"do":"list"}\n', b"x" * 4096,
                 b'{"do":"watch"}\n'):
        with asked(server, data) as s:
            if b"watch" in data:
                while b"complete" not in s.recv(65536):
                    pass
                s.sendall(b"x")
            assert answer(s) == b""

    assert ask(server, do="show", name="another.test") == [{"end": "unknown"}]
    assert run(server, "list").returncode == 0


def test_many_and_slow(server):
    """
    Half a line is waited for, not by others; there is an end to it; and no
    number of connections takes more than its part.
    """

    helper = server.helper()
    before = len(os.listdir(f"/proc/{helper}/fd"))

    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(asked(server, b'{"do":'))
                for _ in range(16)]
        with asked(server) as s:
            assert answer(s) == b'{"end":"busy"}\n'
        done = run(server, "list")
        assert done.returncode == 4 and "try again" in done.stderr
        assert tls.handshake("example.com")
        with Watch(server) as watch:
            for s in held:
                assert answer(s) == b""
        assert watch.said.count("too many others are asking") == 1

    assert run(server, "list").returncode == 0

    for _ in range(200):
        with asked(server, b'{"do":"watch"}\n'):
            pass
    wait_for(lambda: run(server, "list").returncode == 0, 20, "an answer")
    wait_for(lambda: len(os.listdir(f"/proc/{helper}/fd")) <= before, 20,
             "the descriptors")
    assert server.helper() == helper


def test_who_does_not_read(nginx, pebble):
    """Ten thousand names for one who takes none: the others have theirs."""

    names = " ".join(f"n{n}.example.com" for n in range(10000))
    server = nginx("server_names_hash_max_size 65536;\n"
                   + conf(pebble()) + """
        server {
            listen 81 ssl;
            server_name %s;
            autocert on;
        }
    """ % names).start()
    issued(server)
    helper = server.helper()

    with asked(server, b'{"do":"list"}\n'), \
            asked(server, b'{"do":"watch"}\n') as slow:
        started = time.monotonic()
        done = run(server, "list", "--json")
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) == 10001
        assert time.monotonic() - started < 20
        assert tls.handshake("example.com")
        assert server.helper() == helper
        while b"complete" not in slow.recv(1 << 20):
            pass
