"""What a changed configuration means for the certificates there are."""

import pytest

from support import proc, tls
from support.engine import (DAY, conf, failed, failures, issued, kill, of_ca,
                            one, reload, restart, state)
from support.wait import wait_for

LIFE = 90 * DAY



@pytest.fixture
def ca(proxy):
    return proxy(validity=LIFE)


def rewritten(server, text):
    mark = server.mark()
    server.write(text)
    reload(server)
    return mark


def test_added(nginx, ca):
    server = nginx(conf(ca)).start()
    issued(server)
    mark = rewritten(server, conf(ca, "example.com b.test"))
    issued(server, "b.test", since=mark)
    assert ca.ordered() == ["example.com", "b.test"]


@pytest.mark.parametrize("loaded", [True, False], ids=["off", "not loaded"])
def test_turned_on(nginx, ca, loaded):
    """The workers that know of no challenge are gone when the CA is asked."""

    server = nginx("server { listen 80; }", modules=loaded).start()
    old = server.workers()
    left = []
    ca.before("order", lambda r: left.extend(filter(proc.alive, old)))

    server.modules = True
    mark = rewritten(server, conf(ca))
    issued(server, since=mark)
    assert len(old) == server.n and left == []


def test_removed(nginx, ca, clock):
    """Its files stay, and are never renewed."""

    server = nginx(conf(ca, "example.com b.test"), env=clock.env).start()
    issued(server)
    issued(server, "b.test")
    rewritten(server, conf(ca, "b.test"))
    clock.skip(server, 84 * DAY)
    server.wait_log('certificate of "b.test" renewed', 30)
    restart(server)
    assert ca.count("order", "example.com") == 1


def test_removed_while_it_waits(nginx, ca, clock):
    ca.answer("order", 400, "malformed", "no", times=None)
    server = nginx(conf(ca, "example.com b.test"), env=clock.env).start()
    failures(server, 1)
    failures(server, 1, "b.test")
    rewritten(server, conf(ca, "b.test"))
    clock.skip(server, 3600)
    failures(server, 2, "b.test")
    assert ca.count("order", "example.com") == 1


def test_key_type(nginx, ca):
    """Once, and the old one serves until then."""

    server = nginx(conf(ca)).start()
    issued(server)
    root = ca.pebble.root()
    ca.answer("authz", slow=2)

    with tls.HandshakeStream("example.com", pause=0.02, root=root) as stream:
        stream.wait(5)
        mark = rewritten(server, conf(ca, curve="secp384r1"))
        server.wait_log('certificate of "example.com" renewed', 30,
                        since=mark)
        stream.wait(10)

    assert stream.failures == []
    assert len(stream.certificates) == 2
    assert tls.handshake("example.com").curve == "secp384r1"
    for how in reload, restart, reload:
        how(server)
    assert ca.count("order") == 2

    # back and forth is within the budget, too
    mark = rewritten(server, conf(ca, curve="secp256r1"))
    server.wait_log('certificate of "example.com" renewed', 30, since=mark)
    mark = rewritten(server, conf(ca, curve="secp384r1"))
    server.wait_log("the budget is used up", 30, since=mark)
    assert ca.count("finalize") == 3


def test_another_ca(nginx, ca, proxy, pebble):
    other = proxy(pebble(validity=LIFE, port=14100, management=15100),
                  port=14002)
    server = nginx(conf(ca)).start()
    issued(server)
    old = tls.handshake("example.com", root=ca.pebble.root()).der
    other.answer("authz", slow=2)

    with tls.HandshakeStream("example.com", pause=0.02) as stream:
        stream.wait(5)
        mark = rewritten(server, conf(other))
        server.wait_log('certificate of "example.com" renewed', 30,
                        since=mark)
        stream.wait(10)

    assert stream.failures == []
    assert list(stream.certificates)[0] == old
    assert len(stream.certificates) == 2
    assert tls.handshake("example.com", root=other.pebble.root())
    assert "replaces" not in other.of("order")[0].payload
    assert state(server)["issuer"] == other.directory
    for how in reload, restart:
        how(server)
    assert (ca.count("order"), other.count("order")) == (1, 1)


def test_another_ca_that_is_not_there(nginx, ca):
    """The old certificate serves on."""

    server = nginx(conf(ca)).start()
    issued(server)
    der = tls.handshake("example.com").der
    mark = server.mark()
    server.write(conf(ca).replace(":14001/", ":14009/"))
    reload(server)
    assert 'no new certificate for "example.com"' in failed(server, since=mark)
    assert tls.handshake("example.com").der == der
    mark = server.mark()
    server.write(conf(ca))
    reload(server)
    assert tls.handshake("example.com").der == der
    assert ca.count("order") == 1


def test_a_changed_setup_forgets_failures(nginx, ca):
    """A person has done something about it."""

    ca.answer("order", 400, "malformed", "no")
    server = nginx(conf(ca)).start()
    failures(server, 1)
    reload(server)
    assert ca.count("order") == 1
    mark = rewritten(server, conf(ca, curve="secp384r1"))
    issued(server, since=mark)
    assert ca.count("order") == 2


def test_a_helper_that_dies_is_no_reload(nginx, ca, clock):
    """However long after one."""

    ca.answer("order", 400, "malformed", "no", times=None, retry_after=7200)
    server = nginx(conf(ca), env=clock.env).start()
    failures(server, 1)
    reload(server)
    clock.skip(server, 700)
    kill(server)
    assert ca.count("order") == 1

    # which is one
    ca.normal()
    reload(server)
    issued(server)


def test_contacts(nginx, ca):
    server = nginx(conf(ca)).start()
    issued(server)
    assert ca.of("account")[0].payload["contact"] \
        == ["mailto:admin@example.com"]

    rewritten(server, conf(ca, contact="new@example.com"))
    line = server.wait_log("the contacts of the account are changed at the "
                           "CA", 30)
    assert "[notice]" in line
    request, = ca.of("contacts")
    assert request.payload == {"contact": ["mailto:new@example.com"]}
    assert request.status == 200
    wait_for(lambda: one(server, "account.json").get("contacts")
             == ["new@example.com"], 10, "written")

    for how in reload, restart:
        how(server)
    assert ca.count("contacts") == 1
    assert ca.count("order") == ca.count("account") == 1


def test_contacts_refused(nginx, ca, clock):
    """Told once a day; certificates are obtained all the same."""

    server = nginx(conf(ca), env=clock.env).start()
    issued(server)
    ca.answer("contacts", 400, "invalidContact", "not that one", times=None)
    rewritten(server, conf(ca, "example.com b.test",
                           contact="new@example.com"))
    line = server.wait_log("the contacts of the account could not be changed: "
                           r".*not that one.*next try at \S+Z", 30)
    assert "[warn]" in line
    issued(server, "b.test")
    wait_for(lambda: of_ca(server).get("contacts_at"), 10, "remembered")
    assert abs(of_ca(server)["contacts_at"] - clock.now() - DAY) < 20
    assert not of_ca(server).get("hold")

    for how in reload, restart:
        how(server)
    assert ca.count("contacts") == 1

    ca.normal()
    clock.skip(server, DAY + 10)
    server.wait_log("the contacts of the account are changed", 30)
