"""
An order is begun once and ended once, whoever comes and goes meanwhile: with
a CA that waits for the test at each of its steps.
"""

import time

import pytest

from support import tls
from support.certs import Authority
from support.wait import wait_for

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert on;
    server {
        listen 80;
        listen 443 ssl;
        server_name %s;
        autocert on;
        return 404 none;
    }
"""


def kill(server):
    helper = server.helper()
    server.allow("exited on signal 9")
    server.signal("KILL", helper)
    server.helper(other_than=[helper])


def restart(server):
    server.stop()
    server.start()


HOW = {"reload": lambda s: s.reload(), "kill": kill, "restart": restart}

# what the CA holds back, and what the log says while it does

STAGES = {"validation": ("authz", "awaiting the validation"),
          "issuance": ("finalize", "awaiting the certificate")}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", HOW)
def test_taken_up(nginx, dns, fakeca, how, stage):
    """Again and again: one order, one CSR, the key that it was for."""

    held, says = STAGES[stage]
    ca = fakeca()
    ca.hold(held)
    server = nginx(CONF % (ca.directives, "example.com")).start()
    server.wait_log(says, 60)

    for n in range(2):
        mark = server.mark()
        HOW[how](server)
        server.wait_log('going on with the order for "example.com"', 60,
                        since=mark)
        server.wait_log(says, 60, since=mark)
        if stage == "validation":
            assert ca.fetch()[::2] == (200, ca.expected())

    ca.release()
    server.wait_log('certificate of "example.com" issued', 60)
    assert len(ca.of("account")) == len(ca.of("order")) == 1
    assert len(ca.of("finalize")) == 1
    assert ca.wrong == []
    assert not server.grep("no certificate for")
    assert tls.handshake("example.com", root=ca.root).cert.public_key() \
        .public_numbers() == ca.orders[0]["csr"].public_key().public_numbers()


@pytest.mark.parametrize("stage", ["ready", "valid"])
def test_token_left_behind(nginx, dns, fakeca, stage):
    """
    The helper dies with its token on the board, and the CA is done before
    there is another one: that one takes it down before it goes on.
    """

    ca = fakeca()
    ca.hold("authz")
    server = nginx(CONF % (ca.directives, "example.com")).start()
    server.wait_log("awaiting the validation", 60)

    seen = []
    for step in "finalize", "status", "cert":
        ca.before(step, lambda r: seen.append((r.step, ca.fetch()[::2])))

    helper = server.helper()
    server.allow("exited on signal 9")
    server.signal("STOP", helper)
    with ca.lock:
        ca.release()
        ca.validate(ca.orders[0])
    assert ca.orders[0]["order"] == "ready"

    if stage == "valid":
        # finalized by a helper that has left its key
        server.signal("CONT", helper)
        ca.hold("finalize")
        server.wait_log("awaiting the certificate", 60)
        server.signal("KILL", helper)
        ca.release()
    else:
        server.signal("KILL", helper)

    server.wait_log('certificate of "example.com" issued', 60)
    assert ca.fetch()[::2] == (404, b"none")
    assert {s for s, _ in seen} >= {"finalize", "cert"}

    # the order is read first: that is how its end is learnt of
    after = [what for step, what in seen if step in ("finalize", "cert")]
    assert set(after) == {(404, b"none")}
    assert len(ca.of("order")) == 1


def test_order_before_new_names(nginx, dns, fakeca):
    """
    A server is added, ahead of the one whose validation is under way: its
    order waits, else its challenge would take the other's place.
    """

    ca = fakeca()
    ca.hold("authz")
    server = nginx(CONF % (ca.directives, "example.com")).start()
    server.wait_log("awaiting the validation", 60)

    server.write(CONF % (ca.directives, "a.test b.test example.com"))
    mark = server.mark()
    server.reload()
    server.wait_log('the order for "', 60, since=mark)
    assert ca.fetch(0)[::2] == (200, ca.expected(0))

    ca.release()
    for name in "example.com", "a.test", "b.test":
        server.wait_log(f'certificate of "{name}" issued', 60, since=mark)
    assert [o["name"] for o in ca.orders] == ["example.com", "a.test", "b.test"]
    assert not server.grep("no certificate for")


def test_new_names_in_an_upgrade(nginx, dns, fakeca):
    """
    Two hundred names that are due stand before the one whose validation is
    under way: the workers of the new master know its challenge nonetheless,
    and that it is over.
    """

    ca = fakeca()
    ca.hold("authz")
    server = nginx(CONF % (ca.directives, "example.com")).start()
    server.wait_log("awaiting the validation", 60)
    old = server.master

    # the new workers have a port of their own
    names = " ".join(f"n{n}.test" for n in range(200))
    server.write("server_names_hash_max_size 4096;"
                 + CONF.replace("listen 80;", "listen 80; listen 81;")
                 % (ca.directives, f"{names} example.com"))
    server.signal("USR2")
    wait_for(lambda: len(server.workers()) == 2 * server.n, 20)

    for n in range(3):
        assert ca.fetch(port=81)[::2] == (200, ca.expected())

    # the order is the old helper's, to its end
    ca.release()
    server.wait_log('certificate of "example.com" issued', 60)
    wait_for(lambda: ca.fetch(port=81)[::2] == (404, b"none"), 10)

    server.signal("QUIT", old)
    server.wait_gone([old])
    assert len([o for o in ca.orders if o["name"] == "example.com"]) == 1


def test_one_order_at_a_time(nginx, dns, fakeca):
    """
    A name comes due by a look at the store; the clock, which has waited for
    another one, begins nothing while that order is under way.
    """

    ca = fakeca()
    ca.life = 30
    server = nginx(CONF % (ca.directives, "a.test b.test")).start()
    for name in "a.test", "b.test":
        server.wait_log(f'certificate of "{name}" issued', 60)
    due = time.time() + 15

    # one that is to be renewed at once takes the place of that of b.test
    ca.hold("authz")
    Authority().issue("b.test", life=3600, age=30 * 86400) \
        .store(f"{server.dir}/store", "b.test")
    wait_for(lambda: len(ca.orders) == 3, 30, "an order for b.test")
    assert ca.orders[2]["name"] == "b.test"

    wait_for(lambda: time.time() > due + 5, 60, "a.test to be due")
    assert len(ca.orders) == 3
    assert len(server.grep('the order for "')) == 3, "nor is it begun twice"
    mark = server.mark()
    ca.release()
    for name in "b.test", "a.test":
        server.wait_log(f'certificate of "{name}" renewed', 60, since=mark)
    assert ca.wrong == []


def test_the_other_was_faster(nginx, dns, fakeca):
    """
    Two servers, one store, the second waits for the lock.  It gets it when
    the first has just obtained the certificate and has left.
    """

    ca = fakeca()
    ca.hold("finalize")
    first = nginx(CONF % (ca.directives, "example.com")).start()
    first.wait_log("awaiting the certificate", 60)

    second = nginx(CONF.replace("{dir}/store", f"{first.dir}/store")
                   .replace("listen 80", "listen 81")
                   .replace("listen 443", "listen 444")
                   % (ca.directives, "example.com")).start()
    second.wait_log("another process renews the certificates", 30)

    assert tls.handshake("example.com", port=444).self_signed

    ca.release()
    first.wait_log('certificate of "example.com" issued', 60)
    der = tls.handshake("example.com", root=ca.root).der
    first.stop()

    second.wait_log('certificate of "example.com" in the store has changed',
                    30)
    assert tls.handshake("example.com", port=444, root=ca.root).der == der

    assert not second.grep("beginning the order|going on with")
    assert len(ca.of("order")) == 1
    assert len(second.grep("another process renews")) == 1


def test_the_other_has_left_in_the_middle(nginx, dns, fakeca):
    """Its order is in the store and is taken up by the second."""

    ca = fakeca(http_port=81)
    ca.hold("authz")
    first = nginx(CONF % (ca.directives, "example.com")).start()
    first.wait_log("awaiting the validation", 60)
    second = nginx(CONF.replace("{dir}/store", f"{first.dir}/store")
                   .replace("listen 80", "listen 81")
                   .replace("listen 443", "listen 444")
                   % (ca.directives, "example.com")).start()
    second.wait_log("another process renews the certificates", 30)

    # each has a board of its own, and knows of the other's order
    wait_for(lambda: ca.fetch()[0] == 200, 30, "the token at the second")

    first.stop()
    second.wait_log('going on with the order for "example.com"', 30)
    assert ca.fetch()[0] == 200
    ca.release()
    second.wait_log('certificate of "example.com" issued', 60)
    assert len(ca.of("order")) == 1
    assert tls.handshake("example.com", port=444, root=ca.root)
