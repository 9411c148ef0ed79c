"""
In front of Pebble, for what Pebble never says: each request is kept, and
passed on or answered as the test wants it.
"""

import datetime
import email.utils
import http.client
import json
import ssl
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .certs import Authority
from .fakeca import Reply, problem, unb64
from .leaks import NONCES

PATHS = {"dir": "directory", "nonce-plz": "nonce", "sign-me-up": "account",
         "my-account": "contacts", "order-plz": "order", "my-order": "poll",
         "authZ": "authz", "chalZ": "challenge", "finalize-order": "finalize",
         "certZ": "certificate", "revoke-cert": "revoke",
         "renewal-info": "renewal-info",
         "draft-ietf-acme-ari-03": "renewal-info"}

HOP = {"connection", "content-length", "transfer-encoding", "keep-alive"}


class Cut(Exception):
    """The client's connection is to be closed without a word."""


def date(at):
    """An instant as RFC 3339 has it."""

    return datetime.datetime.fromtimestamp(
        at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(at):
    return email.utils.formatdate(at, usegmt=True)


def window(start, end, retry_after=21600, url=None):
    """An answer to "when to renew" (RFC 9773, 4.2); instants in seconds."""

    body = {"suggestedWindow": {"start": date(start), "end": date(end)}}
    if url:
        body["explanationURL"] = url
    return Reply(200, body, Retry_After=str(retry_after))


class Request:
    """name: which it is about, as far as can be told; status: what it got."""

    def __init__(self, handler, body):
        self.at = time.time()
        self.method = handler.command
        self.path = handler.path
        self.kind = PATHS.get(handler.path.split("/")[1], "other")
        self.headers = handler.headers
        self.connection = handler.number
        self.body = body
        self.payload = None
        self.name = None
        self.status = None

        if self.method == "POST":
            payload = unb64(json.loads(body)["payload"])
            self.payload = json.loads(payload) if payload else None

    def __repr__(self):
        return f"{self.kind} {self.name or ''} {self.status}"


class Rule:
    """What to do about some requests."""

    def __init__(self, times, name, reply, slow, cut):
        assert cut in (None, "before", "after")
        self.times = times
        self.name = name
        self.reply = reply
        self.slow = slow
        self.cut = cut

    def takes(self, request):
        if self.times == 0 or self.name not in (None, request.name):
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Proxy:
    """
        ca = proxy(pebble(validity=30))     # or proxy(validity=30)
        ca.answer("order", 503, retry_after=60)         # for the next one
        ca.answer("finalize", 429, "rateLimited", "wait", times=None)
        ca.answer("authz", slow=5, name="a.test")       # passed on, later
        ca.answer("poll", cut="after", times=2)
        ca.normal("order")                              # as it was
        ca.windows(lambda certid: window(start, end))   # it speaks RFC 9773
        ca.windows_of_pebble()          # so does Pebble, from 2.6 on
        ca.before("finalize", function)     # called with each such request

    The kinds of requests: directory, nonce, account, contacts (of an
    account), order (a new one), poll (of one), authz, challenge, finalize,
    certificate, revoke, renewal-info.  Rules of a kind are asked in their order.
    """

    def __init__(self, dir, pebble, port=14001):
        self.pebble = pebble
        self.port = port
        self.base = f"https://localhost:{port}"
        self.directory = f"{self.base}/dir"
        self.trust = f"{dir}/trust.pem"
        self.directives = (f"autocert_ca {self.directory};\n"
                           f"autocert_ca_certificate {self.trust};\n")
        self.lock = threading.RLock()
        self.halt = threading.Event()
        self.requests = []
        self.wrong = []
        self.rules = {}
        self.hooks = {}
        self.names = {}                 # path: name it is about
        self.certid = None
        self.through = False
        self.connections = 0
        self.sockets = set()
        self.server = None

        # whatever a test makes of the clock, it is valid
        age = int(time.time())
        authority = Authority("Proxy CA", age=age)
        pair = authority.issue(["localhost", "127.0.0.1"], age=age,
                               life=3000 * 86400)
        pair.write(f"{dir}/proxy.pem", f"{dir}/proxy.key")
        with open(self.trust, "wb") as f:
            f.write(authority.pem)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(f"{dir}/proxy.pem", f"{dir}/proxy.key")
        self.upstream = ssl.create_default_context(cafile=pebble.trust)

    # its life

    def start(self):
        """Also after a stop(): what was asked and told is kept."""

        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 120

            def setup(self):
                self.upstream = None
                with proxy.lock:
                    proxy.connections += 1
                    self.number = proxy.connections
                    proxy.sockets.add(self.request)
                self.raw = self.request
                self.raw.settimeout(120)
                try:
                    self.request = proxy.tls.wrap_socket(self.raw,
                                                         server_side=True)
                except OSError:
                    pass                # it was its client who had enough
                super().setup()

            def handle(self):
                if isinstance(self.request, ssl.SSLSocket):
                    try:
                        super().handle()
                    except OSError:
                        pass

            def finish(self):
                with proxy.lock:
                    proxy.sockets.discard(self.raw)
                if self.upstream:
                    self.upstream.close()
                try:
                    super().finish()
                except (OSError, ValueError):
                    pass

            def do(self):
                proxy.serve(self)

            do_GET = do_HEAD = do_POST = do

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *args):
                pass

        self.halt.clear()
        self.server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()
        return self

    def stop(self):
        """Nobody listens any more, and all connections are gone."""

        if self.server is None:
            return
        self.halt.set()
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        with self.lock:
            for s in self.sockets:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    # what the test asks for

    def answer(self, kind, status=None, type=None, detail="", reply=None,
               retry_after=None, html=None, slow=0, cut=None, times=1,
               name=None):
        """
        status: a problem document, or html, with that status; reply: as it
        is.  Else the request is passed on, slow seconds later.  cut: the
        connection, "before" or "after" the request is passed on.  name: only
        what is about that one.  retry_after: seconds, or a date as text.
        """

        assert kind in PATHS.values()

        more = {}
        if retry_after is not None:
            more["Retry_After"] = str(retry_after)
        if html is not None:
            reply = Reply(status or 200, html, "text/html", **more)
        elif status is not None:
            reply = problem(status, type or "serverInternal", detail, **more)

        with self.lock:
            self.rules.setdefault(kind, []).append(
                Rule(times, name, reply, slow, cut))

    def normal(self, *kinds):
        with self.lock:
            for kind in kinds or list(self.rules):
                self.rules.pop(kind, None)

    def before(self, kind, function):
        self.hooks[kind] = function

    def windows(self, function):
        """function(certid) -> Reply; the directory has renewalInfo then."""

        self.certid = function

    def windows_of_pebble(self):
        self.through = True

    def of(self, kind, name=None, since=0):
        with self.lock:
            return [r for r in self.requests[since:]
                    if r.kind == kind and name in (None, r.name)]

    def count(self, kind, name=None, since=0):
        return len(self.of(kind, name, since))

    def mark(self):
        """For since=: only what came from now on."""

        with self.lock:
            return len(self.requests)

    def ordered(self):
        """The names of all newOrder requests, as they came."""

        return [r.name for r in self.of("order")]

    # a request

    def serve(self, handler):
        n = int(handler.headers.get("Content-Length") or 0)

        try:
            request = Request(handler, handler.rfile.read(n))
            with self.lock:
                self.know(request)
                self.requests.append(request)
                rule = next((r for r in self.rules.get(request.kind, [])
                             if r.takes(request)), None)
            if request.kind in self.hooks:
                self.hooks[request.kind](request)
            reply = self.reply(handler, request, rule)
            request.status = reply.status
            self.send(handler, reply)
        except Cut:
            handler.close_connection = True
        except (OSError, http.client.HTTPException):
            handler.close_connection = True     # as it is with Pebble
        except Exception as e:
            self.wrong.append(f"{handler.command} {handler.path}: {e!r}")
            handler.close_connection = True

    def reply(self, handler, request, rule):
        if rule and rule.slow and self.halt.wait(rule.slow):
            raise Cut
        if rule and rule.cut == "before":
            raise Cut

        if rule and rule.reply:
            reply = rule.reply
        elif request.kind == "renewal-info" and not self.through:
            reply = (self.certid(request.path.rpartition("/")[2])
                     if self.certid else Reply(404))
        else:
            reply = self.passed(handler, request)

        if rule and rule.cut == "after":
            raise Cut
        return reply

    def passed(self, handler, request):
        """What Pebble says, by a connection that is this client's."""

        if handler.upstream is None:
            handler.upstream = http.client.HTTPSConnection(
                "localhost", self.pebble.port, timeout=60,
                context=self.upstream)

        c = handler.upstream
        c.putrequest(request.method, request.path, skip_host=True,
                     skip_accept_encoding=True)
        for key, value in request.headers.items():
            if key.lower() not in HOP:
                c.putheader(key, value)
        if request.body:
            c.putheader("Content-Length", str(len(request.body)))
        c.endheaders(request.body or None)
        answer = c.getresponse()
        body = answer.read()

        reply = Reply(answer.status, body)
        reply.headers = {k: v for k, v in answer.getheaders()
                         if k.lower() not in HOP}
        self.learn(request, reply)
        NONCES.update(v for k, v in reply.headers.items()
                      if k.lower() == "replay-nonce")
        return reply

    def send(self, handler, reply):
        handler.send_response_only(reply.status)
        for key, value in reply.headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(reply.body)
        handler.wfile.flush()

    # which name a request is about

    def know(self, request):
        if request.kind == "order":
            request.name = request.payload["identifiers"][0]["value"]
        else:
            request.name = self.names.get(request.path)

    def learn(self, request, reply):
        if request.kind == "directory" and not self.through:
            directory = json.loads(reply.body)
            directory.pop("renewalInfo", None)
            if self.certid:
                directory["renewalInfo"] = f"{self.base}/renewal-info"
            reply.body = json.dumps(directory).encode()

        if request.name is None or reply.status >= 300 \
           or request.kind == "certificate":
            return

        found = json.loads(reply.body)
        urls = [found.get("finalize"), found.get("certificate"),
                reply.headers.get("Location"),
                *found.get("authorizations", []),
                *(c["url"] for c in found.get("challenges", []))]
        with self.lock:
            for url in filter(None, urls):
                assert url.startswith(self.base), url
                self.names[url[len(self.base):]] = request.name
