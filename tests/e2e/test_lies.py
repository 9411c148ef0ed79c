"""
Where a body ends with its connection, TLS has to say that it ends there: who
sits between could else cut it where it suits him.
"""

import os

import pytest

from support import tls
from support.engine import conf, failed, issued

END = b"-----END CERTIFICATE-----\n"


def until_closed(honest, n):
    """So many bytes of the body, and nothing that says how many there are."""

    head = "".join(f"{k}: {v}\r\n" for k, v in honest.headers.items())
    return (f"HTTP/1.1 {honest.status} X\r\n{head}\r\n".encode()
            + honest.body[:n])


@pytest.mark.parametrize("cut", [False, True])
def test_end_without_close_notify(nginx, dns, fakeca, cut):
    """Python's server just closes; what came is a chain that would do."""

    ca = fakeca()
    ca.answer("cert", lambda honest: until_closed(
        honest, honest.body.index(END) + len(END) if cut else None),
        times=None)
    server = nginx(conf(ca)).start()
    line = failed(server)
    assert "closed before the answer was whole" in line
    assert "unexpected eof while reading" in line
    assert tls.handshake("example.com").self_signed
    assert "fullchain.pem" not in os.listdir(f"{server.dir}/store/example.com")


def test_end_with_close_notify(nginx, dns, fakeca):
    ca = fakeca(ends=True)
    ca.answer("cert", lambda honest: until_closed(honest, None), times=None)
    server = nginx(conf(ca)).start()
    issued(server)
    assert tls.handshake("example.com", root=ca.root).names == ["example.com"]
