"""
The part of scripts/demo that runs inside scripts/namespace: a CA, its DNS
and an NGINX, and what is to be seen of them.
"""

import glob
import os
import re
import select
import signal
import subprocess
import sys
import termios
import textwrap
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f"{TOP}/tests/e2e")

from cryptography import x509                           # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402

from support import namespace, proc, tls                # noqa: E402
from support.certs import Authority                     # noqa: E402
from support.memory import Scan                         # noqa: E402
from support.nginx import MODULES, Nginx                # noqa: E402
from support.pebble import ChallTestSrv, Pebble         # noqa: E402
from support.wait import wait_for                       # noqa: E402

PLACE = f"{namespace.STATE}/demo"
STORE = f"{namespace.STATE}/autocert"
ROOT = f"{PLACE}/root.pem"
ACCESS = "/var/log/nginx/access.log"
NAMES = "example.com", "www.example.com"
LIFE = 40

CONF = """\
load_module modules/ngx_autocert_module.so;
load_module modules/ngx_http_autocert_module.so;
events { }
http {
    resolver 127.0.0.1;
    autocert on admin@example.com;
    # these two lines because the CA is one of this demo's own
    autocert_ca %s;
    autocert_ca_certificate %s;
    server {
        listen 80;
        listen 443 ssl;
        server_name example.com www.example.com;
        autocert on;
    }
}
"""

# what a packaged nginx.conf says anyway
GLOBAL = ("user www-data; worker_processes 2; pid %s/nginx.pid; "
          "error_log %s/error.log info;")

# the helper's log lines, in plain words
STEPS = (("order", r'(?:beginning|going on with) the order for "(.*)" by',
          "{}: the helper asks the CA"),
         ("account", r"registering the account",
          "an account is opened, admin@example.com is its contact"),
         ("order", r"creating the order, name: ([^,]*)",
          "{}: a certificate is ordered"),
         ("challenge", r"answering the challenge, name: ([^,]*)",
          "{}: the workers know the answer, the CA may look"),
         ("finalize", r"finalizing the order, name: ([^,]*)",
          "{}: the CA is content and gets a fresh public key"),
         ("certificate", r'certificate of "(.*)" issued',
          "{}: it is here"))


# output: plain lines; colours on a terminal alone

TTY = sys.stdout.isatty()
COLOURS = TTY and "NO_COLOR" not in os.environ \
    and os.environ.get("TERM", "dumb") != "dumb"


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOURS else text


def bold(text):
    return paint("1", text)


def dim(text):
    return paint("2", text)


def show(text=""):
    print(text, flush=True)


def say(text):
    show(textwrap.fill(text, 78, initial_indent="   ",
                       subsequent_indent="   ", break_on_hyphens=False,
                       break_long_words=False))


def indented(text, paint=dim):
    for line in text.rstrip("\n").split("\n"):
        show("      " + paint(line))


class Part:
    count = 0

    def __init__(self, title):
        Part.count += 1
        show()
        show(bold(f"{Part.count}. {title}"))
        show()


class Clock:
    """Lines with the time that has passed since it was made."""

    def __init__(self):
        self.began = time.monotonic()

    def line(self, word, text):
        took = time.monotonic() - self.began
        show(f"   {dim(f'{took:6.2f} s')}  {word:<12} {text}")


# what is shown

class Demo(Nginx):
    """Debian's NGINX, with the configuration of this demo alone."""

    def __init__(self, ca):
        super().__init__(PLACE + "/nginx", workers=2,
                         conf=CONF % (ca.directory, ca.trust))
        os.makedirs(f"{self.dir}/modules")
        os.makedirs(f"{self.dir}/html")
        for module in MODULES:
            os.symlink(module, f"{self.dir}/modules/"
                       + os.path.basename(module))
        with open(f"{self.dir}/html/index.html", "w") as f:
            f.write("Hello from a server that has no key.\n")

    def command(self, *args):
        return super().command("-g", GLOBAL % (self.dir, self.dir), *args)

    def roles(self):
        """[(what it is, pid)]"""

        return ([("master", self.master)]
                + [("worker", pid) for pid in self.workers()]
                + [("helper", self.helper())])


class Follower:
    """The helper's steps and the CA's visits, as they get logged."""

    def __init__(self, server, clock):
        self.server = server
        self.clock = clock
        self.at = {server.log_path: 0, ACCESS: 0}

    def lines(self, path):
        """The whole lines that are new."""

        try:
            with open(path, errors="replace") as f:
                f.seek(self.at[path])
                text = f.read()
        except FileNotFoundError:
            return []

        text = text[:text.rfind("\n") + 1]
        self.at[path] += len(text.encode())
        return text.splitlines()

    def look(self):
        """Shows what is new; the names that have got their certificate."""

        issued = []

        for line in self.lines(self.server.log_path):
            if "autocert: " not in line:
                continue

            for word, pattern, text in STEPS:
                found = re.search(pattern, line)
                if found:
                    name = found[1] if found.groups() else ""
                    self.clock.line(word, text.format(name))
                    if word == "certificate":
                        issued.append(name)
                    break
            else:
                if re.search(r"\[(warn|error|crit|alert|emerg)\]", line):
                    self.clock.line("log", line.split("autocert: ", 1)[1])

        for line in self.lines(ACCESS):
            visit = re.search(r'"GET /\.well-known/acme-challenge/(\S{8})\S* '
                              r'\S+" (\d+)', line)
            if visit:
                self.clock.line("challenge", "the CA asks port 80 for "
                                f"acme-challenge/{visit[1]}...: {visit[2]}")

        return issued


def serial(cert):
    return f"{cert.serial_number:x}"


def until(cert):
    # the second name alone is left in newer ones of that library
    end = getattr(cert, "not_valid_after_utc", None) or cert.not_valid_after
    return f"{end:%Y-%m-%d %H:%M:%S} UTC"


def issuer(cert):
    return cert.issuer.rfc4514_string()


def describe(peer):
    """Of the certificate that a handshake showed."""

    cert = peer.cert
    names = ", ".join(peer.names)
    by = "itself" if peer.self_signed else issuer(cert)
    show(f"      names         {names}")
    show(f"      signed by     {by}")
    show(f"      serial        {serial(cert)}")
    show(f"      valid until   {until(cert)}")
    show(f"      key           {peer.curve}, over {peer.version}")


def scan_table(server, scan, labels):
    """
    Looks for keys in the memory of all processes of the server, now; what
    is found in the wrong place, or not in the right one, ends the demo.
    """

    roles = server.roles()
    found = scan([pid for _, pid in roles])

    show(f"      {'process':<8}{'pid':>8}{'MB':>8}  " + "  ".join(labels))
    wrong = []

    for role, pid in roles:
        size = int(scan.summary[pid].split()[0]) / 1e6
        row = f"      {role:<8}{pid:>8}{size:>8.1f}"
        for label in labels:
            held = any(f.pid == pid and f.label.split(":")[0] == label
                       for f in found)
            cell = f"{'KEY FOUND' if held else 'no key':<{len(label)}}"
            row += "  " + (bold(cell) if held else cell)
            if held != (role == "helper"):
                wrong.append(f"{label} in {role} {pid}")
        show(row.rstrip())

    show()
    assert not wrong, f"not as it has to be: {', '.join(wrong)}"


def stored_key(path):
    with open(path, "rb") as f:
        return serialization.load_pem_private_key(f.read(), None)


def chain(name):
    """PEM of what is in the store."""

    with open(f"{STORE}/{name}/fullchain.pem") as f:
        return f.read()


# the parts

def configuration(server):
    Part("The configuration")
    with open(server.conf_path) as f:
        indented(f.read(), str)
    show()
    say("No ssl_certificate line, no other tool, nothing in the store. The "
        f"CA is Pebble; its certificates live {LIFE} seconds here, so that "
        "there is a renewal to be seen.")


def bootstrap(server, ca):
    Part("Bootstrap: TLS from the first moment")

    # it accepts connections, and no more, until there was time for a look
    ca.process.send_signal(signal.SIGSTOP)
    server.start()
    server.helper()
    clock = Clock()
    peer = wait_for(lambda: tls.handshake(NAMES[0]), 20, "a handshake")
    assert peer.self_signed

    clock.line("bootstrap", "NGINX is up, a client connects and is shown:")
    show()
    describe(peer)
    return peer


def obtain(server, ca):
    Part("Order, challenge, certificate, served")

    clock = Clock()
    follower = Follower(server, clock)
    ca.process.send_signal(signal.SIGCONT)

    issued = []

    def done():
        issued.extend(follower.look())
        return len(issued) >= len(NAMES)

    wait_for(done, 60, lambda: f"certificates, the log ends:\n{log_end()}",
             0.005)

    with open(ROOT, "wb") as f:
        f.write(ca.root())

    for name in NAMES:
        peer = tls.handshake(name, root=ca.root())
        assert peer.names == [name]
        clock.line("served", f"{name}: a client that trusts the CA is "
                   "content")

    show()
    peer = tls.handshake(NAMES[0], root=ca.root())
    describe(peer)
    show()
    say(f"The same processes serve it: no reload, no restart. Master "
        f"{server.master}, workers "
        f"{', '.join(map(str, server.workers()))}.")


def keys(server, boot):
    Part("Who holds the keys")

    scan = Scan().point("bootstrap", boot.point)
    for name in NAMES:
        scan.key(name, stored_key(f"{STORE}/{name}/privkey.pem"))
    account, = glob.glob(f"{STORE}/.accounts/*/account.key")
    scan.key("account", stored_key(account))

    say("All readable memory of each process is looked at, right now. The "
        "keys of the certificates and of the account are in the store, for "
        "root alone to read: they are looked for as numbers in both byte "
        "orders, as DER and as PEM. The bootstrap certificate's key never "
        "was on a disk: every number in memory is tried out, whether it is "
        "the private key that belongs to that certificate.")
    show()

    began = time.monotonic()
    scan_table(server, scan, ["bootstrap", *NAMES, "account"])
    took = time.monotonic() - began
    tried = sum(int(s.split()[2]) for s in scan.summary.values())

    say(f"That took {took:.1f} s; {tried} numbers were tried out. The workers, "
        "which did the handshakes above, asked the helper for signatures.")


def renewal(server, ca):
    Part("Renewal without a reload")

    name = NAMES[0]
    before = tls.handshake(name, root=ca.root())
    roles = server.roles()
    mark = server.mark()
    due = server.grep(f'certificate of "{name}" (issued|renewed)')[-1]
    due = re.search(r"to be renewed at \S+T(\S+?)Z", due)[1]

    say(f"A client now connects to {name} again and again, and never tries "
        f"twice. The helper's clock will renew at {due} UTC.")
    show()

    clock = Clock()
    with tls.HandshakeStream(name, threads=1, pause=0.02,
                             root=ca.root()) as stream:
        clock.line("before", f"serial {serial(before.cert)}, valid until "
                   f"{until(before.cert)}")
        server.wait_log(f'certificate of "{name}" renewed', 120, mark)
        wait_for(lambda: len(stream.certificates) > 1 or stream.failures, 20,
                 "the new certificate in a handshake")
        after = tls.handshake(name, root=ca.root())
        clock.line("after", f"serial {serial(after.cert)}, valid until "
                   f"{until(after.cert)}")
        stream.wait(20)

    same = server.roles() == roles

    show()
    show(f"      handshakes    {stream.done}, "
         f"{len(stream.failures) or 'none'} failed")
    show(f"      processes     {'the same' if same else 'CHANGED'}: "
         + ", ".join(f"{role} {pid}" for role, pid in server.roles()))
    show("      key           "
         + ("a new one" if after.point != before.point else "THE SAME"))

    assert not stream.failures, stream.failures[:3]
    assert same and after.serial != before.serial
    assert after.point != before.point


def print_chain():
    Part("The chain that is served")

    pem = chain(NAMES[0])
    for block in re.findall(r"-----BEGIN.*?-----END[^\n]*\n", pem, re.S):
        cert = x509.load_pem_x509_certificate(block.encode())
        subject = cert.subject.rfc4514_string()
        if not subject:
            names = cert.extensions.get_extension_for_class(
                x509.SubjectAlternativeName).value
            subject = ", ".join(str(n.value) for n in names)
        show(f"      {subject}")
        show(f"      signed by {issuer(cert)}")
        indented(block)


def further():
    """How to look on; the curl line is tried here first."""

    curl = ["curl", "-sS", "--cacert", ROOT, "--resolve",
            f"{NAMES[0]}:443:127.0.0.1", f"https://{NAMES[0]}/"]
    answer = subprocess.run(curl, stdout=subprocess.PIPE, timeout=30,
                            check=True, text=True).stdout.strip()

    Part("To look further")
    enter = "nsenter -t %s -m -n -p -r" % os.environ["NAMESPACE_PID"]
    show(f"      curl {curl[-1]}")
    show(f"      {answer}")
    return enter, " ".join(curl)


def lines_to_try(enter, curl):
    root = "sudo " if "SUDO_UID" in os.environ else ""

    show()
    say("All this runs in namespaces of its own. From another terminal, a "
        "client in there:")
    show()
    show(f"      {bold(f'{root}{enter} {curl}')}")
    show()
    say("a shell in there, and what to look at in it:")
    show()
    show(f"      {bold(f'{root}{enter} sh')}")
    show("      " + f"ps -ef; ls -l {STORE}/*; tail {PLACE}/nginx/error.log")
    show()


def log_end():
    try:
        with open(f"{PLACE}/nginx/error.log", errors="replace") as f:
            return "".join(f.readlines()[-15:])
    except FileNotFoundError:
        return ""


def watch(server):
    """
    Shows renewals until Ctrl-C, which comes as a byte: as a signal it would
    reach make as well, which would complain.
    """

    say("It goes on renewing. Ctrl-C ends it.")
    show()

    clock = Clock()
    follower = Follower(server, clock)
    follower.lines(server.log_path)
    fd = sys.stdin.fileno()
    old = termios.tcgetattr(fd)
    new = termios.tcgetattr(fd)
    new[3] &= ~(termios.ISIG | termios.ICANON | termios.ECHO)
    termios.tcsetattr(fd, termios.TCSANOW, new)

    try:
        while True:
            ready, _, _ = select.select([fd], [], [], 0.25)
            if ready and os.read(fd, 64).strip(b" \r\n") in \
                    (b"\x03", b"\x04", b"q", b"\x1c", b""):
                return

            for line in follower.lines(server.log_path):
                found = re.search(r'certificate of "(.*)" renewed.* valid '
                                  r'until (\S+)', line)
                if found:
                    clock.line("renewed", f"{found[1]}, valid until "
                               f"{found[2]}")
    finally:
        termios.tcsetattr(fd, termios.TCSANOW, old)


def furnish():
    namespace.furnish()
    os.makedirs(os.path.dirname(ACCESS), exist_ok=True)
    namespace.mount("-t", "tmpfs", "tmpfs", os.path.dirname(ACCESS))
    os.makedirs(PLACE)


def stopped(signum, frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, stopped)
    signal.signal(signal.SIGHUP, stopped)

    furnish()
    dns = ca = server = None

    show()
    show(bold("nginx-autocert: NGINX obtains, serves and renews its own "
              "certificates"))

    try:
        dns = ChallTestSrv(f"{PLACE}/dns").start()
        ca = Pebble(f"{PLACE}/ca", Authority("Demo trust"),
                    validity=LIFE).start()
        server = Demo(ca)
        configuration(server)
        boot = bootstrap(server, ca)
        obtain(server, ca)
        keys(server, boot)
        renewal(server, ca)
        print_chain()
        enter, curl = further()

        if TTY and sys.stdin.isatty():
            lines_to_try(enter, curl)
            watch(server)
        status = 0

    except KeyboardInterrupt:
        status = 130

    except Exception as e:
        show()
        show(bold(f"The demo failed: {e}"))
        indented(log_end())
        return 1

    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if server:
            server.stop()
        for daemon in ca, dns:
            if daemon:
                daemon.stop()

    show()
    say("NGINX, its helper and the CA have left.")
    return status


if __name__ == "__main__":
    sys.exit(main())
