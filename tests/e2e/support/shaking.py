"""Handshakes taken apart: flights as bytes, to be sent as a test likes."""

import select
import socket
import ssl
import struct

from .tls import client_context


class Shaking:
    """
    A client whose bytes go where the test sends them:

        s = Shaking("example.com")
        hello = s.flight()              # what the client wants to send
        s.sock.sendall(hello)
        s.finish()                      # the rest, to the end
    """

    def __init__(self, name, port=443, address="127.0.0.1", timeout=15,
                 **options):
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = client_context(**options).wrap_bio(
            self.incoming, self.outgoing, server_hostname=name)
        self.sock = socket.create_connection((address, port), timeout)
        self.done = False

    def flight(self):
        try:
            self.tls.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            pass
        return self.outgoing.read()

    def hello(self):
        """Sends the whole ClientHello."""

        self.sock.sendall(self.flight())
        return self

    def finish(self):
        """Goes on to the end of the handshake; raises if it fails."""

        while not self.done:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("closed in the handshake")
            self.incoming.write(data)
            self.sock.sendall(self.flight())
        return self

    def get(self, path="/"):
        """A request; the answer up to the end of the connection."""

        return self.ask(path).answer()

    def ask(self, path="/"):
        return self.say((f"GET {path} HTTP/1.1\r\nHost: example.com\r\n"
                         "Connection: close\r\n\r\n").encode())

    def say(self, data):
        self.tls.write(data)
        self.sock.sendall(self.outgoing.read())
        return self

    def answer(self, last=None):
        """Up to the end of the connection, or to these bytes."""

        text = b""
        while last is None or last not in text:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                data = self.sock.recv(65536)
                if not data:
                    return text
                self.incoming.write(data)
                continue
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return text
            if not piece:
                return text
            text += piece
        return text

    def ended(self):
        """True if the server has closed the connection; waits for it."""

        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def waits(self):
        """False if the server has closed the connection by now."""

        while select.select([self.sock], [], [], 0)[0]:
            try:
                if not self.sock.recv(65536):
                    return False
            except ConnectionResetError:
                return False
        return True

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()
