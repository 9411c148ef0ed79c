"""autocert on: the main job, against real Pebble."""

import pytest

from support import tls
from support.wait import wait_for

SERVER = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert on admin@example.com;
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com www.example.com;
        autocert on;
        location / { return 200 "hello\\n"; }
    }
"""


def test_main_job(nginx, pebble):
    ca = pebble()
    server = nginx(SERVER % ca.directives).start()

    for name in "example.com", "www.example.com":
        server.wait_log(f'certificate of "{name}" issued', 30)
        peer = tls.handshake(name, root=ca.root())
        assert peer.names == [name]
        assert peer.curve == "secp384r1"

    assert ca.issued() == 2
