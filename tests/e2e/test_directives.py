"""Each directive: what it takes, what it refuses and how, and what it does."""

import contextlib
import os
import re
import socket
import subprocess

import pytest

from support import namespace, proc, tls
from support.nginx import HELPER, MODULES
from support.pebble import ChallTestSrv
from support.wait import wait_for

TRUST = "/etc/ssl/certs/ca-certificates.crt"

# at the http level, and in a server that opts in
FRAME = """
    %s
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com;
        %s
    }
"""

DEFAULTS = "resolver 127.0.0.1;\nautocert on admin@example.com;"


def configured(nginx, http="", server="autocert on;", main=""):
    if "autocert on" not in http:
        http = DEFAULTS + "\n" + http
    return nginx(FRAME % (http, server), main=main)


def line_of(server, text, last=False):
    text = text.replace("{dir}", server.dir)
    with open(server.conf_path) as f:
        found = [n for n, line in enumerate(f, 1) if text in line]
    assert found, text
    return found[-1 if last else 0]


def accepted(server):
    """nginx -t takes it; what it logs, which is more than it prints."""

    mark = server.mark()
    done = server.test()
    assert done.returncode == 0, done.stdout
    log = server.log(mark)
    assert not re.search(r"\[(emerg|alert|crit|error)\]", log)
    return re.sub(r"(?m)^\S+ \S+ (\[\w+\]) \S+: ", r"\1 ", log)


def refused(server, message, at=None, last=True):
    """nginx -t says message and, with at, the file and the line of that."""

    server.allow(".")
    done = server.test()
    assert done.returncode == 1, done.stdout
    if at:
        message += f" in {server.conf_path}:{line_of(server, at, last)}"
    assert f"nginx: [emerg] {message}\n" in done.stdout
    return done.stdout


# values

ACCEPTED = [
    "autocert_challenge http-01;",
    "autocert_key_type secp384r1;",
    "autocert_key_type secp256r1;",
    "autocert_renew_before 7d;",
    "autocert_renew_before 12h;",
    "autocert_renew_before 90;",
]

ACCEPTED_HTTP = [
    "autocert_path /var/lib/nginx/elsewhere;",
    "autocert_path relative/to/prefix;",
    "autocert_path /var/lib/nginx/elsewhere/;",
    "autocert_resolver 127.0.0.1;",
    "autocert_resolver 127.0.0.1:5353 [::1]:5353;",
    "autocert_resolver 127.0.0.1 valid=10s ipv6=off;",
    "autocert_resolver_timeout 5s;",
    "autocert_resolver_timeout 500ms;",
    "autocert_ca letsencrypt;",
    "autocert_ca letsencrypt-staging;",
    "autocert_ca https://ca.example.net/acme/directory;",
    "autocert_ca https://ca.example.net:8443/directory;",
    "autocert_ca https://192.0.2.1/directory;",
    "autocert_ca https://[2001:db8::1]:14000/dir;",
    "autocert_ca_certificate trust.pem;",
    "autocert_ca_certificate {dir}/trust.pem;",
]


@pytest.mark.parametrize("where", ["http", "server"])
@pytest.mark.parametrize("line", ACCEPTED)
def test_accepted(nginx, line, where):
    accepted(configured(nginx, line) if where == "http"
             else configured(nginx, server="autocert on;\n" + line))


@pytest.mark.parametrize("line", ACCEPTED_HTTP)
def test_accepted_http(nginx, authority, line):
    server = configured(nginx, line)
    with open(f"{server.dir}/trust.pem", "wb") as f:
        f.write(authority.pem)
    accepted(server)


@pytest.mark.parametrize("http, own", [
    ("autocert on;", "autocert on;"),
    ("autocert on admin@example.com;", "autocert on;"),
    ("autocert ON admin@example.com;", "autocert On;"),
    ("autocert on a.b+c@mail.example.com;", "autocert on d@example.com;"),
    ("", "autocert on admin@example.com;"),
    ("autocert on;", "autocert on;\nautocert_challenge http-01;\n"
                     "autocert_key_type secp256r1;\n"
                     "autocert_renew_before 3d;"),
])
def test_accepted_autocert(nginx, http, own):
    accepted(nginx(FRAME % (http, own)))


REFUSED = [
    ("autocert maybe;", 'invalid value "maybe" in "autocert" directive, it '
     'must be "on" or "off"'),
    ("autocert on nobody;", 'invalid value "nobody" in "autocert" directive, '
     "it must be an email address"),
    ("autocert on @example.com;", 'invalid value "@example.com" in '
     '"autocert" directive, it must be an email address'),
    ("autocert on admin@;", 'invalid value "admin@" in "autocert" directive, '
     "it must be an email address"),
    ("autocert on mailto:a@example.com;", 'invalid value '
     '"mailto:a@example.com" in "autocert" directive, it must be an email '
     "address"),
    ("autocert on a@b.example,c@d.example;", 'invalid value '
     '"a@b.example,c@d.example" in "autocert" directive, it must be an email '
     "address"),
    ("autocert off a@example.com;", '"autocert off" takes no email address'),
    ("autocert;", 'invalid number of arguments in "autocert" directive'),
    ("autocert on a@example.com b@example.com;",
     'invalid number of arguments in "autocert" directive'),

    ("autocert_challenge dns-01;", 'invalid value "dns-01" in '
     '"autocert_challenge" directive, it must be "http-01" or "tls-alpn-01"'),
    ("autocert_challenge HTTP-01;", 'invalid value "HTTP-01" in '
     '"autocert_challenge" directive, it must be "http-01" or "tls-alpn-01"'),
    ("autocert_challenge http-01 tls-alpn-01;",
     'invalid number of arguments in "autocert_challenge" directive'),

    ("autocert_key_type rsa;", 'invalid value "rsa" in "autocert_key_type" '
     'directive, it must be "secp384r1" or "secp256r1"'),
    ("autocert_key_type secp256;", 'invalid value "secp256" in '
     '"autocert_key_type" directive, it must be "secp384r1" or "secp256r1"'),
    ("autocert_key_type;",
     'invalid number of arguments in "autocert_key_type" directive'),

    ("autocert_renew_before soon;", '"autocert_renew_before" directive '
     'invalid value, it must be a time, such as "7d"'),
    ("autocert_renew_before -7d;", '"autocert_renew_before" directive '
     'invalid value, it must be a time, such as "7d"'),
    ("autocert_renew_before 0;", '"autocert_renew_before" directive '
     'invalid value, it must be a time, such as "7d"'),
    ("autocert_renew_before 500ms;", '"autocert_renew_before" directive '
     'invalid value, it must be a time, such as "7d"'),
    ("autocert_renew_before 7d 8d;",
     'invalid number of arguments in "autocert_renew_before" directive'),
]

REFUSED_HTTP = [
    ('autocert_path "";', 'invalid value "" in "autocert_path" directive, it '
     "must be a directory, without variables"),
    ("autocert_path /tmp/$host;", 'invalid value "/tmp/$host" in '
     '"autocert_path" directive, it must be a directory, without variables'),
    ("autocert_path /a /b;",
     'invalid number of arguments in "autocert_path" directive'),

    ("autocert_ca letsencript;", 'invalid value "letsencript" in '
     '"autocert_ca" directive, it must be "letsencrypt", '
     '"letsencrypt-staging" or the https URL of an ACME directory'),
    ("autocert_ca http://ca.example.net/directory;", 'invalid value '
     '"http://ca.example.net/directory" in "autocert_ca" directive, it must '
     'be "letsencrypt", "letsencrypt-staging" or the https URL of an ACME '
     "directory"),
    ("autocert_ca https:///directory;", 'invalid value "https:///directory" '
     'in "autocert_ca" directive, it must be "letsencrypt", '
     '"letsencrypt-staging" or the https URL of an ACME directory'),
    ("autocert_ca;", 'invalid number of arguments in "autocert_ca" directive'),

    ("autocert_ca_certificate;",
     'invalid number of arguments in "autocert_ca_certificate" directive'),

    ("autocert_resolver 127.0.0.1:port;", 'invalid port in resolver '
     '"127.0.0.1:port"'),
    ("autocert_resolver 127.0.0.1 valid=long;",
     "invalid parameter: valid=long"),
    ("autocert_resolver 127.0.0.1 ipv6=maybe;",
     "invalid parameter: ipv6=maybe"),
    ("autocert_resolver valid=10s;", "no name servers defined"),
    ("autocert_resolver;",
     'invalid number of arguments in "autocert_resolver" directive'),

    ("autocert_resolver_timeout soon;", '"autocert_resolver_timeout" '
     'directive invalid value, it must be a time, such as "30s"'),
    ("autocert_resolver_timeout 0;", '"autocert_resolver_timeout" '
     'directive invalid value, it must be a time, such as "30s"'),
    ("autocert_resolver_timeout 1s 2s;",
     'invalid number of arguments in "autocert_resolver_timeout" directive'),
]


@pytest.mark.parametrize("where", ["http", "server"])
@pytest.mark.parametrize("line, message", REFUSED,
                         ids=[line for line, _ in REFUSED])
def test_refused(nginx, line, message, where):
    if where == "http":
        server = nginx(FRAME % (line, "autocert on;"))
    elif line.startswith("autocert "):
        server = configured(nginx, server=line)
    else:
        server = configured(nginx, server="autocert on;\n" + line)

    refused(server, message, at=line)


@pytest.mark.parametrize("line, message", REFUSED_HTTP,
                         ids=[line for line, _ in REFUSED_HTTP])
def test_refused_http(nginx, line, message):
    refused(configured(nginx, line), message, at=line)


@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"],
                         ids=["absent", "empty", "junk"])
def test_refused_ca_certificate(nginx, content):
    line = "autocert_ca_certificate trust.pem;"
    server = configured(nginx, line)
    path = f"{server.dir}/trust.pem"
    if content is not None:
        with open(path, "wb") as f:
            f.write(content)

    server.allow(".")
    done = server.test()
    assert done.returncode == 1
    assert f'[emerg] "autocert_ca_certificate" "{path}" has no certificate ' \
        f"in PEM that can be read, in {server.conf_path}:" \
        f"{line_of(server, line)}" in done.stdout


# contexts and duplicates

HTTP = {
    "autocert_path": "autocert_path /var/lib/nginx/store;",
    "autocert_ca": "autocert_ca letsencrypt;",
    "autocert_ca_certificate": "autocert_ca_certificate {dir}/trust.pem;",
    "autocert_resolver": "autocert_resolver 127.0.0.1;",
    "autocert_resolver_timeout": "autocert_resolver_timeout 5s;",
}

HTTP_SERVER = {
    "autocert": "autocert on;",
    "autocert_challenge": "autocert_challenge http-01;",
    "autocert_key_type": "autocert_key_type secp256r1;",
    "autocert_renew_before": "autocert_renew_before 3d;",
}

ALL = {**HTTP, **HTTP_SERVER}


def in_context(nginx, line, context):
    if context == "main":
        return configured(nginx, main=line)
    if context == "server":
        return configured(nginx, server="autocert on;\n" + line)
    return configured(nginx, server="autocert on;\n%s { %s\n}" % (
        {"location": "location /", "if": "if ($host)"}[context], line))


@pytest.mark.parametrize("context", ["main", "location", "if"])
@pytest.mark.parametrize("name", ALL)
def test_wrong_context(nginx, name, context):
    line = ALL[name] + "  # here"
    refused(in_context(nginx, line, context),
            f'"{name}" directive is not allowed here', at=line)


@pytest.mark.parametrize("name", HTTP)
def test_wrong_context_server(nginx, name):
    line = HTTP[name] + "  # here"
    refused(in_context(nginx, line, "server"),
            f'"{name}" directive is not allowed here', at=line)


@pytest.mark.parametrize("name", ALL)
def test_duplicate_http(nginx, authority, name):
    lines = f"{ALL[name]}\n{ALL[name]}  # again"
    server = nginx(FRAME % (lines, "autocert on;"))
    with open(f"{server.dir}/trust.pem", "wb") as f:
        f.write(authority.pem)
    refused(server, f'"{name}" directive is duplicate', at="# again")


@pytest.mark.parametrize("name", HTTP_SERVER)
def test_duplicate_server(nginx, name):
    lines = f"{ALL[name]}\n{ALL[name]}  # again"
    refused(configured(nginx, server=lines),
            f'"{name}" directive is duplicate', at="# again")


def test_server_overrides_http(nginx):
    """The same directive at both levels is no duplicate."""

    lines = "\n".join(HTTP_SERVER.values())
    accepted(nginx(FRAME % (lines, lines)))


# modules and processes

def modules(nginx, load, http=FRAME % ("", "autocert on;")):
    lines = "".join(f"load_module {m};\n" for m in load)
    return nginx(conf=lines + "pid {dir}/nginx.pid;\n"
                 "error_log {dir}/error.log;\nevents {}\nhttp {\n"
                 f"{http}\n}}\n")


LOAD_FIRST = ("autocert: ngx_autocert_module.so is not loaded before "
              "ngx_http_autocert_module.so: put its \"load_module\" line first")


def test_modules_wrong_way_round(nginx):
    refused(modules(nginx, reversed(MODULES)), LOAD_FIRST)


def test_only_http_module(nginx):
    refused(modules(nginx, MODULES[1:]), LOAD_FIRST)


def test_only_core_module(nginx):
    """Harmless by itself; the directives are unknown."""

    server = modules(nginx, MODULES[:1])
    refused(server, 'unknown directive "autocert"', at="autocert on;")

    accepted(modules(nginx, MODULES[:1],
                     "access_log off; server { listen 80; }"))


def test_modules_unused(nginx):
    """Loaded and not used: NGINX as ever, without a helper."""

    server = nginx("server { listen 80; return 200; }").start()
    assert tls.fetch("example.com", port=80, tls=False)[0] == 200
    assert server.helpers() == []
    assert not os.path.exists(f"{namespace.STATE}/autocert")


@pytest.mark.parametrize("below", [False, True])
def test_master_process_off(nginx, below):
    server = configured(nginx, main="" if below else "master_process off;")
    if below:
        with open(server.conf_path, "a") as f:
            f.write("master_process off;\n")

    refused(server, '"autocert on" needs the master process, which '
            '"master_process off" leaves out: remove that line,',
            at="autocert on;")


def test_master_process_off_unused(nginx):
    accepted(nginx("server { listen 80; }", main="master_process off;"))


def test_off_is_default(nginx):
    server = nginx(FRAME % ("autocert on admin@example.com;", ""))
    refused(server, 'no "ssl_certificate" is defined for the "listen ... ssl"'
            " directive", at="server {")


# listeners

def test_without_port_80(nginx, pebble):
    """It takes the other way; nothing needs to be said."""

    ca = pebble()
    server = nginx(f"""
        {ca.directives}
        resolver 127.0.0.1;
        autocert_path {{dir}}/store;
        server {{
            listen 443 ssl;
            server_name example.com;
            autocert on admin@example.com;
        }}""")

    assert "[warn]" not in accepted(server)

    server.start()
    server.wait_log('certificate of "example.com" issued', 30)


def test_other_port(nginx, pebble):
    """Where port 80 is mapped to another one, that one answers."""

    ca = pebble(config={"httpPort": 8080})
    server = nginx(f"""
        {ca.directives}
        resolver 127.0.0.1;
        autocert_path {{dir}}/store;
        server {{
            listen 8080;
            listen 8443 ssl;
            server_name example.com;
            autocert on admin@example.com;
        }}""")

    assert "[notice] autocert: a CA asks on port 80 (http-01) or 443 " \
        "(tls-alpn-01), and nothing listens there: port 80 has to lead to " \
        "one of the listeners" in accepted(server)

    server.start()
    server.wait_log('certificate of "example.com" issued', 30)


def test_cannot_answer(nginx):
    """Starts, and says what it waits for."""

    server = nginx("server { server_name example.com; autocert on; "
                   "listen unix:{dir}/sock ssl; }")
    assert 'no "listen" can answer a CA\'s challenge, add ' \
        '"listen 443 ssl;" or "listen 80;", in ' \
        f"{server.conf_path}:" in accepted(server)

    server.start()
    server.wait_log('no certificate is ordered for "example.com": waiting '
                    'for a "listen"')


def test_without_tls_listener(nginx):
    server = configured(nginx, server="autocert on;\n}\nserver {\n"
                        "listen 80;\nserver_name www.example.com;\n"
                        "autocert on;  # here")
    out = accepted(server)
    assert out.count("has no") == 1
    assert 'autocert: the server has no "listen ... ssl" to serve its ' \
        f"certificate on, in {server.conf_path}:{line_of(server, '# here')}" \
        in out


# what they do

def issuing(nginx, ca, http="", server="autocert on;", names="example.com"):
    """With autocert_ca and _certificate of ca, but no resolver."""

    if "autocert_path" not in http:
        http += "\nautocert_path {dir}/store;"
    return nginx(f"""
        {ca.directives if ca else ""}
        autocert on admin@example.com;
        {http}
        server {{
            listen 80;
            listen 443 ssl;
            server_name {names};
            {server}
        }}""")


@pytest.mark.parametrize("where", ["http", "server"])
@pytest.mark.parametrize("curve", ["secp384r1", "secp256r1"])
def test_key_type(nginx, pebble, curve, where):
    ca = pebble()
    line = f"autocert_key_type {curve};"
    server = issuing(nginx, ca, line if where == "http" else "",
                     "autocert on;" + (line if where == "server" else ""))
    server.start()
    server.wait_log('certificate of "example.com" issued', 30)
    assert tls.handshake("example.com", root=ca.root()).curve == curve


def test_key_type_inherited(nginx, pebble):
    """By a server that says nothing, not by one that does."""

    ca = pebble()
    server = issuing(nginx, ca, "autocert_key_type secp256r1;", """
            autocert on;
        }
        server {
            listen 443 ssl;
            server_name www.example.com;
            autocert on;
            autocert_key_type secp384r1;""").start()
    for name, curve in (("example.com", "secp256r1"),
                        ("www.example.com", "secp384r1")):
        server.wait_log(f'certificate of "{name}" issued', 30)
        assert tls.handshake(name, root=ca.root()).curve == curve


def stocked(server, authority, **left):
    """Certificates of 90 days in the store; so many days are left of each."""

    pairs = {}
    for label, days in left.items():
        name = f"{label}.example.com"
        pairs[name] = authority.issue(name, life=days * 86400,
                                      age=(90 - days) * 86400)
        pairs[name].store(f"{server.dir}/store", name)
    return pairs


def renews_only(server, ca, pairs, name):
    """
    A name that is due as well would be ordered in the moment in which the
    first is done; and the helper that comes with a reload looks at all anew.
    """

    server.start()
    for other, pair in pairs.items():
        if other != name:
            assert tls.handshake(other).der == pair.der

    server.wait_log(f'certificate of "{name}" renewed', 30)
    peer = tls.handshake(name, root=ca.root())
    assert peer.der != pairs[name].der

    server.reload()
    server.stop()

    for other in pairs:
        begun = server.grep(f'beginning the order for "{other}"')
        assert len(begun) == (other == name)
    assert ca.issued() == 1


def test_renew_before_default(nginx, pebble, authority):
    """7 days."""

    ca = pebble()
    server = issuing(nginx, ca, names="a.example.com b.example.com")
    pairs = stocked(server, authority, a=7.5, b=6.5)
    renews_only(server, ca, pairs, "b.example.com")


def test_renew_before(nginx, pebble, authority):
    """At the http level, and otherwise in a server."""

    ca = pebble()
    server = issuing(nginx, ca, "autocert_renew_before 20d;", """
            autocert on;
        }
        server {
            listen 443 ssl;
            server_name c.example.com;
            autocert on;
            autocert_renew_before 18d;""",
                     names="a.example.com b.example.com")
    pairs = stocked(server, authority, a=21, b=19, c=19)
    renews_only(server, ca, pairs, "b.example.com")


def test_renew_before_capped(nginx, pebble, authority):
    """At a third of the certificate's life, here 30 days."""

    ca = pebble()
    server = issuing(nginx, ca, "autocert_renew_before 365d;",
                     names="a.example.com b.example.com")
    pairs = stocked(server, authority, a=31, b=29)
    renews_only(server, ca, pairs, "b.example.com")


@pytest.mark.parametrize("path, where", [
    (None, f"{namespace.STATE}/autocert"),
    ("deep", "{dir}/deep"),
    ("{dir}/elsewhere/", "{dir}/elsewhere"),
])
def test_path(nginx, pebble, path, where):
    ca = pebble()
    server = nginx(FRAME % (ca.directives + DEFAULTS
                            + (f"autocert_path {path};" if path else ""),
                            "autocert on;"))
    where = where.replace("{dir}", server.dir)
    assert not os.path.exists(where)

    server.start()
    server.wait_log('certificate of "example.com" issued', 30)

    assert os.stat(where).st_mode & 0o7777 == 0o700
    assert os.path.exists(f"{where}/example.com/fullchain.pem")
    assert os.stat(f"{where}/example.com/privkey.pem").st_mode & 0o7777 \
        == 0o600


# the resolver

A, AAAA = 1, 28


def asked(dns, host="localhost"):
    """The types of the questions for host so far."""

    return {q["Question"][0]["Qtype"] if isinstance(q["Question"], list)
            else q["Question"]["Qtype"] for q in dns.history(host)}


@pytest.fixture
def other_dns(place):
    """A second DNS, at 127.0.0.2:53."""

    server = ChallTestSrv(f"{place}/dns2", management=8056,
                          address="127.0.0.2:53")
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def written(path, text):
    with open(path) as f:
        was = f.read()
    try:
        with open(path, "w") as f:
            f.write(text)
        yield
    finally:
        with open(path, "w") as f:
            f.write(was)


def issues_asking(nginx, pebble, dns, http):
    """Obtains a certificate with none but dns asked for the CA."""

    server = issuing(nginx, pebble(), http).start()
    server.wait_log('certificate of "example.com" issued', 30)
    assert A in asked(dns)
    server.stop()


@pytest.mark.parametrize("more, types", [("", {A, AAAA}),
                                         ("ipv6=on", {A, AAAA}),
                                         ("valid=1h ipv6=off", {A})])
def test_resolver(nginx, pebble, dns, other_dns, more, types):
    """autocert_resolver is asked, and not the http resolver."""

    issues_asking(nginx, pebble, other_dns, "resolver 127.0.0.1;\n"
                  f"autocert_resolver 127.0.0.2 {more};")
    assert asked(other_dns) == types
    assert not asked(dns)


def test_resolver_second(nginx, pebble, dns, other_dns):
    """Of several addresses it is enough if one answers."""

    with black_hole("127.0.0.3"):
        issues_asking(nginx, pebble, other_dns,
                      "autocert_resolver 127.0.0.3 127.0.0.2;")


def test_resolver_of_http(nginx, pebble, dns, other_dns):
    """Without autocert_resolver the http one; not resolv.conf."""

    issues_asking(nginx, pebble, other_dns, "resolver 127.0.0.2;")
    assert not asked(dns)


def test_resolver_of_system(nginx, pebble, dns, other_dns):
    """Without either the system's; what NGINX can't use there is skipped."""

    conf = "# nameserver 127.0.0.1\nnameserver fe80::1%eth0\n" \
        "nameserver junk.invalid\nsearch example.com\n" \
        "\tnameserver   127.0.0.2 \noptions edns0\n"

    with written("/etc/resolv.conf", conf):
        issues_asking(nginx, pebble, other_dns, "")
    assert not asked(dns)


def test_resolver_none(nginx, pebble):
    """NGINX starts and serves, and says what is missing."""

    with written("/etc/resolv.conf", "search example.com\n"):
        server = issuing(nginx, pebble())
        assert '[warn] autocert: there is no "resolver" and no nameserver ' \
            "in /etc/resolv.conf, so the CA can't be found by name; set " \
            '"autocert_resolver"' in accepted(server)

        server.start()
        line = server.wait_log('no certificate for "example.com"')
        assert '"localhost" can\'t be resolved without a resolver, set ' \
            '"autocert_resolver", next try at' in line
        assert tls.handshake("example.com").self_signed


@contextlib.contextmanager
def black_hole(address):
    """A DNS that never answers."""

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 53))
        yield s


@pytest.mark.parametrize("http, low, high", [
    ("autocert_resolver_timeout 2s;", 1, 1),
    ("resolver_timeout 2s;", 5, 8),
])
def test_resolver_timeout(nginx, pebble, http, low, high):
    """
    30 s by default, whatever http's own is.  The resolver repeats a question
    every 5 s until the time is out; the next try asks another one.
    """

    with black_hole("127.0.0.3") as hole:
        issuing(nginx, pebble(), "autocert_resolver 127.0.0.3 ipv6=off;\n"
                + http).start()

        hole.settimeout(60)
        first = hole.recv(512)
        count = 1
        while hole.recv(512) == first:
            count += 1

    assert low <= count <= high


def test_resolver_silent(nginx, pebble):
    """What the log says of a resolver that does not answer."""

    with black_hole("127.0.0.3"):
        server = issuing(nginx, pebble(), "autocert_resolver 127.0.0.3;\n"
                         "autocert_resolver_timeout 500ms;").start()
        line = server.wait_log('no certificate for "example.com"', 60)

    assert '"localhost" could not be resolved (110: Operation timed out), ' \
        "next try at" in line
    assert tls.handshake("example.com").self_signed


# the CA

@contextlib.contextmanager
def mounted(ours, path):
    subprocess.run(["mount", "--bind", ours, path], check=True, timeout=10)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True, timeout=10)


LETSENCRYPT = "acme-v02.api.letsencrypt.org"
STAGING = "acme-staging-v02.api.letsencrypt.org"


@pytest.mark.parametrize("line, host", [
    ("", LETSENCRYPT),
    ("autocert_ca letsencrypt;", LETSENCRYPT),
    ("autocert_ca letsencrypt-staging;", STAGING),
])
def test_ca(nginx, dns, line, host):
    """The directory of the name is asked for; here nobody answers there."""

    for name in LETSENCRYPT, STAGING:
        dns.set_a(name, "127.0.0.9")
    server = issuing(nginx, None, line + "resolver 127.0.0.1;")
    server.start()

    failed = server.wait_log('no certificate for "example.com"', 60)
    assert f"CA: https://{host}/directory" in failed
    assert A in asked(dns, host)
    assert not asked(dns, STAGING if host == LETSENCRYPT else LETSENCRYPT)


def test_ca_certificate(nginx, pebble):
    """The system's bundle if it is not set, and no other."""

    ca = pebble()
    set_ca = f"autocert_ca {ca.directory};\nresolver 127.0.0.1;"

    server = issuing(nginx, None, set_ca).start()
    line = server.wait_log('no certificate for "example.com"', 60)
    assert 'the certificate of "localhost:14000" is not trusted' in line
    assert 'see "autocert_ca_certificate"' in line
    server.stop()

    with mounted(ca.trust, TRUST):
        server = issuing(nginx, None, set_ca).start()
        server.wait_log('certificate of "example.com" issued', 30)


# nginx -t

def test_test_is_idle(nginx, pebble, dns):
    """nginx -t makes no store, talks to nobody, starts no helper."""

    ca = pebble()
    server = issuing(nginx, ca, "resolver 127.0.0.1;")
    before = set(proc.pids())
    for args in "-t", "-T", "-tq":
        done = server.run(args)
        assert done.returncode == 0, done.stdout
        assert not os.path.exists(f"{server.dir}/store")

    assert not any(proc.title(p).startswith(HELPER)
                   for p in set(proc.pids()) - before)
    assert not asked(dns)
    assert ca.count("calling handler") == 0


def test_test_while_running(nginx, pebble):
    """nginx -t and -s beside a running server leave its helper alone."""

    server = issuing(nginx, pebble(), "resolver 127.0.0.1;").start()
    server.wait_log('certificate of "example.com" issued', 30)
    helper = server.helper()
    served = tls.handshake("example.com").der

    for args in (["-t"], ["-s", "reopen"]):
        assert server.run(*args).returncode == 0
        assert server.helper() == helper

    assert tls.handshake("example.com").der == served

    master = server.master
    assert server.run("-s", "quit").returncode == 0
    wait_for(lambda: not proc.alive(master), 20, "the master left")
