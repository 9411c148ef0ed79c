"""The main path under valgrind's memcheck: issued, reloaded, renewed."""

import glob
import os
import re

import pytest

from support import tls
from support.wait import wait_for

HERE = os.path.dirname(os.path.abspath(__file__))

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert_key_type secp256r1;
    autocert on admin@example.com;
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""

MEMCHECK = ["valgrind", "--tool=memcheck", "--vgdb=no", "--error-limit=no",
            "--leak-check=full", "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite", "--num-callers=24",
            "--keep-debuginfo=yes",
            f"--suppressions={HERE}/valgrind.supp"]


# what runs under valgrind has no title of its own: the log tells who does what

@pytest.mark.deep
@pytest.mark.limit(900)
def test_memcheck(nginx, pebble, tmp_path):
    ca = pebble(validity=120)
    logs = tmp_path / "memcheck"
    logs.mkdir()
    logs.chmod(0o777)

    server = nginx(CONF % ca.directives, workers=1,
                   wrap=[*MEMCHECK, f"--log-file={logs}/%p"])
    server.start(timeout=60, ready=False)

    server.wait_log('certificate of "example.com" issued', 120)
    first = tls.handshake("example.com", root=ca.root(), timeout=60)

    mark = server.mark()
    server.signal("HUP")
    server.wait_log("reconfiguring", 30, since=mark)
    server.wait_log("gracefully shutting down", 120, since=mark)

    server.wait_log('certificate of "example.com" renewed', 240, since=mark)
    wait_for(lambda: tls.handshake("example.com", root=ca.root(),
                                   timeout=60).der != first.der,
             60, "the renewed certificate")

    server.stop(timeout=120)

    reports = "".join(open(path).read() for path in glob.glob(f"{logs}/*"))
    errors = re.findall(r"ERROR SUMMARY: (\d+) errors", reports)

    # master, two workers, two helpers, and whom daemon() has left behind
    assert len(errors) >= 5
    assert set(errors) == {"0"}, reports
