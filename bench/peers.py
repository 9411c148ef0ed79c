"""
Full handshakes against other servers with the same certificates.

    peers-V-C   TLS version and curve; each server on one core, one after the
                other, the client on another.  Peers are those of Debian's
                packages apache2, caddy and haproxy that are installed

All do the same work.  Where the client offers more than one cipher, Go takes
one with SHA-256, the others what OpenSSL's client names first, with SHA-384:
so it offers one.  Go sends one ticket of TLS 1.3, OpenSSL two: so autocert and
Apache are told to send one, which can't be said to HAProxy.
"""

import os
import shutil

from support import tls
from support.certs import Authority
from support.wait import wait_for

from .common import CONNECTIONS, PAIRS, SECONDS, Target, cpu, pinned, report
from .handshake import CURVES, Client, Server, name_of
from .issuance import Program

METRICS = {"rate": ("per second", 0), "cpu": ("CPU us each", 0)}
LABELS = {metric: label for metric, (label, _) in METRICS.items()}

TARGETS = [
    Target("peers-*", "rate", most=1.00, of="best peer/autocert"),
    Target("peers-*", "cpu", least=1.00, of="best peer/autocert"),
]

CIPHERS = {"1.3": "TLS_AES_128_GCM_SHA256",
           "1.2": "ECDHE-ECDSA-AES128-GCM-SHA256"}

MODULES = "/usr/lib/apache2/modules"

APACHE = """
ServerRoot {dir}
ServerName localhost
PidFile {dir}/apache.pid
ErrorLog {dir}/error.log
DefaultRuntimeDir {dir}
User www-data
Group www-data
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
Listen {port}
SSLProtocol -all +TLSv1.2 +TLSv1.3
SSLOpenSSLConfCmd NumTickets 1
<VirtualHost *:{port}>
ServerName {name}
SSLEngine on
SSLCertificateFile {dir}/pair.pem
SSLCertificateKeyFile {dir}/pair.key
</VirtualHost>
"""

CADDY = """
{{
    admin off
    auto_https off
}}
https://{name}:{port} {{
    tls {dir}/pair.pem {dir}/pair.key
    respond 204
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 4096
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend here
    bind 127.0.0.1:{port} ssl crt {dir}/both.pem
    http-request return status 204
"""


class Case:
    def __init__(self, version, curve):
        self.version = version
        self.curve = curve
        self.name = f"peers-{version}-{curve}"


CASES = [Case(version, curve) for version in ("1.3", "1.2")
         for curve in CURVES]


class Peer:
    """A server of another kind; what a Client wants of one."""

    def __init__(self, dir, side, port, curve, pair, cores):
        self.side = side
        self.port = port
        self.dir = f"{dir}/{side}-{curve}"
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o755)
        pair.write(f"{self.dir}/pair.pem", f"{self.dir}/pair.key")
        with open(os.open(f"{self.dir}/both.pem", os.O_CREAT | os.O_WRONLY,
                          0o600), "wb") as f:
            f.write(pair.pem + pair.key_pem)

        text, command = globals()[side.upper()], COMMANDS[side]
        with open(f"{self.dir}/conf", "w") as f:
            f.write((LOAD if side == "apache" else "") + text.format(
                dir=self.dir, port=port, name=name_of(curve)))
        self.program = Program(
            self.dir, *pinned(cores, [*command, f"{self.dir}/conf"]),
            env={"HOME": self.dir, "XDG_DATA_HOME": self.dir,
                 "XDG_CONFIG_HOME": self.dir})

        def up():
            self.program.check()
            try:
                return tls.handshake(name_of(curve), port).der == pair.der
            except OSError:
                return False

        wait_for(up, 20, f"{side} with its certificate")

    def cpu(self):
        return cpu(self.program.pids())

    def log(self):
        with open(f"{self.dir}/output", errors="replace") as f:
            return f.read()

    def stop(self, _):
        self.program.end()


LOAD = "".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so\n"
               for m in ("mpm_event", "authz_core", "ssl", "socache_shmcb"))

COMMANDS = {"apache": ["apache2", "-DFOREGROUND", "-f"],
            "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config"],
            "haproxy": ["haproxy", "-db", "-f"]}

PORTS = {"apache": 10443, "caddy": 11443, "haproxy": 12443}


def present():
    found = []
    for side, command in COMMANDS.items():
        if shutil.which(command[0]):
            found.append(side)
        else:
            print(f"{'':24}{side} is not there: apt-get install {command[0]}")
    return found


def run(cases, dir, results):
    dir = f"{dir}/peers"
    os.makedirs(dir)
    cores = sorted(os.sched_getaffinity(0))
    Client.cores, own = cores[:1], cores[1:2] or cores
    authority = Authority()
    sides = present()

    for curve, kind in CURVES.items():
        chosen = [case for case in cases if case.curve == curve]
        if not chosen:
            continue
        pairs = {c: authority.issue(name_of(c), k) for c, k in CURVES.items()}
        servers = {"autocert": Server(f"{dir}/autocert-{curve}", "autocert",
                                      own, 1, pairs,
                                      "ssl_conf_command NumTickets 1;")}
        servers["autocert"].start()
        try:
            for side in sides:
                servers[side] = Peer(dir, side, PORTS[side], curve,
                                     pairs[curve], own)
            for case in chosen:
                measure(case, servers, results)
        finally:
            for server in servers.values():
                server.stop("TERM")


def measure(case, servers, results):
    runs = {side: [] for side in servers}
    for _ in range(PAIRS):
        for side, server in servers.items():
            runs[side].append(Client(
                server, "-n", name_of(case.curve), "-t", case.version,
                "-e", CIPHERS[case.version], "-d", str(SECONDS),
                "-c", str(CONNECTIONS)).result())

    if len(runs) > 1:
        peers = [of for side, of in runs.items() if side != "autocert"]
        runs["best peer"] = [{"rate": max(run["rate"] for run in round),
                              "cpu": min(run["cpu"] for run in round)}
                             for round in zip(*peers)]
    report(case.name, runs, METRICS, TARGETS, results)
