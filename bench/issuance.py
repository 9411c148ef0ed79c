"""
Certificates from Pebble, which neither sleeps nor refuses nonces.

    issue-N     N names that have none, one certificate each, by HTTP-01, until
                the last is on the disk.  CPU is that of all processes of the
                client.  requests and connections are those to the CA, each
                certificate's share

Peers are those of Debian's packages certbot, lego, caddy and apache2 (mod_md)
that are installed.  certbot and lego are run once for each name, as one would
who wants a certificate for each; certbot is left out of 200, which would take
it ten minutes.
"""

import os
import resource
import shutil
import socket
import subprocess
import threading
import time

from support.certs import Authority
from support.nginx import MODULES, Nginx
from support.pebble import ChallTestSrv, Pebble
from support.wait import wait_for

from .common import PAIRS, QUICK, Target, cpu, report

ROUNDS = 1 if QUICK else min(PAIRS, 3)
CA = 14000
FRONT = 14001
TIMEOUT = 900

METRICS = {"cpu": ("CPU ms each", 1), "wall": ("s for all", 2),
           "requests": ("requests each", 1),
           "connections": ("connections", 2)}
LABELS = {metric: label for metric, (label, _) in METRICS.items()}

TARGETS = [
    Target("issue-*", "cpu", least=1.00, of="best peer/autocert"),
    Target("issue-*", "requests", least=1.00, of="best peer/autocert"),
    Target("issue-200", "wall", least=1.00, of="best peer/autocert"),
]


class Case:
    def __init__(self, n):
        self.n = n
        self.name = f"issue-{n}"


CASES = [Case(n) for n in (1, 20, 200)]


class Counter:
    """Passes connections on to the CA, and counts them."""

    def __init__(self, port, to):
        self.to = to
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            there = socket.create_connection(("127.0.0.1", self.to))
            for a, b in ((here, there), (there, here)):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.copy, args=(a, b),
                                 daemon=True).start()

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


class Program:
    """A client that goes on by itself; end() ends it, used is its CPU."""

    def __init__(self, dir, *args, env=None, pid=None):
        self.pid_file = pid
        with open(f"{dir}/output", "w") as out:
            self.process = subprocess.Popen(
                args, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})})
        self.dir = dir

    def pids(self):
        return tree(self.process.pid)

    def used(self):
        return cpu(self.pids())

    def check(self):
        if self.process.poll() is not None:
            with open(f"{self.dir}/output", errors="replace") as f:
                raise SystemExit(f"bench: {self.process.args[0]} ended:\n"
                                 + f.read()[-2000:])

    def end(self):
        self.process.terminate()
        self.process.wait(60)


def tree(pid):
    found = [pid]
    for parent in found:
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as f:
                found += map(int, f.read().split())
        except FileNotFoundError:
            pass
    return found


def children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def files(dir, name):
    """How many of that name there are."""

    return sum(name in found for _, _, found in os.walk(dir)) \
        if not name.startswith(".") \
        else sum(f.endswith(name) for _, _, found in os.walk(dir)
                 for f in found)


def autocert(dir, ca, names):
    server = Nginx(f"{dir}/nginx", workers=1, log_level="notice", http=f"""
        autocert_path {dir}/store;
        autocert_ca https://localhost:{FRONT}/dir;
        autocert_ca_certificate {ca.trust};
        autocert_resolver 127.0.0.1;
        server_names_hash_max_size 65536;
        server {{
            listen 80; listen 443 ssl;
            server_name {" ".join(names)};
            autocert on;
        }}""")
    spent = children()
    server.start()
    try:
        wait_for(lambda: files(f"{dir}/store", "fullchain.pem") == len(names),
                 TIMEOUT, lambda: f"certificates:\n{server.log()[-3000:]}")
        return cpu([server.master, *server.workers(), *server.helpers()]) \
            + children() - spent
    finally:
        server.stop("TERM")


def once_each(dir, names, *args, env=None):
    spent = children()
    for name in names:
        done = subprocess.run([*args, name], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT,
                              env={**os.environ, **env})
        if done.returncode != 0:
            raise SystemExit(f"bench: {args[0]}: {done.stdout[-2000:]}")
    return children() - spent


def certbot(dir, ca, names):
    return once_each(
        dir, names, "certbot", "certonly", "--standalone", "-n",
        "--agree-tos", "--register-unsafely-without-email",
        "--server", f"https://localhost:{FRONT}/dir",
        "--key-type", "ecdsa", "--elliptic-curve", "secp384r1",
        "--config-dir", f"{dir}/etc", "--work-dir", f"{dir}/work",
        "--logs-dir", f"{dir}/logs", "-d",
        env={"REQUESTS_CA_BUNDLE": ca.trust})


def lego(dir, ca, names):
    env = {"LEGO_CA_CERTIFICATES": ca.trust}
    spent = children()
    for name in names:
        once_each(dir, ["run"], "lego", "--accept-tos", "--email",
                  "nobody@example.com", "--path", f"{dir}/lego", "--server",
                  f"https://localhost:{FRONT}/dir", "--http", "--key-type",
                  "ec384", "--domains", name, env=env)
    return children() - spent


def caddy(dir, ca, names):
    with open(f"{dir}/Caddyfile", "w") as f:
        f.write("{\n admin off\n key_type p384\n skip_install_trust\n"
                f" acme_ca https://localhost:{FRONT}/dir\n"
                f" acme_ca_root {ca.trust}\n}}\n"
                + ", ".join(names) + " {\n respond 204\n tls {\n"
                f" issuer acme {{\n dir https://localhost:{FRONT}/dir\n"
                f" trusted_roots {ca.trust}\n"
                " disable_tlsalpn_challenge\n }\n }\n}\n")
    program = Program(dir, "caddy", "run", "--config", f"{dir}/Caddyfile",
                      "--adapter", "caddyfile",
                      env={"HOME": dir, "XDG_DATA_HOME": dir,
                           "XDG_CONFIG_HOME": dir})
    return until(program, lambda: files(f"{dir}/caddy/certificates", ".crt"),
                 len(names))


def mod_md(dir, ca, names):
    modules = "/usr/lib/apache2/modules"
    blocks = "".join(f"MDomain {name}\n<VirtualHost *:443>\n"
                     f"ServerName {name}\nSSLEngine on\n</VirtualHost>\n"
                     for name in names)
    with open(f"{dir}/apache.conf", "w") as f:
        f.write("".join(f"LoadModule {m}_module {modules}/mod_{m}.so\n"
                        for m in ("mpm_event", "authz_core", "ssl",
                                  "socache_shmcb", "md"))
                + f"ServerRoot {dir}\nServerName localhost\n"
                f"PidFile {dir}/apache.pid\nErrorLog {dir}/error.log\n"
                f"DefaultRuntimeDir {dir}\nUser www-data\nGroup www-data\n"
                "Listen 80\nListen 443\nMDStoreDir md\n"
                f"MDCertificateAuthority https://localhost:{FRONT}/dir\n"
                f"MDCACertificateFile {ca.trust}\n"
                "MDCertificateAgreement accepted\n"
                "MDContactEmail nobody@example.com\n"
                "MDCAChallenges http-01\nMDPrivateKeys secp384r1\n"
                "MDRetryDelay 5s\n"
                "<VirtualHost *:80>\n</VirtualHost>\n" + blocks)
    program = Program(dir, "apache2", "-f", f"{dir}/apache.conf",
                      "-DFOREGROUND")
    return until(program, lambda: sum(
        any(f.startswith("pubcert") for f in found)
        for _, _, found in os.walk(f"{dir}/md/staging")), len(names))


def until(program, count, n):
    def reached():
        program.check()
        return count() >= n
    try:
        wait_for(reached, TIMEOUT, lambda: f"{n} certificates, not {count()}")
        return program.used()
    finally:
        program.end()


CLIENTS = {"autocert": (autocert, None), "certbot": (certbot, "certbot"),
           "lego": (lego, "lego"), "caddy": (caddy, "caddy"),
           "mod_md": (mod_md, "apache2")}


def present(case):
    found = {}
    for side, (client, program) in CLIENTS.items():
        if program and not shutil.which(program):
            print(f"{'':24}{side} is not there: apt-get install {program}")
        elif side != "certbot" or case.n <= 20:
            found[side] = client
    return found


def measured(client, dir, ca, front, names):
    os.makedirs(dir)
    os.chmod(dir, 0o755)
    requests, connections = asked(ca), front.connections
    began = time.monotonic()
    spent = client(dir, ca, names)
    n = len(names)
    return {"wall": time.monotonic() - began, "cpu": spent / n * 1e3,
            "requests": (asked(ca) - requests) / n,
            "connections": (front.connections - connections) / n}


def asked(ca):
    return ca.count("-> calling handler()")


def best_peer(runs):
    """The least of all peers, of each figure on its own."""

    peers = [of for side, of in runs.items() if side != "autocert"]
    return [{metric: min(run[metric] for run in round) for metric in METRICS}
            for round in zip(*peers)]


def run(cases, dir, results):
    dir = f"{dir}/issuance"
    dns = ChallTestSrv(f"{dir}/dns").start()
    ca = Pebble(f"{dir}/pebble", Authority(), port=CA).start()
    front = Counter(FRONT, CA)
    try:
        for case in cases:
            clients = present(case)
            runs = {side: [] for side in clients}
            for round in range(ROUNDS):
                for side, client in clients.items():
                    names = [f"n{i}.{side.replace('_', '-')}-{round}-{case.n}"
                             ".example.com" for i in range(case.n)]
                    runs[side].append(measured(
                        client, f"{dir}/{case.n}-{side}-{round}", ca, front,
                        names))
            if len(runs) > 1:
                runs["best peer"] = best_peer(runs)
            report(case.name, runs, METRICS, TARGETS, results)
    finally:
        front.close()
        ca.stop()
        dns.stop()
