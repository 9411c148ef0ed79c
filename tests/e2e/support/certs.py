"""Keys and certificates for tests, and stores filled by hand."""

import datetime
import ipaddress
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

CURVES = {"secp256r1": ec.SECP256R1, "secp384r1": ec.SECP384R1}

CA_USAGE = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False,
    content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, encipher_only=False, decipher_only=False)


def make_key(kind="secp256r1"):
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
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

    now = datetime.datetime.now(datetime.timezone.utc)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME,
                                            names[0][:64])])
    builder = x509.CertificateBuilder() \
        .subject_name(subject) \
        .issuer_name(issuer.subject if issuer else subject) \
        .public_key(key.public_key()) \
        .serial_number(x509.random_serial_number()) \
        .not_valid_before(now - datetime.timedelta(seconds=age)) \
        .not_valid_after(now + datetime.timedelta(seconds=life)) \
        .add_extension(x509.BasicConstraints(ca, None), critical=True) \
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(
            key.public_key()), critical=False)

    if issuer:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                issuer_key.public_key()), critical=False)

    if ca:
        builder = builder.add_extension(CA_USAGE, critical=True)
    else:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([general_name(n) for n in names]),
            critical=False)

    return builder.sign(issuer_key or key, hashes.SHA256())


def self_signed(names, kind="secp256r1", key=None, **more):
    names = [names] if isinstance(names, str) else names
    key = key or make_key(kind)
    return Pair([sign(names, key, **more)], key)


class Authority:
    """A CA of one certificate, or one below another."""

    def __init__(self, name="Test CA", kind="secp256r1", above=None, age=60):
        self.key = make_key(kind)
        self.cert = sign([name], self.key, above and above.cert,
                         above and above.key, ca=True, life=3650 * 86400,
                         age=age)
        self.chain = [self.cert] + (above.chain if above else [])
        self.pem = self.cert.public_bytes(serialization.Encoding.PEM)

    def issue(self, names, kind="secp256r1", key=None, **more):
        names = [names] if isinstance(names, str) else names
        key = key or make_key(kind)
        return Pair([sign(names, key, self.cert, self.key, **more),
                     *self.chain], key)

    def good(self, pair):
        """An OCSP response that says so, DER."""

        now = datetime.datetime.now(datetime.timezone.utc)
        return ocsp.OCSPResponseBuilder().add_response(
            pair.cert, self.cert, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD,
            now, now + datetime.timedelta(hours=1), None, None
        ).responder_id(ocsp.OCSPResponderEncoding.HASH, self.cert) \
            .sign(self.key, hashes.SHA256()) \
            .public_bytes(serialization.Encoding.DER)
