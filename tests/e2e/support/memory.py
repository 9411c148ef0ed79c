"""Private keys looked for in the memory of processes (memscan.c)."""

import subprocess

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .nginx import BUILD

FORMS = {"PKCS8": serialization.PrivateFormat.PKCS8,
         "TraditionalOpenSSL": serialization.PrivateFormat.TraditionalOpenSSL}


class Find:
    def __init__(self, line):
        _, pid, self.label, self.address, self.how, self.mapping = \
            line.split(" ", 5)
        self.pid = int(pid)
        self.address = int(self.address, 16)

    def __repr__(self):
        return f"{self.label} as {self.how} in {self.pid} {self.mapping}"


class Scan:
    """
    What is looked for; then looked for in pids, as often as wanted:

        scan = Scan().key("account", key).point("bootstrap", peer.point)
        assert scan(workers) == []
        assert scan([helper])
        scan.summary        # how much was looked at, by pid
    """

    def __init__(self):
        self.lines = []
        self.summary = {}

    def bytes(self, label, data):
        self.lines.append(f"bytes {label} {data.hex()}")
        return self

    def key(self, label, key):
        """
        A private key that is known: an object, or PEM.  Its scalar in both
        byte orders, its DER forms' own parts, the lines of its PEM forms.
        """

        if isinstance(key, bytes):
            key = serialization.load_pem_private_key(key, None)

        if isinstance(key, ec.EllipticCurvePrivateKey):
            size = (key.curve.key_size + 7) // 8
            scalar = key.private_numbers().private_value
            self.bytes(f"{label}:scalar-be", scalar.to_bytes(size, "big"))
            self.bytes(f"{label}:scalar-le", scalar.to_bytes(size, "little"))
        else:
            numbers = key.private_numbers()
            for name in "d", "p", "q":
                value = getattr(numbers, name)
                size = (value.bit_length() + 7) // 8
                self.bytes(f"{label}:{name}-be", value.to_bytes(size, "big"))
                self.bytes(f"{label}:{name}-le",
                           value.to_bytes(size, "little"))

        for name, form in FORMS.items():
            pem = key.private_bytes(serialization.Encoding.PEM, form,
                                    serialization.NoEncryption())
            der = key.private_bytes(serialization.Encoding.DER, form,
                                    serialization.NoEncryption())
            self.pem(f"{label}:pem-{name}", pem)
            self.secret_der(f"{label}:der-{name}", der, key)

        return self

    def pem(self, label, pem):
        """Each line of base64 that holds more of the secret than headers."""

        lines = [line for line in pem.splitlines() if b"-----" not in line]
        for n, line in enumerate(lines):
            if len(line) >= 16:
                self.bytes(f"{label}-line{n}", line)

    def secret_der(self, label, der, key):
        """The encoding from its first byte through the secret's first 16."""

        if isinstance(key, ec.EllipticCurvePrivateKey):
            size = (key.curve.key_size + 7) // 8
            secret = key.private_numbers().private_value.to_bytes(size, "big")
            self.bytes(label, der[:der.index(secret) + 16])

    def point(self, label, point):
        """
        The private key of a P-256 public key (uncompressed, or a key object),
        found by multiplying whatever is in memory.
        """

        if not isinstance(point, bytes):
            point = point.public_bytes(
                serialization.Encoding.X962,
                serialization.PublicFormat.UncompressedPoint)
        self.lines.append(f"point {label} {point.hex()}")
        return self

    def __call__(self, pids, timeout=300):
        pids = [pids] if isinstance(pids, int) else list(pids)
        command = [f"{BUILD}/memscan"]
        for pid in pids:
            command += ["-p", str(pid)]

        done = subprocess.run(command, input="\n".join(self.lines) + "\n",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout)
        assert done.returncode in (0, 1), done.stderr

        found = []
        self.summary = {}
        for line in done.stdout.splitlines():
            if line.startswith("found "):
                found.append(Find(line))
            else:
                _, pid, text = line.split(" ", 2)
                self.summary[int(pid)] = text

        assert set(self.summary) == set(pids), done.stdout
        assert bool(found) == (done.returncode == 1)
        return found
