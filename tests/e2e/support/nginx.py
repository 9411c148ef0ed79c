"""A real NGINX with a prefix, a configuration and a log of its own."""

import os
import re
import shutil
import signal
import subprocess
import textwrap

from . import proc
from .wait import wait_for

TOP = os.path.dirname(os.path.abspath(__file__ + "/../../.."))
BUILD = os.environ.get("BUILD", os.path.join(TOP, "build"))
ASAN = os.environ.get("E2E_ASAN")
BINARY = os.environ.get("E2E_NGINX", shutil.which("nginx") or "/usr/sbin/nginx")

BUILT = os.environ.get("E2E_MODULES", f"{BUILD}/asan" if ASAN else BUILD)
MODULES = [os.path.join(TOP, BUILT, f"{name}.so")
           for name in ("ngx_autocert_module", "ngx_http_autocert_module")]

# where the modules of other packages are
PACKAGED = "/usr/lib/nginx/modules"

# (1, 22, 1)
VERSION = tuple(map(int, re.search(
    r"/([\d.]+)", subprocess.run([BINARY, "-v"], stderr=subprocess.PIPE,
                                 text=True).stderr)[1].split(".")))

HELPER = "nginx: autocert helper"
WORKER = "nginx: worker process"

# a master that runs a new binary gives it no more
KEPT = " ".join(f"env {name};" for name in (
    "LD_PRELOAD", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"))

BAD = re.compile(r"\[(alert|emerg|crit)\]|AddressSanitizer|runtime error")


def asan_environment(dir, leaks):
    """
    For modules with ASan and UBSan, in a binary with or without.  What it finds goes
    to stderr, which is the error log: that is open in all processes, whoever they are.
    """

    libraries = [os.path.realpath(subprocess.run(
                     ["gcc", f"-print-file-name={name}"], check=True,
                     text=True, stdout=subprocess.PIPE).stdout.strip())
                 for name in ("libasan.so", "libubsan.so")]

    # a slot of NGINX's table of processes keeps its name
    suppressions = f"{dir}/lsan"
    with open(suppressions, "w") as f:
        f.write("leak:ngx_autocert_spawn_arm\n")

    # each module has some names that all of NGINX's modules have
    return {"LD_PRELOAD": " ".join([*libraries, f"{BUILD}/asan/keep.so"]),
            "LSAN_OPTIONS": f"suppressions={suppressions}:"
                            "print_suppressions=0",
            "UBSAN_OPTIONS": "print_stacktrace=1:suppressions="
                             f"{TOP}/tests/e2e/ubsan.supp",
            "ASAN_OPTIONS": f"halt_on_error=1:detect_leaks={leaks:d}:"
                            "detect_odr_violation=0:disable_coredump=0:"
                            "detect_stack_use_after_return=1:"
                            "strict_string_checks=1:"
                            + os.environ.get("E2E_ASAN_OPTIONS", "")}


class Nginx:
    """
    Made by the fixture "nginx", which stops it and looks at its log:

        server = nginx(http='server { listen 80; }')
        server.start()

    http and main are put into a frame with the modules, the log and so on
    (and TLS 1.3, which is not on by default before NGINX 1.23.4);
    conf, if given, is the whole file instead.  {dir} in any of the three
    stands for the prefix, {modules} for the two load_module lines.
    env: more of the environment.  leaks: LSan looks, if ASan does, as each
    process leaves; what handshakes held that it left in the middle of counts.
    wrap: a command and its arguments, which run NGINX.
    """

    def __init__(self, dir, http="", main="", conf=None, modules=True,
                 workers=2, log_level="info", daemon=True, user="www-data",
                 env=None, leaks=False, wrap=()):
        self.dir = str(dir)
        self.conf_path = f"{self.dir}/nginx.conf"
        self.log_path = f"{self.dir}/error.log"
        self.pid_path = f"{self.dir}/nginx.pid"
        self.modules = modules
        self.n = workers
        self.log_level = log_level
        self.daemon = daemon
        self.user = user
        self.wrap = wrap
        self.session = None
        self.process = None
        self.allowed = []
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.clock = None
        self.env = {**os.environ}
        self.add_environment(asan_environment(self.dir, leaks) if ASAN else {})
        self.add_environment(env or {})
        self.write(http, main, conf)

    def add_environment(self, env):
        """More of it; what is to be preloaded comes after what is already."""

        preload = [e["LD_PRELOAD"] for e in (self.env, env)
                   if e.get("LD_PRELOAD")]
        self.env.update(env)
        if preload:
            self.env["LD_PRELOAD"] = " ".join(preload)

    # the configuration

    def write(self, http="", main="", conf=None):
        """Replaces the file; nothing happens until start() or reload()."""

        load = "".join(f"load_module {m};\n" for m in MODULES) \
            if self.modules else ""

        if conf is None:
            conf = textwrap.dedent("""\
                {modules}user %s;
                worker_processes %d;
                daemon %s;
                %s
                pid {dir}/nginx.pid;
                error_log {dir}/error.log %s;
                worker_rlimit_core 0;
                %s
                events { worker_connections 256; }
                http {
                    ssl_protocols TLSv1.2 TLSv1.3;
                    access_log {dir}/access.log;
                    client_body_temp_path {dir}/body;
                    proxy_temp_path {dir}/proxy;
                    fastcgi_temp_path {dir}/fastcgi;
                    uwsgi_temp_path {dir}/uwsgi;
                    scgi_temp_path {dir}/scgi;
                %s
                }
                """) % (self.user, self.n, "on" if self.daemon else "off",
                        KEPT if ASAN else "", self.log_level, main, http)

        conf = conf.replace("{modules}", load).replace("{dir}", self.dir)

        with open(self.conf_path, "w") as f:
            f.write(conf)

        return self

    def command(self, *args):
        return [*self.wrap, BINARY, "-p", self.dir, "-c", self.conf_path,
                "-e", self.log_path, *args]

    def run(self, *args, timeout=60):
        """nginx with more arguments; its output as text, stderr included."""

        return subprocess.run(self.command(*args), timeout=timeout, text=True,
                              env=self.env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)

    def test(self):
        """nginx -t"""

        return self.run("-t")

    # its life

    def start(self, timeout=20, ready=True):
        """ready=False: returns before there is any worker."""

        if not self.daemon:
            self.process = subprocess.Popen(
                self.command(), env=self.env, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True)
            self.session = self.process.pid
        else:
            done = self.run(timeout=timeout)
            assert done.returncode == 0, f"nginx said:\n{done.stdout}"

        wait_for(self.read_pid, timeout, "a pid file")
        self.session = proc.stat(self.master)[2]

        if self.n and ready:
            wait_for(lambda: len(self.workers()) >= self.n, timeout,
                     "all workers up")
        return self

    def read_pid(self):
        try:
            with open(self.pid_path) as f:
                return int(f.read())
        except (FileNotFoundError, ValueError):
            return None

    @property
    def master(self):
        pid = self.read_pid()
        assert pid, "no pid file"
        return pid

    def processes(self):
        """Every living process that stems from start(), of both masters."""

        return proc.of_session(self.session) if self.session else []

    def titled(self, prefix):
        found = [p for p in self.processes()
                 if proc.title(p).startswith(prefix)]

        # LSan looks at a process that leaves from a child of it
        return [p for p in found
                if (proc.stat(p) or (None, None))[1] not in found]

    def workers(self, leaving=False):
        """Those that serve; with leaving, those that shut down as well."""

        return [p for p in self.titled(WORKER)
                if leaving or "shutting down" not in proc.title(p)]

    def helpers(self):
        """All helpers, oldest first: more than one while a reload drains."""

        return self.titled(HELPER)

    def helper(self, timeout=10, other_than=()):
        """The one helper, waited for; other_than: pids that do not count."""

        def one():
            found = [p for p in self.helpers() if p not in other_than]
            return found[0] if len(found) == 1 else None

        return wait_for(one, timeout,
                        lambda: f"one helper, there are {self.helpers()}")

    def signal(self, sig, pid=None):
        proc.send(pid or self.master, getattr(signal, "SIG" + sig))

    def reload(self, wait=True, timeout=30):
        """HUP; waits until a whole new set of workers serves."""

        old = set(self.workers())
        self.signal("HUP")

        if wait:
            wait_for(lambda: len(set(self.workers()) - old) >= self.n
                     and not old & set(self.workers()), timeout,
                     "new workers after a reload")

    def wait_gone(self, pids, timeout=20):
        pids = [pids] if isinstance(pids, int) else list(pids)
        wait_for(lambda: not any(map(proc.alive, pids)), timeout,
                 lambda: f"gone: {[(p, proc.title(p)) for p in pids]}")

    def stop(self, sig="QUIT", timeout=20):
        """Stops the master and waits until nothing of it is left."""

        if self.session is None:
            return

        if self.clock:
            self.clock.pace(1)

        pid = self.read_pid()
        if pid and proc.alive(pid):
            self.signal(sig, pid)

        if self.process:
            self.process.wait(timeout)

        wait_for(lambda: not self.processes(), timeout,
                 lambda: "nothing left, there is "
                 f"{[(p, proc.title(p)) for p in self.processes()]}")
        self.session = None
        self.process = None

    def kill_all(self):
        for pid in self.processes():
            proc.kill(pid)

        if self.process:
            self.process.wait(10)

        wait_for(lambda: not self.processes(), 10, "killed")
        self.session = None
        self.process = None

    # its log

    def log(self, since=0):
        try:
            with open(self.log_path, errors="replace") as f:
                f.seek(since)
                return f.read()
        except FileNotFoundError:
            return ""

    def mark(self):
        """For since=: only what is logged from now on."""

        try:
            return os.path.getsize(self.log_path)
        except FileNotFoundError:
            return 0

    def grep(self, pattern, since=0):
        return [line for line in self.log(since).splitlines()
                if re.search(pattern, line)]

    def wait_log(self, pattern, timeout=20, since=0):
        """The first line that matches, waited for."""

        return wait_for(lambda: self.grep(pattern, since), timeout,
                        f"{pattern!r} in the log")[0]

    def allow(self, pattern):
        """Lines at alert, emerg or crit that match are expected."""

        self.allowed.append(pattern)

    def check_log(self):
        bad = [line for line in self.log().splitlines()
               if BAD.search(line)
               and not any(re.search(a, line) for a in self.allowed)]
        assert not bad, "in the error log:\n" + "\n".join(bad[:20])
