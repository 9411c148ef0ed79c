"""No secret is in a log: what the store has by now, and what looks like one."""

import base64
import json
import os
import re

from cryptography.hazmat.primitives import hashes, serialization

# what no line may have, whoever's it is
SHAPES = {
    # token.thumbprint (RFC 8555, 8.1)
    "a key authorization": re.compile(
        r"(?<![\w.-])[\w-]{22,}\.[\w-]{43}(?![\w.-])"),
    "a private key in PEM": re.compile(r"BEGIN [A-Z ]*PRIVATE KEY"),
    # how SEC1 and PKCS#8 begin, for P-256 and P-384
    "a private key in base64": re.compile(
        r"MHcCAQEEI|MIGkAgEBBDA|MIGHAgEAMBMGByqGSM49|MIG2AgEAMBAGByqGSM49"),
    "a private key in hex": re.compile(
        r"(?i)30770201010420|3081a40201010430|308187020100301306072a8648ce3d"
        r"|3081b6020100301006072a8648ce3d"),
}

# where a nonce is shown, of a CA whose nonces we do not know; not the path
# of new ones
NONCE = re.compile(r"""(?i)replay-nonce\W+[\w-]{8}|["']nonce["']\W+[\w-]{8}""")

# those that the test's own CA gave, FakeCA and Proxy
NONCES = set()

KEYS = ("privkey.pem", "privkey.next.pem", "account.key")


def keys(top):
    """Each private key below it, whoever put it there."""

    for root, _, files in os.walk(top):
        for name in files:
            if name not in KEYS:
                continue
            try:
                with open(f"{root}/{name}", "rb") as f:
                    yield serialization.load_pem_private_key(f.read(), None)
            except (OSError, ValueError, TypeError):
                continue        # a test's own damage, or it has just gone


def forms(data):
    """As it would be written, without padding."""

    return {data.hex(), data.hex().upper(),
            base64.b64encode(data).decode().rstrip("="),
            base64.urlsafe_b64encode(data).decode().rstrip("=")}


def thumbprint(key):
    """RFC 7638"""

    n = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    jwk = {"crv": f"P-{key.curve.key_size}", "kty": "EC"}
    for name in ("x", "y"):
        part = getattr(n, name).to_bytes(size, "big")
        jwk[name] = base64.urlsafe_b64encode(part).decode().rstrip("=")

    digest = hashes.Hash(hashes.SHA256())
    digest.update(json.dumps(jwk, sort_keys=True,
                             separators=(",", ":")).encode())
    return base64.urlsafe_b64encode(digest.finalize()).decode().rstrip("=")


def known(places):
    """{text: what it is} of the keys that are below the places now."""

    found = {}

    for place in places:
        for key in keys(place):
            if not hasattr(key, "curve"):
                continue
            size = (key.curve.key_size + 7) // 8
            scalar = key.private_numbers().private_value.to_bytes(size, "big")
            found.update(dict.fromkeys(forms(scalar), "a private key"))
            found["." + thumbprint(key)] = "a key authorization"

    return found


def found(text, secrets, nonces=NONCES):
    """
    What of it is in the text of a log, line by line.  At debug there may be
    nonces, and nothing else.
    """

    pieces = re.compile(r"[\w-]{16,}")
    bad = []

    for line in text.splitlines():
        what = [name for name, shape in SHAPES.items() if shape.search(line)]
        what += [name for s, name in secrets.items() if s in line]

        if "[debug]" not in line \
                and (NONCE.search(line)
                     or nonces and nonces & set(pieces.findall(line))):
            what.append("a nonce")

        if what:
            bad.append(f"{what[0]}: {line}")

    return bad


def check(server, places):
    """Every log of a server."""

    secrets = known([server.dir, *places])
    bad = []

    for root, _, files in os.walk(server.dir):
        for name in files:
            if not name.endswith(".log"):
                continue
            with open(f"{root}/{name}", errors="replace") as f:
                bad += found(f.read(), secrets)

    assert not bad, "in a log:\n" + "\n".join(bad[:20])
