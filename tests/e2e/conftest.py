import os
import re
import shutil
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support import asan, leaks, namespace, quic        # noqa: E402
from support.certs import Authority                     # noqa: E402
from support.clock import Clock                         # noqa: E402
from support.fakeca import FakeCA                       # noqa: E402
from support.nginx import ASAN, BUILD, Nginx            # noqa: E402
from support.pebble import ChallTestSrv, Pebble, told_windows    # noqa: E402
from support.proxy import Proxy                         # noqa: E402

KEPT = os.environ.get("E2E_KEPT", f"{BUILD}/e2e")


def pytest_configure(config):
    if os.geteuid() != 0:
        raise pytest.UsageError("these tests need root: they make namespaces")

    if not namespace.inside():
        capture = config.pluginmanager.getplugin("capturemanager")
        if capture:
            capture.stop_global_capturing()
        namespace.enter([sys.executable, "-B", "-m", "pytest",
                         *config.invocation_params.args])

    namespace.furnish()
    shutil.rmtree(KEPT, ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    """
    What is not for this run is left out of it, which says so; E2E_ARI=1 and
    E2E_QUIC=1 are for where what they need ought to be.
    """

    for marker, had, what in NEEDS:
        theirs = [i for i in items if i.get_closest_marker(marker)]

        if theirs and not had():
            if os.environ.get(f"E2E_{marker.upper()}"):
                raise pytest.UsageError(f"{what}: it is not here")

            leave_out(config, items, theirs,
                      f"tests that need {what} (make check-matrix)")

    if ASAN:
        for why in sorted(set(asan.LEFT_OUT.values())):
            leave_out(config, items,
                      [i for i in items if asan.reason(i.nodeid) == why],
                      f"under ASan: {why}")


def leave_out(config, items, theirs, why):
    if theirs:
        items[:] = [i for i in items if i not in theirs]
        config.hook.pytest_deselected(items=theirs)
        LEFT_OUT.append(f"{len(theirs)} {why}")


NEEDS = [
    ("ari", told_windows, "Pebble 2.8 or newer"),
    ("quic", quic.had, "NGINX with HTTP/3, and aioquic"),
]
LEFT_OUT = []
MEASURED = []


@pytest.fixture
def measured():
    """measured(what, value): told after all tests, for people to read."""

    def note(what, value):
        MEASURED.append(f"{what:<44} {value}")

    return note


def pytest_terminal_summary(terminalreporter):
    for line in LEFT_OUT:
        terminalreporter.write_line(f"left out: {line}")

    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.write_line(line)


class TooLong(Exception):
    pass


def too_long(signum, frame):
    raise TooLong("the test took longer than it may")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Each test ends, whatever hangs."""

    marker = item.get_closest_marker("limit")
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(marker.args[0] if marker else 120)
    yield
    signal.alarm(0)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """The logs of a test that failed: their ends in the report, whole files
    in build/e2e."""

    report = (yield).get_result()

    if not report.failed:
        return

    place = item.funcargs.get("place")
    if place is None or not os.path.isdir(place):
        return

    kept = f"{KEPT}/{os.path.basename(place)}"
    for root, _, files in os.walk(place):
        for name in sorted(files):
            if not name.endswith((".log", ".conf", ".json")):
                continue

            path = os.path.join(root, name)
            if not os.path.isfile(path):
                continue
            copy = os.path.join(kept, os.path.relpath(path, place))
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(path, copy)

            if name.endswith(".log"):
                with open(path, errors="replace") as f:
                    tail = f.read()[-4000:]
                report.sections.append((copy, tail))


@pytest.fixture
def place(request):
    """A directory of the test's own that workers can reach."""

    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", request.node.name)[:80]
    path = f"{namespace.STATE}/{name}"
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path, mode=0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(f"{namespace.STATE}/autocert", ignore_errors=True)


@pytest.fixture
def nginx(place):
    """
    nginx(http=..., main=..., conf=..., workers=..., ...) -> Nginx, not yet
    started.  At the end each is stopped, nothing of it may be left, and its
    log may hold no alert, emerg or crit save what it was told to allow(), and
    no secret.
    """

    made = []

    def make(http="", main="", **options):
        server = Nginx(f"{place}/nginx{len(made) or ''}", http, main,
                       **options)
        made.append(server)
        return server

    yield make

    faults = []
    for server in made:
        try:
            server.stop()
        except Exception as e:
            faults.append(str(e))
            server.kill_all()
        try:
            server.check_log()
        except AssertionError as e:
            faults.append(str(e))
        try:
            leaks.check(server, [f"{namespace.STATE}/autocert"])
        except AssertionError as e:
            faults.append(str(e))

    leaks.NONCES.clear()
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="session")
def authority():
    """The CA behind Pebble's own TLS certificate, and for hand-made ones."""

    return Authority()


@pytest.fixture
def dns(place):
    """Pebble's DNS, at 127.0.0.1:53."""

    server = ChallTestSrv(f"{place}/dns")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def pebble(place, authority, dns):
    """pebble(nonce_reject=..., validity=..., ...) -> Pebble, started."""

    made = []

    def make(**options):
        server = Pebble(f"{place}/pebble{len(made) or ''}", authority,
                        **options)
        made.append(server)
        return server.start()

    yield make

    for server in made:
        server.stop()


@pytest.fixture
def fakeca(place, authority):
    """fakeca(host=..., pair=..., ...) -> FakeCA, started."""

    made = []

    def make(host="localhost", pair=None, **options):
        pair = pair or authority.issue([host, "127.0.0.1", "::1"])
        dir = f"{place}/fakeca{len(made) or ''}"
        os.makedirs(dir)
        server = FakeCA(pair, dir, host=host, **options)
        made.append(server)

        server.trust = f"{dir}/trust.pem"
        with open(server.trust, "wb") as f:
            f.write(authority.pem)
        server.directives = (f"autocert_ca {server.directory};\n"
                             f"autocert_ca_certificate {server.trust};\n")
        return server

    yield make

    for server in made:
        server.stop()


@pytest.fixture
def proxy(place, pebble):
    """proxy(pebble(...), port=...), or proxy(...) -> Proxy, started."""

    made = []

    def make(ca=None, port=14001, **options):
        dir = f"{place}/proxy{len(made) or ''}"
        os.makedirs(dir)
        server = Proxy(dir, ca or pebble(**options), port)
        made.append(server)
        return server.start()

    yield make

    for server in made:
        server.stop()

    assert [server.wrong for server in made if server.wrong] == []


@pytest.fixture
def clock(place):
    """clock.env is for nginx(env=...)."""

    return Clock(place)
