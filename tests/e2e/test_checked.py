"""What nginx -t says will not work, with file and line."""

import os
import subprocess

import pytest

from support.engine import DAY

CONF = """
    resolver 127.0.0.1;
    autocert on admin@example.com;
    autocert_path %s;
    %s
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com;
        autocert on;
        %s
    }
"""


@pytest.fixture
def configured(nginx):
    def make(more="", inside="", path="{dir}/store", **options):
        return nginx(CONF % (path, more, inside), **options)

    return make


def warnings(server):
    """Those of nginx -t, which takes the configuration."""

    mark = server.mark()
    done = server.test()
    assert done.returncode == 0, done.stdout
    return [line.partition("[warn] ")[2].partition(": ")[2]
            for line in server.log(mark).splitlines() if "[warn]" in line]


def at(server, text):
    """file:line of the first line with it."""

    with open(server.conf_path) as f:
        for n, line in enumerate(f, 1):
            if text in line:
                return f"{server.conf_path}:{n}"
    raise AssertionError(text)


def test_nothing(configured):
    assert warnings(configured()) == []


# the store

def test_relative_path(configured):
    server = configured(path="store")
    assert warnings(server) == [
        f'"autocert_path" "store" is not absolute: the store is below the '
        f'prefix "{server.dir}/", and moves with it in '
        f'{at(server, "autocert_path")}']


ROOTS = {
    "server": "root {dir};",
    "itself": "root {dir}/store/;",
    "all": "root /;",
    "location": "location /a/ { root {dir}; }",
    "within": "location /a/ { location /a/b { root {dir}; } }",
    "exact": "location = /a { root {dir}; }",
    "regex": "location ~ a { root {dir}; }",
    "alias": "location /a/ { alias {dir}/; }",
    "others": "location /b { } location /c { } location /cd { } "
              "location /bc { root {dir}; } location /a { }",
}


@pytest.mark.parametrize("root", ROOTS)
def test_below_a_document_root(configured, root):
    server = configured(inside=ROOTS[root])
    line, = warnings(server)
    assert line.startswith(f'autocert: the store "{server.dir}/store" is '
                           'below "')
    assert line.endswith(f'in {at(server, "server {")}')


def test_below_the_root_of_a_server_without(configured):
    server = configured("server { listen 81; root {dir}; }")
    line, = warnings(server)
    assert line.endswith(f'in {at(server, "listen 81")}')


@pytest.mark.parametrize("root", ["{dir}/stor", "{dir}/storehouse",
                                  "{dir}/store/a", "{dir}/$host"])
def test_beside_a_document_root(configured, root):
    assert warnings(configured(inside=f"root {root};")) == []


def test_writable_parent(configured):
    server = configured(path="{dir}/open/store")
    os.mkdir(f"{server.dir}/open")
    assert warnings(server) == []
    os.chmod(f"{server.dir}/open", 0o777)
    line, = warnings(server)
    assert line == ("autocert: who can write to a directory above the store "
                    "can put another in its place: "
                    f'"{server.dir}/open" may be written by users other than '
                    f'its owner; run: chmod go-w "{server.dir}/open", in '
                    f'{at(server, "autocert_path")}')
    assert not os.path.exists(f"{server.dir}/open/store")


def test_store_of_another_mode(configured):
    server = configured()
    os.mkdir(f"{server.dir}/store")
    os.chmod(f"{server.dir}/store", 0o777)
    line, = warnings(server)
    assert line.startswith("autocert: no certificate will be obtained or "
                           f'kept: the directory "{server.dir}/store"')
    assert line.endswith(at(server, "autocert_path"))
    assert os.listdir(f"{server.dir}/store") == []


# what is known by the certificates

def stocked(authority, server, life, name="example.com"):
    os.makedirs(f"{server.dir}/store", mode=0o700, exist_ok=True)
    authority.issue(name, life=life).store(f"{server.dir}/store", name)


@pytest.mark.parametrize("before, life, says", [
    ("31d", 90, "lives 2160 hours: it is renewed 720 hours"),
    ("4d", 6, "lives 144 hours: it is renewed 72 hours"),
    ("30d", 90, None),
    ("3d", 6, None),
    ("", 6, None),
])
@pytest.mark.parametrize("where", ["more", "inside"])
def test_renew_before(configured, authority, before, life, says, where):
    if before:
        before = f"autocert_renew_before {before};"
    server = configured(**{where: before})
    assert warnings(server) == []
    stocked(authority, server, life * DAY)
    kept = sorted(os.listdir(f"{server.dir}/store"))
    found = warnings(server)
    assert sorted(os.listdir(f"{server.dir}/store")) == kept

    if says is None:
        assert found == []
        return
    assert found == [
        'autocert: "autocert_renew_before" is too long for the certificate '
        f'of "example.com", which {says} before its end, in '
        f'{at(server, "        autocert on;")}']


def test_renew_before_once_a_server(configured, authority):
    names = ["a.example.com", "b.example.com", "c.example.com"]
    server = configured("autocert_renew_before 60d;",
                        f"server_name {' '.join(names)};")
    for name in names:
        stocked(authority, server, 90 * DAY, name)
    assert len(warnings(server)) == 1


@pytest.mark.parametrize("ca, why", [
    ("", ", and the CA has no OCSP"),
    ("autocert_ca https://ca.example.net/acme;", ""),
])
def test_stapling(configured, ca, why):
    server = configured(ca, "ssl_stapling on;")
    assert warnings(server) == [
        'autocert: "ssl_stapling on" has no effect here: NGINX staples to '
        f'certificates of "ssl_certificate" alone{why}, in '
        f'{at(server, "        autocert on;")}']
    assert warnings(configured(ca, "ssl_stapling off;")) == []


# nginx -T

def test_dump_is_loadable(configured, nginx):
    server = configured("include {dir}/more.conf;", "ssl_stapling on;")
    with open(f"{server.dir}/more.conf", "w") as f:
        f.write("server { listen 81; server_name _; autocert on; }\n")

    done = subprocess.run(server.command("-T", "-q"), text=True, check=True,
                          env=server.env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert "[warn]" in done.stderr

    # each file, after a comment with its name
    parts = done.stdout.split("# configuration file ")[1:]
    files = {part.partition(":\n")[0]: part.partition(":\n")[2]
             for part in parts}
    assert set(files) == {server.conf_path, f"{server.dir}/more.conf"}

    for path, text in files.items():
        with open(path, "w") as f:
            f.write(text)
    again = warnings(server)
    assert len(again) >= 2
    assert all("example.com" not in line or "store" in line for line in again)
