"""
Namespaces of the tests' own, by scripts/namespace: ports 53, 80 and 443 are
free and real, and whatever is left behind is gone with the last test.
"""

import os
import subprocess
import sys

MARK = "AUTOCERT_E2E_NAMESPACE"
STATE = "/var/lib/nginx"
SCRIPT = os.path.abspath(f"{__file__}/../../../../scripts/namespace")


def inside():
    return MARK in os.environ


def enter(argv):
    """Runs argv once more, inside; does not return."""

    os.environ[MARK] = "1"
    sys.stdout.flush()
    os.execv(SCRIPT, [SCRIPT, *argv])


def mount(*args):
    subprocess.run(["mount", *args], check=True, timeout=10)


def furnish():
    """
    A file system in memory on NGINX's state directory, for all that tests
    write; a resolv.conf that names our own DNS; hosts with localhost alone.
    """

    os.makedirs(STATE, exist_ok=True)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", STATE)

    for path, text in (("/etc/resolv.conf", "nameserver 127.0.0.1\n"),
                       ("/etc/hosts", "127.0.0.1 localhost\n")):
        ours = f"{STATE}/{os.path.basename(path)}"
        with open(ours, "w") as f:
            f.write(text)

        path = os.path.realpath(path)
        if os.path.exists(path):
            mount("--bind", ours, path)
