"""Keys and certificates for tests, and stores filled by hand."""

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

CURVES = {"secp256r1": ec.SECP256R1, "secp384r1": ec.SECP384R1}


def make_key(kind="secp256r1"):
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(CURVES[kind]())


def key_pem(key):
    """PKCS#8, as in the store."""

    return key.private_bytes(serialization.Encoding.PEM,
                             serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def general_name(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Pair:
    """A chain (leaf first) and the key of its leaf."""

    def __init__(self, chain, key):
        self.chain = chain
        self.cert = chain[0]
        self.key = key
        self.der = self.cert.public_bytes(serialization.Encoding.DER)
        self.pem = b"".join(c.public_bytes(serialization.Encoding.PEM)
                            for c in chain)
        self.key_pem = key_pem(key)

    def write(self, chain_path, key_path):
        """Each file replaced by a rename, the key first, 0644 and 0600."""

        for path, data, mode in ((key_path, self.key_pem, 0o600),
                                 (chain_path, self.pem, 0o644)):
            tmp = f"{path}.tmp"
            fd = os.open(tmp, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
            with os.fdopen(fd, "wb") as f:
                f.write(data)
            os.chmod(tmp, mode)
            os.rename(tmp, path)

    def store(self, store, name):
        """As privkey.pem and fullchain.pem of name in a store."""

        dir = os.path.join(str(store), name)
        os.makedirs(dir, mode=0o700, exist_ok=True)
        for d in (str(store), dir):
            os.chmod(d, 0o700)
        self.write(f"{dir}/fullchain.pem", f"{dir}/privkey.pem")
        return dir


def sign(names, key, issuer=None, issuer_key=None, life=90 * 86400, age=60,
         ca=False):
    """A certificate valid since age seconds, for life seconds from now."""

    now = datetime.datetime.utcnow()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME,
                                            names[0][:64])])
    builder = x509.CertificateBuilder() \
        .subject_name(subject) \
        .issuer_name(issuer.subject if issuer else subject) \
        .public_key(key.public_key()) \
        .serial_number(x509.random_serial_number()) \
        .not_valid_before(now - datetime.timedelta(seconds=age)) \
        .not_valid_after(now + datetime.timedelta(seconds=life)) \
        .add_extension(x509.BasicConstraints(ca, None), critical=True)

    if not ca:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([general_name(n) for n in names]),
            critical=False)

    return builder.sign(issuer_key or key, hashes.SHA256())


def self_signed(names, kind="secp256r1", key=None, **more):
    names = [names] if isinstance(names, str) else names
    key = key or make_key(kind)
    return Pair([sign(names, key, **more)], key)


class Authority:
    """A CA of one certificate."""

    def __init__(self, name="Test CA"):
        self.key = make_key()
        self.cert = sign([name], self.key, ca=True, life=3650 * 86400)
        self.pem = self.cert.public_bytes(serialization.Encoding.PEM)

    def issue(self, names, kind="secp256r1", key=None, **more):
        names = [names] if isinstance(names, str) else names
        key = key or make_key(kind)
        return Pair([sign(names, key, self.cert, self.key, **more), self.cert],
                    key)
