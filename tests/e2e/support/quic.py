"""HTTP/3 clients: aioquic, which tells of sessions, and curl."""

import asyncio
import importlib.util
import ssl
import subprocess

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from .nginx import BINARY


def had():
    """Does this NGINX speak HTTP/3, and is there who asks it?"""

    built = subprocess.run([BINARY, "-V"], stderr=subprocess.PIPE,
                           text=True).stderr
    return "http_v3_module" in built \
        and importlib.util.find_spec("aioquic") is not None


class Failed(Exception):
    """The handshake, or the request after it."""


class Answer:
    def __init__(self, quic, tickets, status, body):
        self.cert = x509.load_der_x509_certificate(
            quic.tls._peer_certificate.public_bytes(Encoding.DER)) \
            if quic.tls._peer_certificate else None
        self.reused = quic.tls.session_resumed
        self.early = quic.tls.early_data_accepted
        self.tickets = tickets
        self.status = status
        self.body = body


def get(name, path="/", port=443, ticket=None, early=False, root=None,
        alpn=("h3",), timeout=10):
    """
    One connection and a GET on it; verified against root (PEM) if given.
    ticket: a session to take up; early: the request goes with the hello.
    """

    return asyncio.run(asyncio.wait_for(
        ask(name, path, port, ticket, early, root, alpn), timeout))


async def ask(name, path, port, ticket, early, root, alpn):
    from aioquic.asyncio.client import connect
    from aioquic.quic.configuration import QuicConfiguration

    settings = QuicConfiguration(is_client=True, alpn_protocols=list(alpn),
                                 server_name=name, session_ticket=ticket,
                                 verify_mode=ssl.CERT_REQUIRED if root
                                 else ssl.CERT_NONE)
    if root:
        settings.load_verify_locations(cadata=root)

    tickets = []

    async with connect("127.0.0.1", port, configuration=settings,
                       create_protocol=client(),
                       session_ticket_handler=tickets.append,
                       wait_connected=False) as one:
        try:
            if not early:
                one.transmit()
                await one.wait_connected()
            status, body = await one.get(name, path)
        except ConnectionError:
            raise Failed(f"{one.ended.error_code:#x} "
                         f"{one.ended.reason_phrase}") from None

        return Answer(one._quic, tickets, status, body)


def client():
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.events import ConnectionTerminated

    class Client(QuicConnectionProtocol):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.http = H3Connection(self._quic)
            self.answer = self.ended = None
            self.status = None
            self.body = b""

        async def get(self, name, path):
            if self.ended:
                raise ConnectionError

            self.answer = self._loop.create_future()
            stream = self._quic.get_next_available_stream_id()
            self.http.send_headers(stream, [
                (b":method", b"GET"), (b":scheme", b"https"),
                (b":authority", name.encode()), (b":path", path.encode())],
                end_stream=True)
            self.transmit()
            return await self.answer

        def quic_event_received(self, event):
            if isinstance(event, ConnectionTerminated):
                self.ended = event
                if self.answer and not self.answer.done():
                    self.answer.set_exception(ConnectionError())
                return

            for e in self.http.handle_event(event):
                if isinstance(e, HeadersReceived):
                    self.status = int(dict(e.headers)[b":status"])
                if isinstance(e, DataReceived):
                    self.body += e.data
                if getattr(e, "stream_ended", False) \
                        and not self.answer.done():
                    self.answer.set_result((self.status, self.body))

    return Client


def curl(name, *args, port=443, timeout=20):
    """(exit status, output) of curl, by HTTP/3 and nothing else."""

    done = subprocess.run(
        ["curl", "-sS", "--http3-only", "--max-time", "10", "--resolve",
         f"{name}:{port}:127.0.0.1", *args, f"https://{name}:{port}/"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=timeout)
    return done.returncode, done.stdout
