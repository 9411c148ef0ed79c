"""When a CA is asked whether it has done what it was asked to do."""

from support.engine import conf, issued
from support.wait import wait_for


def looks(ca):
    """For each challenge that was answered: after how long, each time."""

    found, looking = [], False
    for request in ca.requests:
        if request.step == "challenge":
            found.append([])
            began, looking = request.at, True
        elif request.step == "finalize":
            looking = False
        elif request.step == "authz" and looking:
            found[-1].append(request.at - began)

    return found


def all_issued(server, names):
    for name in names:
        issued(server, name)


def test_sooner_where_it_is_quick(nginx, dns, fakeca):
    ca = fakeca()
    names = [f"n{n}.test" for n in range(5)]
    all_issued(nginx(conf(ca, " ".join(names))).start(), names)

    found = looks(ca)
    assert [len(look) for look in found] == [1] * 5
    assert found[0][0] >= 0.24 and min(look[0] for look in found[2:]) < 0.12


def test_later_where_it_is_not(nginx, dns, fakeca):
    """Once in vain, and never again as soon as that."""

    ca = fakeca()
    ca.hold("authz")
    names = [f"n{n}.test" for n in range(3)]
    server = nginx(conf(ca, " ".join(names))).start()
    wait_for(lambda: [len(look) for look in looks(ca)] == [1], 30,
             "a look in vain")
    ca.release()
    all_issued(server, names)

    found = looks(ca)
    assert [len(look) for look in found] == [2, 1, 1]
    assert found[0][0] >= 0.24 and min(look[0] for look in found[1:]) >= 0.49
