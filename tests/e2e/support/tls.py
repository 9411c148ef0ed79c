"""TLS clients: one full handshake, a stream of them, openssl's own."""

import socket
import ssl
import subprocess
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3


class Peer:
    """What a handshake showed of the server."""

    def __init__(self, tls, took):
        self.der = tls.getpeercert(binary_form=True)
        self.cert = x509.load_der_x509_certificate(self.der)
        self.version = tls.version()
        self.cipher = tls.cipher()[0]
        self.alpn = tls.selected_alpn_protocol()
        self.reused = tls.session_reused
        self.took = took

    @property
    def names(self):
        try:
            san = self.cert.extensions.get_extension_for_class(
                x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return []
        return sorted(str(n.value) for n in san)

    @property
    def self_signed(self):
        return self.cert.issuer == self.cert.subject

    @property
    def serial(self):
        return self.cert.serial_number

    @property
    def curve(self):
        return self.cert.public_key().curve.name

    @property
    def point(self):
        """The public key, uncompressed."""

        return self.cert.public_key().public_bytes(
            serialization.Encoding.X962,
            serialization.PublicFormat.UncompressedPoint)


def client_context(version=None, root=None, alpn=None, ciphers=None,
                   own=None):
    """
    Verifies against root (PEM) if it is given, else trusts all.  own: the
    client's certificate and key, paths.
    """

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    if root is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(
            cadata=root.decode() if isinstance(root, bytes) else root)

    if version:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    if ciphers:
        context.set_ciphers(ciphers)
    if own:
        context.load_cert_chain(*own)

    return context


def handshake(name, port=443, address="127.0.0.1", timeout=10, context=None,
              talk=None, **options):
    """
    One connection, no retry; options as of client_context().  name None
    sends no SNI.  talk(tls) runs before the connection is closed.
    """

    context = context or client_context(**options)
    began = time.monotonic()

    with socket.create_connection((address, port), timeout) as raw:
        with context.wrap_socket(raw, server_hostname=name) as tls:
            took = time.monotonic() - began
            peer = Peer(tls, took)
            if talk:
                talk(tls)
            return peer


def resume(context, name, session=None, port=443, address="127.0.0.1"):
    """
    (session, whether the one offered was taken, the answer); sessions of
    TLS 1.3 come with the answer to a request.
    """

    with socket.create_connection((address, port), 10) as raw:
        with context.wrap_socket(raw, server_hostname=name,
                                 session=session) as s:
            s.sendall(f"GET / HTTP/1.0\r\nHost: {name}\r\n\r\n".encode())
            answer = b""
            while True:
                data = s.recv(65536)
                if not data:
                    return s.session, s.session_reused, answer
                answer += data


def fetch(name, path="/", port=443, address="127.0.0.1", timeout=10,
          tls=True, host=None, **options):
    """(status, headers, body) of one GET over HTTP/1.1; tls=False plain."""

    request = (f"GET {path} HTTP/1.1\r\nHost: {host or name}\r\n"
               "User-Agent: tests\r\nConnection: close\r\n\r\n").encode()
    answer = b""

    with socket.create_connection((address, port), timeout) as s:
        if tls:
            s = client_context(**options).wrap_socket(s, server_hostname=name)
        s.sendall(request)
        while True:
            data = s.recv(65536)
            if not data:
                break
            answer += data
        s.close()

    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    return int(lines[0].split()[1]), headers, body


class HandshakeStream:
    """
    Threads that do one full handshake after the other, without retry:

        with HandshakeStream("example.com") as stream:
            stream.wait(100)        # so many more are done
        assert not stream.failures
        stream.slowest              # s
        stream.certificates         # {DER: when first seen}, in order
    """

    def __init__(self, name, threads=2, pause=0, root=None, **options):
        self.name = name
        self.options = options
        self.pause = pause
        version = options.pop("version", None)
        self.contexts = [client_context(version, root)
                         for _ in range(threads)]
        self.done = 0
        self.failures = []
        self.slowest = 0
        self.certificates = {}
        self.lock = threading.Lock()
        self.halt = threading.Event()
        self.threads = []

    def __enter__(self):
        for context in self.contexts:
            thread = threading.Thread(target=self.work, args=(context,),
                                      daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def __exit__(self, *exc):
        self.halt.set()
        for thread in self.threads:
            thread.join(30)
        assert not any(t.is_alive() for t in self.threads), "a client hangs"

    def work(self, context):
        while not self.halt.is_set():
            began = time.monotonic()
            try:
                peer = handshake(self.name, context=context, **self.options)
            except Exception as e:
                with self.lock:
                    took = time.monotonic() - began
                    self.failures.append((time.time(), took, repr(e)))
            else:
                with self.lock:
                    self.done += 1
                    self.slowest = max(self.slowest, peer.took)
                    self.certificates.setdefault(peer.der, time.time())
            if self.pause:
                self.halt.wait(self.pause)

    def wait(self, more, timeout=60):
        """Until so many more handshakes are done."""

        goal = self.done + more
        deadline = time.monotonic() + timeout
        while self.done < goal:
            assert time.monotonic() < deadline, \
                f"{self.done} of {goal} handshakes; {self.failures[-3:]}"
            time.sleep(0.01)


def s_client(*args, name=None, port=443, address="127.0.0.1", stdin=b"",
             timeout=15):
    """openssl s_client; its output as text, stderr included."""

    sni = ["-servername", name] if name else ["-noservername"]
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{address}:{port}", *sni, *args],
        input=stdin, timeout=timeout, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    return done.stdout.decode(errors="replace")
