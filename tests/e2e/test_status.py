"""autocert_status: what is known of each name, in three forms."""

import gzip
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from support import tls
from support.certs import self_signed
from support.fakeca import problem
from support.nginx import TOP
from support.proxy import date, window
from support.wait import wait_for

STATUS = """
    server {
        listen 127.0.0.1:8080 sndbuf=32k;
        location = /status { autocert_status; }
        location = /packed {
            gzip on;
            gzip_types application/json;
            limit_rate 4m;
            autocert_status;
        }
        location = /small { return 200 "small\\n"; }
    }
"""

CONF = """
    resolver 127.0.0.1;
    %s
    autocert_path {dir}/store;
    autocert on admin@example.com;
    server {
        listen 80;
        listen 127.0.0.1:443 ssl;
        server_name good.example due.example over.example new.example;
        autocert on;
    }
""" + STATUS

HOSTILE = ("<script>alert(1)</script> \"quoted\" & 'so' \u202e\x07"
           "</p><img src=x onerror=alert(2)>")

DAY = 86400

# scripts/install-deps leaves it there
PROMTOOL = shutil.which("promtool") or os.path.join(TOP, "build/promtool")


def fetch(path="/status", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)
    connection.request(method, path, headers={
        key.replace("_", "-"): value for key, value in headers.items()})
    response = connection.getresponse()
    response.text = response.read().decode()
    connection.close()
    return response


def status():
    return json.loads(fetch("/status?format=json").text)


def named(name, document=None):
    return {n["name"]: n for n in (document or status())["names"]}[name]


@pytest.fixture
def mixed(nginx, fakeca, dns):
    """One name of each kind; all that is ordered is refused."""

    ca = fakeca()
    ca.answer("order", problem(403, "rejectedIdentifier", HOSTILE),
              times=None)
    server = nginx(CONF % ca.directives)
    server.ca = ca
    server.pairs = {
        "good.example": self_signed("good.example", age=30 * DAY,
                                    life=60 * DAY + 600, kind="secp384r1"),
        "due.example": self_signed("due.example", age=89 * DAY,
                                   life=DAY + 600, kind="secp384r1"),
        "over.example": self_signed("over.example", age=90 * DAY, life=-60,
                                    kind="secp384r1")}
    for name, pair in server.pairs.items():
        pair.store(f"{server.dir}/store", name)
    server.start()
    for name in "new.example", "over.example", "due.example":
        server.wait_log(f'certificate for "{name}"', 60)
    return server


def rfc3339(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_json(mixed):
    document = status()

    assert document["total"] == 4
    assert document["states"] == {"waiting": 0, "issuing": 0, "valid": 1,
                                  "renewing": 0, "failing": 3, "held": 0}
    assert document["ca"]["url"] == mixed.ca.directory
    assert document["ca"]["reachable"] is True
    assert document["ca"]["last_answer"] <= document["now"]
    assert document["helper"]["started_at"] <= document["now"]
    assert document["helper"]["restarts"] == 0

    good = named("good.example", document)
    cert = mixed.pairs["good.example"].cert

    assert good["state"] == "valid"
    assert int(good["serial"], 16) == cert.serial_number
    assert good["not_before"] == rfc3339(cert.not_valid_before)
    assert good["not_after"] == rfc3339(cert.not_valid_after)
    assert good["days_left"] == 60
    assert good["key_type"] == "secp384r1"
    assert good["challenge"] == "http-01"
    assert good["renew_why"] == "renew_before"
    assert good["not_before"] < good["renew_at"] < good["not_after"]
    assert good["next_attempt"] == good["renew_at"]
    assert good["last_error"] is None and good["attempts"] == 0

    assert named("due.example", document)["days_left"] == 1
    assert named("over.example", document)["days_left"] == -1

    new = named("new.example", document)

    assert new["state"] == "failing" and new["attempts"] >= 1
    assert new["not_after"] is new["serial"] is new["days_left"] is None
    assert new["next_attempt"] > document["now"]
    assert new["last_error"]["kind"] == "refused"
    assert new["last_error"]["type"] == "rejectedIdentifier"
    assert new["last_error"]["at"] <= document["now"]
    assert "<script>alert(1)</script>" in new["last_error"]["detail"]
    assert not re.search("[\x00-\x1f\u202e]", new["last_error"]["detail"])


def test_forms(mixed):
    """By Accept, or by the argument, which is the stronger."""

    types = {
        "text/html,application/xhtml+xml,*/*;q=0.8": "text/html",
        "application/json": "application/json",
        "application/openmetrics-text;version=1.0.0,text/plain;q=0.3":
            "text/plain",
        "text/plain": "text/plain",
        "*/*": "application/json"}

    for accept, type in types.items():
        response = fetch(Accept=accept)
        assert response.status == 200
        assert response.headers.get_content_type() == type, accept
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" \
            in response.headers["Content-Security-Policy"]

    assert fetch().headers.get_content_type() == "application/json"
    assert fetch("/status?format=html", Accept="application/json") \
        .headers.get_content_type() == "text/html"
    assert fetch("/status?format=xml").status == 400


def test_methods(mixed):
    for method in "POST", "PUT", "DELETE", "OPTIONS":
        assert fetch(method=method).status == 405

    for form in "json", "html", "prometheus":
        response = fetch(f"/status?format={form}", method="HEAD")
        assert response.status == 200 and response.text == ""


def samples(text):
    """{(metric, labels): value}, of a text that is as it has to be."""

    found, types, last = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            metric, type = line.split()[2:]
            assert metric not in types, f"{metric} is there twice"
            types[metric] = type
            last = metric
        elif not line.startswith("#"):
            m = re.fullmatch(r'(\w+)(?:\{((?:\w+="[^"]*",?)*)\})? (\S+)', line)
            assert m, line
            base = re.sub("_(bucket|sum|count)$", "", m[1]) \
                if types[last] == "histogram" else m[1]
            assert base == last, line
            assert (m[1], m[2]) not in found, line
            found[m[1], m[2]] = float(m[3])
    return found


def test_prometheus(mixed):
    found = samples(fetch("/status?format=prometheus").text)

    for name, pair in mixed.pairs.items():
        end = pair.cert.not_valid_after
        assert found["nginx_autocert_certificate_not_after_timestamp_seconds",
                     f'name="{name}"'] \
            == (end - end.min.replace(year=1970)).total_seconds()

    assert ("nginx_autocert_certificate_not_after_timestamp_seconds",
            'name="new.example"') not in found
    assert found["nginx_autocert_certificate_state",
                 'name="new.example",state="failing"'] == 1
    assert found["nginx_autocert_certificate_failures",
                 'name="new.example"'] >= 1
    assert found["nginx_autocert_names", 'state="failing"'] == 3
    assert found["nginx_autocert_names", 'state="held"'] == 0
    assert found["nginx_autocert_ca_reachable",
                 f'ca="{mixed.ca.directory}"'] == 1
    assert found["nginx_autocert_helper_restarts_total", None] == 0


def test_promtool(mixed):
    """Prometheus's own tool has nothing to say."""

    for i in range(3):
        tls.handshake("good.example")
    wait_for(lambda: status()["signatures"]["total"], 10)

    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        input=fetch("/status?format=prometheus").text)
    assert (done.returncode, done.stdout) == (0, "")


def test_hostile(mixed):
    """What a CA says is text in the page, whatever it says."""

    response = fetch("/status?format=html")
    page = response.text

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page and "<img" not in page
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", page)

    page = fetch("/status?format=html&name=%22%3E%3Cscript%3Ex").text

    assert "&quot;&gt;&lt;script&gt;x" in page and "<script" not in page

    policy = response.headers["Content-Security-Policy"]

    assert "script-src" not in policy and "unsafe" not in policy
    assert re.search("style-src 'sha256-[A-Za-z0-9+/=]{44}'", policy)


def listed(page):
    return re.findall("<h2>(.*?)</h2>", page)


def test_page(mixed):
    """The worst first; by name and by state."""

    page = fetch("/status?format=html").text

    assert listed(page)[-1] == "good.example"
    assert listed(page)[2] == "due.example"
    assert set(listed(page)[:2]) == {"over.example", "new.example"}
    assert page.count("</li>") == page.count("<li>") + page.count("<li ")

    def of(args):
        return listed(fetch(f"/status?format=html&{args}").text)

    assert of("name=OO") == ["good.example"]
    assert of("name=+good+&state=") == ["good.example"]
    assert of("state=valid") == ["good.example"]
    assert len(of("state=failing")) == 3
    assert of("state=failing&name=good") == []
    assert len(of("name=&state=nonsense&page=nonsense")) == 4
    assert len(of("page=999999999")) == 4
    assert len(of("name=" + "a" * 5000)) == 4


def test_signatures(mixed):
    for i in range(20):
        tls.handshake("good.example")

    def counted():
        document = status()["signatures"]
        return document if document["total"] >= 20 else None

    document = wait_for(counted, 10)
    assert 0 < document["p50_seconds"] <= document["p99_seconds"] < 5

    found = samples(fetch("/status?format=prometheus").text)
    metric = "nginx_autocert_signature_duration_seconds"
    buckets = [v for (m, _), v in found.items() if m == f"{metric}_bucket"]

    assert found[f"{metric}_count", None] == buckets[-1] >= 20
    assert buckets == sorted(buckets)


def test_restarts(mixed):
    """The board outlives a helper, and the next one tells of it."""

    mixed.allow("exited on signal 9")
    helper = mixed.helper()

    # what is remembered is read again: nor is that put into pages as it is
    path = f"{mixed.dir}/store/over.example/state.json"

    def written():
        with open(path) as f:
            found = json.load(f)
        return found if found.get("failures") else None

    state = wait_for(written, 10)
    state["detail"] += "\x07\u202e"
    with open(path, "w") as f:
        json.dump(state, f)

    mixed.signal("KILL", helper)
    mixed.helper(other_than=[helper])

    wait_for(lambda: status()["helper"]["restarts"] == 1, 20)
    wait_for(lambda: named("good.example")["state"] == "valid", 20)

    new = named("new.example")
    assert new["last_error"]["type"] == "rejectedIdentifier"
    wait_for(lambda: named("over.example")["last_error"]["detail"]
             .endswith("??"), 20)


def test_unknown(nginx):
    """A store that can't be opened: no name is said to be anything."""

    server = nginx(CONF % "autocert_ca https://127.0.0.1:1/dir;")
    with open(f"{server.dir}/store", "w"):
        pass
    server.start()
    server.wait_log("no certificate is obtained or kept")

    assert status()["states"]["waiting"] == 4
    assert "name=" not in fetch("/status?format=prometheus").text
    assert "no certificate yet" in fetch("/status?format=html").text


def test_progress(nginx, fakeca, dns):
    """From nothing, and from an end that is near, to a new certificate."""

    ca = fakeca()
    ca.hold("authz")
    server = nginx((CONF % ca.directives).replace(
        "good.example due.example over.example new.example",
        "due.example new.example"))
    self_signed("due.example", age=89 * DAY, life=DAY + 600,
                kind="secp384r1").store(f"{server.dir}/store", "due.example")
    server.start()

    def busy():
        states = status()["states"]
        return states if states["issuing"] or states["renewing"] else None

    assert sum(wait_for(busy, 20).values()) == 2
    assert status()["queue"] == 2
    assert named("new.example")["state"] == "issuing"
    assert named("due.example")["state"] == "valid"
    began = status()["now"]

    ca.release()
    wait_for(lambda: [n["last_success"] for n in status()["names"]].count(None)
             == 0, 30)

    for name in "due.example", "new.example":
        found = named(name)
        assert found["state"] == "valid" and found["days_left"] >= 89
        assert began <= found["last_success"] <= status()["now"]
        assert found["budget_left"] == 2
        assert int(found["serial"], 16) \
            == tls.handshake(name).cert.serial_number
    assert status()["queue"] == 0


def test_window(nginx, proxy):
    """The CA says when."""

    ca = proxy(validity=90 * DAY)
    begin = int(time.time()) + 10 * DAY
    ca.windows(lambda certid: window(begin, begin + DAY))
    nginx((CONF % ca.directives).replace(
        "good.example due.example over.example new.example",
        "new.example")).start()

    found = wait_for(lambda: (lambda n: n["renew_why"] == "ari" and n)
                     (named("new.example")), 30)
    assert date(begin) <= found["renew_at"] <= date(begin + DAY)
    assert found["next_attempt"] == found["renew_at"]


def test_held(nginx, fakeca):
    """No listener can answer: said, and not tried."""

    ca = fakeca()
    nginx((CONF % ca.directives)
          .replace("listen 127.0.0.1:443 ssl;", "")
          .replace("autocert on;\n", "autocert on; "
                   "autocert_challenge tls-alpn-01;\n")).start()

    wait_for(lambda: status()["states"]["held"] == 4, 20)
    assert named("new.example")["next_attempt"] is None
    assert ca.steps() == []


def test_without(nginx):
    """No server has autocert on."""

    nginx("server { listen 127.0.0.1:8080;"
          " location = /status { autocert_status; } }").start()

    document = status()
    assert document["total"] == 0 and document["names"] == []
    assert document["ca"]["url"] is None
    assert samples(fetch("/status?format=prometheus").text)
    assert "No server has autocert on" in fetch("/status?format=html").text


def test_unreachable(nginx):
    """No CA: told, and all wait for it."""

    nginx(CONF % "autocert_ca https://127.0.0.1:1/dir;").start()

    wait_for(lambda: status()["ca"]["reachable"] is False, 20)
    document = wait_for(lambda: (lambda d: d if d["ca"]["held_until"] else None)
                        (status()), 30)
    assert document["states"]["valid"] == 0
    assert document["ca"]["last_answer"] is None
    assert "does not answer" in fetch("/status?format=html").text


def many(nginx, n, http2=False, **options):
    names = " ".join(f"www{i}.example" for i in range(n))
    conf = (CONF % "autocert_ca https://127.0.0.1:1/dir;").replace(
        "good.example due.example over.example new.example", names)
    if http2:
        conf = conf.replace("443 ssl;", "443 ssl http2;\n"
                            "location = /status { autocert_status; }")
    server = nginx(conf, **options).start(timeout=60)

    # the helper has looked at all of them
    wait_for(lambda: all(n["challenge"] for n in status()["names"]), 60)
    return server


def test_many(nginx):
    """Ten thousand: all of them, and nobody else waits meanwhile."""

    many(nginx, 10000)

    document = status()
    assert document["total"] == len(document["names"]) == 10000
    assert len({n["name"] for n in document["names"]}) == 10000

    found = samples(fetch("/status?format=prometheus").text)
    assert sum(m == "nginx_autocert_certificate_state"
               for m, _ in found) == 10000

    page = fetch("/status?format=html&page=100").text
    assert len(listed(page)) == 100 and "Better" not in page
    assert "9901&ndash;10000 of 10000" in page


def test_packed(nginx):
    """Through filters that keep what they are given, at a limited rate."""

    many(nginx, 10000, workers=1)

    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=20)
    connection.request("GET", "/packed", headers={"Accept-Encoding": "gzip"})
    response = connection.getresponse()
    assert response.headers["Content-Encoding"] == "gzip"

    document = json.loads(gzip.decompress(response.read()))
    assert len(document["names"]) == document["total"] == 10000

    # the connection is good for another one
    connection.request("GET", "/packed")
    document = json.loads(connection.getresponse().read())
    assert len(document["names"]) == 10000
    connection.close()


def test_http2(nginx, place):
    """Streams of HTTP/2, beside each other, with their windows."""

    many(nginx, 5000, workers=1, http2=True)

    forms = "prometheus", "html", "json"
    files = [more for form in forms for more in (
        "-o", f"{place}/{form}",
        f"https://www0.example/status?format={form}")]

    done = subprocess.run(
        ["curl", "-sk", "--http2", "--parallel", "--resolve",
         "www0.example:443:127.0.0.1", "-w", "%{http_version} %{http_code}\n",
         *files],
        timeout=60, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL)
    assert done.stdout.splitlines() == 3 * ["2 200"]

    texts = {}
    for form in forms:
        with open(f"{place}/{form}") as f:
            texts[form] = f.read()

    assert len(json.loads(texts["json"])["names"]) == 5000
    assert len(listed(texts["html"])) == 100
    assert samples(texts["prometheus"])


@pytest.mark.parametrize("form", ["json", "prometheus"])
def test_left(nginx, form):
    """Who does not read, or leaves in the midst, holds nobody up."""

    server = many(nginx, 3000, workers=1)

    idle = []
    for i in range(3):
        s = socket.create_connection(("127.0.0.1", 8080))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        s.sendall(f"GET /status?format={form} HTTP/1.1\r\n"
                  "Host: a\r\n\r\n".encode())
        assert s.recv(16).startswith(b"HTTP/1.1 200")
        idle.append(s)

    assert fetch("/small").text == "small\n"
    idle.pop().close()
    assert fetch("/small").text == "small\n"

    # the slow one gets all of it in the end
    s = idle.pop()
    s.settimeout(20)
    data = b""
    while not data.endswith(b"0\r\n\r\n"):
        more = s.recv(65536)
        assert more
        data += more
    assert data.count(b"www2999.example") >= 1
    assert fetch("/small").text == "small\n"
    assert len(server.workers()) == 1
