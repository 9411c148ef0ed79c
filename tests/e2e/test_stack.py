"""
How deep handshakes go on the stacks that they are laid aside on, whatever is
negotiated and whoever else's code runs there.
"""

import os
import re
import shutil
import ssl
import subprocess

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from support import stacks, tls
from support.aside import NAME, Stopped, aside
from support.certs import Authority, self_signed
from support.clock import Clock
from support.nginx import PACKAGED, VERSION

# OpenSSL and NGINX; with the callbacks of other modules, half of a stack
OWN = 32 * 1024

OTHER = "other.example"

GET = (b"GET / HTTP/1.1\r\nHost: example.com\r\n"
       b"Connection: close\r\n\r\n")

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])

CONF = """
    resolver 127.0.0.1;
    autocert_ca https://127.0.0.1:9/dir;
    autocert_path {dir}/store;
    %s
    server {
        listen 443 ssl;
        server_name example.com;
        autocert on;
        %s
        location / { return 200 "hello\\n"; }
    }
    server {
        listen 443 ssl;
        listen [::]:80;
        server_name other.example;
        %s
        location / { return 200 "hello\\n"; }
    }
"""


@pytest.fixture
def serve(nginx, place):
    """serve(http, server, other, ...) -> a started NGINX of one worker."""

    def make(http="", server="", other="autocert on;", curve="secp256r1",
             **options):
        made = nginx(CONF % (http, server, other), workers=1, **options)
        self_signed(NAME, curve).store(f"{made.dir}/store", NAME)
        return Clock.slow(made).start()

    return make


@pytest.fixture
def deepest(measured):
    """deepest(server, what): notes it, and asserts that it is not too much."""

    def look(server, what, limit=OWN):
        used = stacks.deepest(server.workers()[0])
        measured(f"stack: {what}", f"{used / 1024:6.1f} KiB")
        assert used <= limit, what

    return look


def ask(version, *args, name=NAME):
    """A handshake and a request by openssl; what it printed."""

    text = tls.s_client(f"-tls{version.replace('.', '_')}", "-ign_eof", *args,
                        name=name, stdin=GET)
    assert "hello" in text, text
    return text


def openssl_version():
    text = subprocess.run(["openssl", "version"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return tuple(map(int, text.split()[1].split(".")[:2]))


@VERSIONS
@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1"])
def test_handshake(serve, deepest, version, curve):
    server = serve(curve=curve)
    for _ in range(5):
        ask(version)
    deepest(server, f"TLS {version}, {curve}")


@VERSIONS
@pytest.mark.parametrize("group", ["X25519", "X448", "P-256", "P-384",
                                   "P-521"])
def test_groups(serve, deepest, version, group):
    server = serve(server=f"ssl_ecdh_curve {group};", curve="secp384r1")
    # in TLS 1.2 the certificate's curve has to be one of these, too
    ask(version, "-groups", f"{group}:P-384" if group != "P-384" else group)
    deepest(server, f"TLS {version}, {group}")


@pytest.mark.skipif(openssl_version() < (3, 5),
                    reason="OpenSSL has ML-KEM since 3.5")
@pytest.mark.parametrize("group", ["X25519MLKEM768", "SecP256r1MLKEM768",
                                   "SecP384r1MLKEM1024", "MLKEM512",
                                   "MLKEM768", "MLKEM1024"])
def test_mlkem(serve, deepest, group):
    server = serve(server=f"ssl_ecdh_curve {group};", curve="secp384r1")

    text = ask("1.3", "-groups", group)
    assert f"group: {group}" in text, text

    # by way of a HelloRetryRequest
    ask("1.3", "-groups", f"*X25519:{group}")
    deepest(server, f"TLS 1.3, {group}")


@pytest.fixture(scope="module")
def clients():
    """A root's PEM; clients of three CAs, RSA of 4096 bits and P-521."""

    root = Authority("Root", "rsa4096")
    middle = Authority("Middle", "rsa4096", root)
    below = Authority("Below", "rsa4096", middle)
    many = [f"{n:04}.{'long' * 8}.example.com" for n in range(1000)]

    return root.pem, {
        "RSA-4096": below.issue("client", "rsa4096"),
        "P-384": below.issue("client", "secp384r1"),
        "50 KiB": below.issue(many, "rsa4096"),
    }


@VERSIONS
@pytest.mark.parametrize("client", ["RSA-4096", "P-384", "50 KiB"])
def test_client_certificate(serve, deepest, place, clients, version, client):
    root, pairs = clients
    pair = pairs[client]

    with open(f"{place}/root.pem", "wb") as f:
        f.write(root)
    pair.write(f"{place}/client.pem", f"{place}/client.key")
    with open(f"{place}/chain.pem", "wb") as f:
        f.write(b"".join(c.public_bytes(Encoding.PEM)
                         for c in pair.chain[1:]))
    assert client != "50 KiB" or len(pair.der) > 50 * 1024

    server = serve(server=f"ssl_client_certificate {place}/root.pem; "
                          "ssl_verify_client on; ssl_verify_depth 5; "
                          'add_header X-Client "$ssl_client_verify";')

    text = ask(version, "-cert", f"{place}/client.pem", "-key",
               f"{place}/client.key", "-cert_chain", f"{place}/chain.pem")
    assert "X-Client: SUCCESS" in text
    deepest(server, f"TLS {version}, client certificate, {client}")


def packaged(package, *modules):
    """The load_module lines for a package's modules, or a skip: no package."""

    if os.environ.get("E2E_NGINX"):
        pytest.skip(f"{package} is not for this NGINX")

    paths = [f"{PACKAGED}/{m}.so" for m in modules]
    if not all(map(os.path.exists, paths)):
        assert not shutil.which("apt-cache") or subprocess.run(
            ["apt-cache", "show", package], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL).returncode, f"install {package}"
        pytest.skip(f"there is no {package} here")
    return "".join(f"load_module {path};\n" for path in paths)


LUA = r"""
    local function down(n) return n == 0 and 0 or 1 + down(n - 1) end
    assert(not pcall(function() return down(1e9) end))

    local function caught(n)
        if n > 0 then return select(2, pcall(caught, n - 1)) end
        return "there"
    end
    assert(caught(150) == "there")

    local function coroutines(n)
        if n == 0 then return "there" end
        return coroutine.wrap(coroutines)(n - 1)
    end
    pcall(coroutines, 150)

    local function replace(n)
        return (("x"):gsub("x", n == 0 and "y"
                           or function() return replace(n - 1) end))
    end
    pcall(replace, 180)
    pcall(string.find, ("a"):rep(400), ".-.-b$")
    pcall(string.find, ("a"):rep(400), ("a?"):rep(400) .. "$")

    assert(load("return " .. ("("):rep(150) .. "1" .. (")"):rep(150))() == 1)
    assert(not load("return " .. ("("):rep(1e5) .. "1"))

    local sum = 0
    for i = 1, 20000 do sum = sum + #tostring(i % 7) + (i % 3) end
    assert(sum > 0)

    local m = ngx.re.match(("ab"):rep(2000), "(?:a|b|ab)+$")
    assert(m or true)
    table.sort({5, 3, 9, 1, 4, 2}, function(a, b) return a < b end)
"""


@pytest.mark.parametrize("file", ["other", "$lua_file"])
@VERSIONS
def test_lua(serve, deepest, place, version, file):
    lines = packaged("libnginx-mod-http-lua", "ndk_http_module",
                     "ngx_http_lua_module")
    pair = self_signed(OTHER, "secp384r1")
    pair.write(f"{place}/other.pem", f"{place}/other.key")
    shutil.chown(f"{place}/other.key", "www-data")
    with open(f"{place}/work.lua", "w") as f:
        f.write(f"return function()\n{LUA}\nend\n")

    server = serve(
        main=lines,
        # at this level: which server a hello is for is known before it or
        # after it, as NGINX and Lua are new or old
        http=f'lua_package_path "{place}/?.lua;;";' """
            map $ssl_server_name $lua_file { default other; }
            ssl_client_hello_by_lua_block {
                require "work" ()
                local name = require "ngx.ssl.clienthello"
                                 .get_client_hello_server_name()
                ngx.log(ngx.NOTICE, "lua's hello: ", name)
            }""",
        other="""
            ssl_certificate %s.pem;
            ssl_certificate_key %s.key;
            ssl_certificate_by_lua_block {
                require "work" ()
                local ssl = require "ngx.ssl"
                local pem = function(path)
                    local file = assert(io.open(path))
                    return file:read("*a"), file:close()
                end
                assert(ssl.clear_certs())
                assert(ssl.set_cert(ssl.parse_pem_cert(pem "%s/other.pem")))
                assert(ssl.set_priv_key(
                           ssl.parse_pem_priv_key(pem "%s/other.key")))
                ngx.log(ngx.NOTICE, "lua's certificate: ", ssl.server_name())
            }""" % (*(f"{place}/{file}",) * 2, place, place))

    for _ in range(8):
        ask(version)
        ask(version, name=OTHER)

    # a CA's, ahead of NGINX's callbacks, leaves Lua's alone; newer versions of
    # NGINX call theirs before it, and then it does not see what we refuse
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        tls.handshake("ca.example", alpn=["acme-tls/1"])

    for said in f"lua's hello: {NAME}", f"lua's certificate: {OTHER}":
        assert server.grep(said), said
    assert bool(server.grep("lua's hello: ca.example")) \
        == (VERSION < (1, 29, 2))
    assert not server.grep("lua entry thread aborted|failed to run")
    deepest(server, f"TLS {version}, lua, {file}", stacks.SIZE // 2)


JS = r"""
    import fs from 'fs';

    function down(n) {
        return n == 0 ? 0 : 1 + down(n - 1);
    }

    function work(r, file) {
        let caught = '';
        try {
            down(1e9);
        } catch (e) {
            caught = e.name;
        }

        let nested = JSON.parse('['.repeat(20) + ']'.repeat(20));
        let text = JSON.stringify(nested) + JSON.stringify({ a: [1, 2] });
        let matched = /^(?:a|b|ab)+$/.test('ab'.repeat(1000));
        let sorted = [5, 3, 9, 1].sort((a, b) => a - b);

        r.log('down: ' + caught + ', ' + sorted[0] + text.length + matched);
        return fs.readFileSync(file).toString();
    }

    function cert(r) {
        return work(r, '%(place)s/other.pem');
    }

    function key(r) {
        return work(r, '%(place)s/other.key');
    }

    export default { cert, key };
"""


@VERSIONS
@pytest.mark.parametrize("engine", ["njs", "qjs"])
def test_njs(serve, deepest, nginx, place, version, engine):
    lines = packaged("libnginx-mod-http-js", "ngx_http_js_module")
    pair = self_signed(OTHER, "secp384r1")
    pair.write(f"{place}/other.pem", f"{place}/other.key")
    os.chmod(f"{place}/other.key", 0o644)
    with open(f"{place}/work.js", "w") as f:
        f.write(JS % {"place": place})

    http = f"js_import work from {place}/work.js;\n"
    if engine != "njs":
        http += f"js_engine {engine};\n"
    http += "js_set $pem work.cert; js_set $secret work.key;"
    variables = ("ssl_certificate data:$pem; "
                 "ssl_certificate_key data:$secret;")

    if engine != "njs":
        server = nginx(http, main=lines, modules=False)
        server.allow("js_engine|qjs")
        said = server.test().stdout
        if re.search('unknown directive "js_engine"|invalid value', said):
            pytest.skip(f"this njs has no engine {engine}")

    server = serve(main=lines, http=http, other=variables)
    for _ in range(10):
        ask(version)
        ask(version, name=OTHER)

    # on other stacks, as those of before are taken
    with Stopped(server):
        waiting = aside(8)
        for _ in range(3):
            assert tls.handshake(OTHER).der == pair.der
    for one in waiting:
        one.finish()
        one.close()

    said = server.grep("js: down: ")
    assert said
    assert all("RangeError" in s or "InternalError" in s for s in said), said
    deepest(server, f"TLS {version}, {engine}")
