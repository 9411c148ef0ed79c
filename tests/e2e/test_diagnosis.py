"""After a failed validation the helper looks for itself, and says the cause."""

import contextlib
import http.server
import re
import socket
import socketserver
import ssl
import threading

import pytest

from support import tls
from support.certs import self_signed

HTTP = """
    resolver 127.0.0.1;
    resolver_timeout 3s;
    %s
    autocert_path {dir}/store;
    autocert_key_type secp256r1;
    autocert on admin@example.com;
    server {
        %s
        server_name example.com;
        autocert on;
    }
"""


@contextlib.contextmanager
def answering(address, body=b"<html>it works</html>", status=200,
              server="Apache/2.4.62 (Debian)", port=80, **fields):
    """Another server, on one address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(status)
            self.send_header("Server", server)
            for name, value in fields.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with serving((address, port), Handler):
        yield


@contextlib.contextmanager
def serving(place, handler, server=http.server.ThreadingHTTPServer):
    httpd = server(place, handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield httpd
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def failed(nginx, ca, listen, timeout=60):
    """The line that says what was wrong with example.com."""

    server = nginx(HTTP % (ca.directives, listen)).start()
    server.wait_log('no certificate for "example.com"', timeout)
    [line] = server.grep('no certificate for "example.com"')
    assert re.search(r"next try at \d{4}-", line)
    return line


def test_another_server(nginx, pebble, dns):
    ca = pebble()
    dns.set_a("example.com", "127.0.0.2")
    with answering("127.0.0.2"):
        line = failed(nginx, ca, "listen 127.0.0.1:80; listen 443 ssl;"
                      "autocert_challenge http-01;")

    assert "(unauthorized: " in line and "it works" in line
    assert "likely cause: another server answers at 127.0.0.2 port 80, " \
        'status 200, Server: "Apache/2.4.62 (Debian)", ' \
        '"<html>it works</html>", next try' in line


def test_redirect(nginx, pebble, dns):
    ca = pebble()
    dns.set_a("example.com", "127.0.0.2")
    with answering("127.0.0.2", b"", 301, Location="http://127.0.0.2:81/"):
        line = failed(nginx, ca, "listen 127.0.0.1:80; listen 443 ssl;"
                      "autocert_challenge http-01;")

    assert "another server answers at 127.0.0.2 port 80, status 301" in line
    assert 'Location: "http://127.0.0.2:81/"' in line


@pytest.mark.parametrize("listen, port", [
    ("listen 8080; listen 443 ssl; autocert_challenge http-01;", 80),
    ("listen 80; listen 8443 ssl; autocert_challenge tls-alpn-01;", 443)])
def test_nothing_listens(nginx, pebble, listen, port):
    line = failed(nginx, pebble(), listen)
    assert re.search(r"\((connection: |unauthorized: Failed to connect)",
                     line)
    assert f"likely cause: nothing listens at 127.0.0.1 port {port} " \
        "(connection refused), next" in line


def test_does_not_answer(nginx, pebble, dns):
    """A socket whose queue is full: the network swallows what is sent."""

    ca = pebble()
    dns.set_a("example.com", "127.0.0.2")

    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind(("127.0.0.2", 80))
        full.listen(0)
        for _ in range(4):
            s = stack.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex(("127.0.0.2", 80))
        line = failed(nginx, ca, "listen 127.0.0.1:80; listen 443 ssl;"
                      "autocert_challenge http-01;")

    assert "likely cause: 127.0.0.2 port 80 does not answer (time-out), " \
        "is there a firewall?, next" in line


@contextlib.contextmanager
def no_names(port):
    """A DNS that knows localhost alone: NXDOMAIN."""

    def answer(question):
        name = question[12:question.index(b"\0", 12)]
        asked = question[12:12 + len(name) + 5]
        known = name == b"\x09localhost"
        address = known and asked[-4:-2] == b"\0\1"
        head = question[:2] + (b"\x81\x80" if known else b"\x81\x83") \
            + b"\0\1" + bytes([0, address]) + bytes(4)
        return head + asked + address * (b"\xc0\x0c\0\1\0\1" + bytes(4)
                                         + b"\0\4\x7f\0\0\1")

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            data, s = self.request
            s.sendto(answer(data), self.client_address)

    with socketserver.ThreadingUDPServer(("127.0.0.1", port), Handler) as dns:
        thread = threading.Thread(target=dns.serve_forever)
        thread.start()
        try:
            yield
        finally:
            dns.shutdown()
            thread.join()


def test_no_such_name(nginx, pebble):
    ca = pebble(dns="127.0.0.1:5353")
    with no_names(5353):
        server = nginx(HTTP.replace("127.0.0.1;", "127.0.0.1:5353;")
                       % (ca.directives, "listen 80; listen 443 ssl;"))
        server.start()
        line = server.wait_log('no certificate for "example.com"', 60)
    assert "likely cause: the DNS says that there is no such name " \
        "(NXDOMAIN), next try at" in line


def test_no_address(nginx, pebble, dns):
    ca = pebble()
    dns.set_a("localhost", "127.0.0.1")
    dns.post("set-default-ipv4", ip="")
    line = failed(nginx, ca, "listen 80; listen 443 ssl;")
    assert "likely cause: the DNS " in line


def test_failing_dns(nginx, pebble, dns):
    ca = pebble()
    dns.set_servfail("example.com")
    line = failed(nginx, ca, "listen 80; listen 443 ssl;")
    assert "likely cause: the name can't be resolved from here either (2)," \
        in line


def test_ipv6_without_a_listener(nginx, pebble, dns):
    """Pebble asks the AAAA address first, and that alone."""

    ca = pebble()
    dns.set_aaaa("example.com", "::1")
    line = failed(nginx, ca, "listen 127.0.0.1:80; listen 443 ssl;"
                  "autocert_challenge http-01;")
    assert "likely cause: the AAAA record leads where this server does not " \
        'listen, add "listen [::]:80;" or remove the record: nothing ' \
        "listens at ::1 port 80 (connection refused), next try" in line


def test_ipv6_that_closes(nginx, pebble, dns):

    ca = pebble(config={"httpPort": 80})
    dns.set_aaaa("example.com", "::1")
    server = nginx(HTTP % (ca.directives, "listen 127.0.0.1:80;"
                           "listen 443 ssl; autocert_challenge http-01;"))
    with answering_v6("::1", 80):
        server.start()
        server.wait_log('no certificate for "example.com"', 60)
    [line] = server.grep('no certificate for "example.com"')
    assert "the AAAA record leads where this server does not listen, add " \
        '"listen [::]:80;" or remove the record: ::1 port 80 closes the ' \
        "connection without the answer" in line


@contextlib.contextmanager
def answering_v6(address, port):
    """Takes connections and closes them."""

    with socket.socket(socket.AF_INET6) as s:
        s.bind((address, port))
        s.listen(50)
        done = threading.Event()
        s.settimeout(0.1)

        def work():
            while not done.is_set():
                try:
                    peer, _ = s.accept()
                    peer.close()
                except TimeoutError:
                    pass

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def test_some_addresses_only(nginx, pebble, dns):
    ca = pebble()
    dns.set_a("example.com", "127.0.0.2", "127.0.0.1")
    with answering("127.0.0.2", b"no such page", 404, "replica"):
        server = nginx(HTTP % (ca.directives, "listen 127.0.0.1:80;"
                               "listen 443 ssl; autocert_challenge http-01;"))
        server.start()
        server.wait_log("certificate (of|for) .example.com.", 60)

        if server.grep("issued"):
            pytest.fail("the CA has asked the right address each time")

    [line] = server.grep('no certificate for "example.com"')
    assert "not all addresses of the name lead to this server, a replica " \
        "behind a load balancer or an old record? another server answers " \
        'at 127.0.0.2 port 80, status 404, Server: "replica", "no such page"' \
        in line


def test_right_at_times(nginx, pebble, dns):
    """A balancer that leads every second request here."""

    ca = pebble()
    dns.set_a("example.com", "127.0.0.2")
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            ours = self.headers["User-Agent"] == "nginx-autocert"
            asked.append(ours)
            if not ours or asked.count(True) % 2 == 0:
                self.send_error(404)
                return
            status, _, body = tls.fetch("example.com", self.path, port=80,
                                        tls=False)
            self.send_response_only(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with serving(("127.0.0.2", 80), Handler):
        line = failed(nginx, ca, "listen 127.0.0.1:80; listen 443 ssl;"
                      "autocert_challenge http-01;")

    assert "likely cause: it is right at times only, a replica behind a " \
        'load balancer that does not share "autocert_path"? another server ' \
        "answers at 127.0.0.2 port 80, status 404" in line
    assert asked.count(True) == 2


def shown(nginx, ca):
    """What of TLS at 127.0.0.2 is told."""

    line = failed(nginx, ca, "listen 127.0.0.1:443 ssl;"
                  "autocert_challenge tls-alpn-01;")
    return re.search("another server answers at 127.0.0.2 port 443, (.*), "
                     "next try", line)[1]


@pytest.mark.parametrize("more, alert", [
    ("", "no application protocol"),
    ("ssl_reject_handshake on;", "unrecognized name")])
def test_alert_of_another_server(nginx, pebble, dns, more, alert):
    ca = pebble()
    dns.set_a("example.com", "127.0.0.2")
    other = nginx("""
        server {
            listen 127.0.0.2:443 ssl;
            ssl_certificate {dir}/other.pem;
            ssl_certificate_key {dir}/other.key;
            %s
        }""" % more, modules=False)
    self_signed(["other.test"]).write(f"{other.dir}/other.pem",
                                      f"{other.dir}/other.key")
    other.start()
    assert re.fullmatch(f'TLS: "tlsv1 (alert )?{alert}"', shown(nginx, ca))


def test_certificate_of_another_server(nginx, pebble, dns, place):
    """It knows no ALPN."""

    ca = pebble()
    dns.set_a("example.com", "127.0.0.2")
    self_signed(['other".test']).write(f"{place}/pem", f"{place}/key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{place}/pem", f"{place}/key")

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError):
                context.wrap_socket(self.request, server_side=True).close()

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with serving(("127.0.0.2", 443), Handler, Server):
        assert shown(nginx, ca) == """certificate: "/CN=other'.test\""""


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_all_is_well_from_here(nginx, pebble, challenge):
    """Where the CA asks elsewhere: here its port is another one."""

    ca = pebble(config={"httpPort": 81, "tlsPort": 81})
    line = failed(nginx, ca, "listen 80; listen 443 ssl;"
                  f"autocert_challenge {challenge};")
    port = 80 if challenge == "http-01" else 443
    assert "likely cause: from here all is well, 127.0.0.1 port " \
        f"{port} gives the right answer: a firewall may keep the CA out, or " \
        "its DNS has another address, next" in line


def test_hostile_answer(nginx, pebble, dns):
    """Control characters, and without an end: a line of the log stays one."""

    ca = pebble()
    dns.set_a("example.com", "127.0.0.2")
    with answering("127.0.0.2", b"\n[notice] 1#1: \x1b[31m\0" + b"x" * 5000,
                   server="a\tb" + "c" * 5000):
        line = failed(nginx, ca, "listen 127.0.0.1:80; listen 443 ssl;"
                      "autocert_challenge http-01;")

    assert "likely cause: another server answers at 127.0.0.2 port 80" in line
    assert all(c.isprintable() for c in line.rstrip("\n"))
    assert len(line) < 2048


@pytest.mark.parametrize("size", [1200, 5000])
def test_whole_problem(nginx, dns, fakeca, size):
    """As far as a line of NGINX's log goes; what is cut off is marked."""

    ca = fakeca()
    ca.hold("authz")
    server = nginx(HTTP % (ca.directives, "listen 80;")).start()
    server.wait_log("awaiting the validation", 60)
    text = "\u20ac" * (size // 3)
    with ca.lock:
        ca.orders[0].update(
            authz="invalid", challenge="invalid", order="invalid",
            error={"type": "urn:ietf:params:acme:error:unauthorized",
                   "detail": text})

    line = server.wait_log('no certificate for "example.com"', 60)
    assert "likely cause: from here all is well" in line
    assert line.endswith(f", name: example.com, CA: {ca.directory}")
    [said] = re.findall(r"\(unauthorized: (\u20ac+)((?:\.\.\.)?)\); likely",
                        line)
    if size == 1200:
        assert said == (text, "")
    else:
        assert said[1] == "..."
        assert 1700 < len(line.encode()) < 2048
