"""
A CA that does what a test tells it: RFC 8555 over HTTPS, each request kept
and checked, any answer replaced.
"""

import base64
import datetime
import hashlib
import http.client
import json
import secrets
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from .certs import make_key, sign
from .leaks import NONCES

NEVER_SIGNED = {"directory", "nonce"}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    assert "=" not in text and "+" not in text and "/" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def thumbprint(jwk):
    text = json.dumps({k: jwk[k] for k in ("crv", "kty", "x", "y")},
                      separators=(",", ":"))
    return b64(hashlib.sha256(text.encode()).digest())


class BadNonce(Exception):
    pass


class Reply:
    def __init__(self, status=200, body=b"", type="application/json", **more):
        self.status = status
        self.body = (json.dumps(body) if isinstance(body, (dict, list))
                     else body)
        if isinstance(self.body, str):
            self.body = self.body.encode()
        self.headers = {"Content-Type": type,
                        **{k.replace("_", "-"): v for k, v in more.items()}}


def problem(status, type, detail, **more):
    return Reply(status, {"type": f"urn:ietf:params:acme:error:{type}",
                          "detail": detail},
                 "application/problem+json", **more)


class Request:
    """step: "directory", "nonce", "account", "order", "status" (of an order),
    "authz", "challenge", "finalize", "cert"."""

    def __init__(self, step, handler, body):
        self.at = time.monotonic()
        self.step = step
        self.method = handler.command
        self.path = handler.path
        self.headers = handler.headers
        self.body = body
        self.protected = self.payload = None


class FakeCA:
    """
        ca = FakeCA(pair)                   # TLS certificate and key
        ca.answer("order", problem(...))    # for the next newOrder
        ca.answer("order", reply, times=None)   # for all
        ca.hold("authz")                    # polling goes on until released
        ca.before("challenge", function)    # called with each such request

    requests has all that came, wrong what was wrong about them.
    """

    def __init__(self, pair, dir, address="127.0.0.1", port=14001,
                 host="localhost", path="/dir", close=False, tls=None,
                 http_port=80, ends=False):
        self.base = f"https://{host}" + ("" if port == 443 else f":{port}")
        self.directory = self.base + path
        self.path = path
        self.close = close
        self.ends = ends                # with close_notify
        self.http_port = http_port
        self.connections = 0
        self.busy = 0                   # answers under way
        self.requests = []
        self.wrong = []
        self.lock = threading.RLock()
        self.answers = {}
        self.hooks = {}
        self.held = set()
        self.nonces = set()
        self.accounts = {}              # thumbprint: number
        self.keys = []
        self.orders = []
        self.life = 90 * 86400

        self.key = make_key()
        self.cert = sign(["Fake CA"], self.key, ca=True)
        self.root = self.cert.public_bytes(Encoding.PEM)

        pair.write(f"{dir}/fakeca.pem", f"{dir}/fakeca.key")
        self.context = tls or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(f"{dir}/fakeca.pem", f"{dir}/fakeca.key")

        ca = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def setup(self):
                self.request.settimeout(60)
                try:
                    self.request = ca.context.wrap_socket(self.request,
                                                          server_side=True)
                except OSError:
                    pass                # it was its client who had enough
                with ca.lock:
                    ca.connections += 1
                super().setup()

            def handle(self):
                if isinstance(self.request, ssl.SSLSocket):
                    try:
                        super().handle()
                    except OSError:
                        pass

            def finish(self):
                try:
                    super().finish()
                    if ca.ends:
                        self.request.unwrap()
                except (OSError, ValueError):
                    pass

            def do(self):
                ca.serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            address_family = (socket.AF_INET6 if ":" in address
                              else socket.AF_INET)

            def handle_error(self, *args):
                pass

        self.server = Server((address, port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    # what the test asks for

    def answer(self, step, reply, times=1):
        """
        reply: Reply; bytes to send as they are, or an iterator of them, to
        the end of the connection, which TLS is not told; None: just that; or
        a function of the honest Reply that returns one of these.
        """

        with self.lock:
            self.answers[step] = [reply, times]

    def normal(self, *steps):
        with self.lock:
            for step in steps or list(self.answers):
                self.answers.pop(step, None)

    def before(self, step, function):
        self.hooks[step] = function

    def hold(self, *steps):
        """ "authz": the validation, "finalize": the issuance lasts."""

        with self.lock:
            self.held |= set(steps)

    def release(self):
        with self.lock:
            self.held.clear()

    def of(self, step):
        with self.lock:
            return [r for r in self.requests if r.step == step]

    def steps(self):
        with self.lock:
            return [r.step for r in self.requests]

    # the protocol

    def serve(self, handler):
        self.busy += 1
        try:
            self.serve_one(handler)
        finally:
            self.busy -= 1

    def serve_one(self, handler):
        n = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(n)

        with self.lock:
            try:
                step, number = self.route(handler.path)
                request = Request(step, handler, body)
                self.requests.append(request)
                self.check(request)
            except BadNonce:
                step = "badNonce"
            except Exception as e:
                self.wrong.append(f"{handler.command} {handler.path}: {e!r}")
                step = number = None

        try:
            if step in self.hooks:
                self.hooks[step](request)
        except Exception as e:
            self.wrong.append(f"before {step}: {e!r}")

        with self.lock:
            if step is None:
                reply = problem(400, "malformed", self.wrong[-1])
            elif step == "badNonce":
                reply = problem(400, "badNonce", "not one of ours")
            elif step in self.answers:
                reply, times = self.answers[step]
                if times is not None:
                    self.answers[step][1] -= 1
                    if times == 1:
                        del self.answers[step]
                if callable(reply):
                    reply = reply(self.honest(step, request, number))
            else:
                reply = self.honest(step, request, number)

        self.send(handler, reply)

    def honest(self, step, request, number):
        try:
            return getattr(self, "do_" + step)(request, number)
        except Exception as e:
            self.wrong.append(f"{step}: {e!r}")
            return problem(400, "malformed", self.wrong[-1])

    def send(self, handler, reply):
        if reply is None:
            handler.close_connection = True
            return

        if not isinstance(reply, Reply):
            handler.close_connection = True
            for part in [reply] if isinstance(reply, bytes) else reply:
                handler.wfile.write(part)
            return

        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if handler.command != "GET":
            nonce = secrets.token_urlsafe(12)
            with self.lock:
                self.nonces.add(nonce)
            NONCES.add(nonce)
            handler.send_header("Replay-Nonce", nonce)
        handler.send_header("Content-Length", str(len(reply.body)))
        if self.close:
            handler.send_header("Connection", "close")
            handler.close_connection = True
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(reply.body)
        handler.wfile.flush()

    def route(self, path):
        if path == self.path:
            return "directory", None
        parts = path.split("/")
        assert parts[0] == "" and parts[1] in (
            "nonce", "account", "order", "status", "authz", "challenge",
            "finalize", "cert"), "no such resource"
        return parts[1], int(parts[2]) if len(parts) > 2 else None

    def check(self, r):
        """RFC 8555, section 6, and RFC 7515."""

        assert r.headers["Host"] == self.base[8:], "Host"
        assert "nginx-autocert/" in (r.headers["User-Agent"] or ""), "agent"

        if r.step in NEVER_SIGNED:
            assert r.method == {"directory": "GET", "nonce": "HEAD"}[r.step]
            assert r.body == b""
            return

        assert r.method == "POST", "method"
        assert r.headers["Content-Type"] == "application/jose+json", "type"

        jws = json.loads(r.body)
        assert sorted(jws) == ["payload", "protected", "signature"], "members"
        r.protected = head = json.loads(unb64(jws["protected"]))
        payload = unb64(jws["payload"])
        r.payload = json.loads(payload) if payload else None

        assert head["alg"] == "ES256" and head["url"] == self.base + r.path
        if r.step == "account":
            assert sorted(head) == ["alg", "jwk", "nonce", "url"]
            jwk = head["jwk"]
            assert sorted(jwk) == ["crv", "kty", "x", "y"]
            assert jwk["kty"] == "EC" and jwk["crv"] == "P-256"
        else:
            assert sorted(head) == ["alg", "kid", "nonce", "url"]
            prefix = self.base + "/account/"
            assert head["kid"].startswith(prefix), "kid"
            jwk = self.keys[int(head["kid"][len(prefix):])]

        x, y = unb64(jwk["x"]), unb64(jwk["y"])
        assert len(x) == len(y) == 32
        signature = unb64(jws["signature"])
        assert len(signature) == 64
        ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"),
            ec.SECP256R1()).public_key().verify(
                utils.encode_dss_signature(
                    int.from_bytes(signature[:32], "big"),
                    int.from_bytes(signature[32:], "big")),
                f"{jws['protected']}.{jws['payload']}".encode(),
                ec.ECDSA(hashes.SHA256()))

        if head["nonce"] not in self.nonces:
            raise BadNonce
        self.nonces.remove(head["nonce"])

    def do_directory(self, r, n):
        return Reply(200, {
            "newNonce": self.base + "/nonce",
            "newAccount": self.base + "/account",
            "newOrder": self.base + "/order",
            "revokeCert": self.base + "/revoke",
            "keyChange": self.base + "/key-change",
            "meta": {"termsOfService": self.base + "/terms"}})

    def do_nonce(self, r, n):
        return Reply(200)

    def do_account(self, r, n):
        if n is None:
            thumb = thumbprint(r.protected["jwk"])
            new = thumb not in self.accounts
            if new:
                self.accounts[thumb] = len(self.keys)
                self.keys.append(r.protected["jwk"])
            n = self.accounts[thumb]
        else:
            new = False

        return Reply(201 if new else 200,
                     {"status": "valid",
                      "contact": (r.payload or {}).get("contact", []),
                      "orders": f"{self.base}/orders/{n}"},
                     Location=f"{self.base}/account/{n}")

    def do_order(self, r, n):
        ids = r.payload["identifiers"]
        assert len(ids) == 1 and ids[0]["type"] == "dns"
        jwk = self.keys[int(r.protected["kid"].rpartition("/")[2])]
        self.orders.append({
            "name": ids[0]["value"], "order": "pending", "authz": "pending",
            "challenge": "pending", "token": secrets.token_urlsafe(24),
            "thumb": thumbprint(jwk), "polls": 0, "fetched": None})
        n = len(self.orders) - 1
        return Reply(201, self.order_object(n),
                     Location=f"{self.base}/status/{n}")

    def order_object(self, n):
        o = self.orders[n]
        answer = {"status": o["order"],
                  "identifiers": [{"type": "dns", "value": o["name"]}],
                  "authorizations": [f"{self.base}/authz/{n}"],
                  "finalize": f"{self.base}/finalize/{n}"}
        if o["order"] == "valid":
            answer["certificate"] = f"{self.base}/cert/{n}"
        if o.get("error"):
            answer["error"] = o["error"]
        return answer

    def do_status(self, r, n):
        o = self.orders[n]
        if o["order"] == "processing" and "finalize" not in self.held:
            self.issue(o)
        return Reply(200, self.order_object(n))

    def challenge_object(self, n):
        o = self.orders[n]
        answer = {"type": "http-01", "status": o["challenge"],
                  "url": f"{self.base}/challenge/{n}", "token": o["token"]}
        if o.get("error"):
            answer["error"] = o["error"]
        return answer

    def do_authz(self, r, n):
        o = self.orders[n]
        if o["challenge"] == "processing" and "authz" not in self.held:
            self.validate(o)
        others = [{"type": t, "status": "pending", "token": o["token"],
                   "url": f"{self.base}/challenge/{n + 1000}"}
                  for t in ("dns-01", "tls-alpn-01")]
        return Reply(200, {
            "status": o["authz"],
            "identifier": {"type": "dns", "value": o["name"]},
            "challenges": [others[0], self.challenge_object(n), others[1]]})

    def do_challenge(self, r, n):
        assert r.payload == {}
        o = self.orders[n]
        if o["challenge"] == "pending":
            o["challenge"] = "processing"
        return Reply(200, self.challenge_object(n))

    def fetch(self, n=-1, method="GET", port=None):
        """(status, headers, body) of the challenge's URL of an order."""

        o = self.orders[n]
        c = http.client.HTTPConnection("127.0.0.1", port or self.http_port,
                                       timeout=10)
        c.request(method, "/.well-known/acme-challenge/" + o["token"],
                  headers={"Host": o["name"]})
        answer = c.getresponse()
        body = answer.read()
        c.close()
        return answer.status, dict(answer.getheaders()), body

    def expected(self, n=-1):
        o = self.orders[n]
        return f"{o['token']}.{o['thumb']}".encode()

    def validate(self, o):
        n = self.orders.index(o)
        o["fetched"] = self.fetch(n)
        if (o["fetched"][0], o["fetched"][2]) == (200, self.expected(n)):
            o["challenge"] = o["authz"] = "valid"
            o["order"] = "ready"
            return
        o["challenge"] = o["authz"] = o["order"] = "invalid"
        o["error"] = {"type": "urn:ietf:params:acme:error:incorrectResponse",
                      "detail": f"got {o['fetched'][2][:60]!r}"}

    def do_finalize(self, r, n):
        o = self.orders[n]
        if o["order"] != "ready":
            return problem(403, "orderNotReady", f"it is {o['order']}")
        o["csr"] = x509.load_der_x509_csr(unb64(r.payload["csr"]))
        assert o["csr"].is_signature_valid
        names = o["csr"].extensions.get_extension_for_class(
            x509.SubjectAlternativeName).value.get_values_for_type(
                x509.DNSName)
        assert names == [o["name"]], names
        o["order"] = "processing"
        return Reply(200, self.order_object(n))

    def issue(self, o, names=None, key=None):
        now = datetime.datetime.now(datetime.timezone.utc)
        names = names or [o["name"]]
        o["certificate"] = x509.CertificateBuilder() \
            .subject_name(x509.Name([x509.NameAttribute(
                NameOID.COMMON_NAME, names[0][:64])])) \
            .issuer_name(self.cert.subject) \
            .public_key(key or o["csr"].public_key()) \
            .serial_number(x509.random_serial_number()) \
            .not_valid_before(now - datetime.timedelta(seconds=5)) \
            .not_valid_after(now + datetime.timedelta(seconds=self.life)) \
            .add_extension(x509.BasicConstraints(False, None), True) \
            .add_extension(x509.SubjectAlternativeName(
                [x509.DNSName(n) for n in names]), False) \
            .sign(self.key, hashes.SHA256())
        o["order"] = "valid"

    def do_cert(self, r, n):
        pem = self.orders[n]["certificate"].public_bytes(Encoding.PEM)
        return Reply(200, pem + self.root,
                     "application/pem-certificate-chain")
