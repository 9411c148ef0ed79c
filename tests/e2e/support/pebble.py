"""Pebble, the test CA of Let's Encrypt, and its DNS."""

import json
import os
import shutil
import ssl
import urllib.request

from .daemon import Daemon


def told_windows():
    """Can it be told what to say about renewal?  From 2.8 on."""

    with open(shutil.which("pebble"), "rb") as f:
        return b"/set-renewal-info/" in f.read()


class Pebble(Daemon):
    """
    Made and started by the fixture "pebble":

        ca = pebble(nonce_reject=50, validity=30)

    directory is its URL, trust the file for autocert_ca_certificate,
    directives both as configuration.  What it issues chains to root().
    """

    name = "pebble"

    def __init__(self, dir, authority, nonce_reject=0, validity=None,
                 authz_reuse=0, strict=False, env=None, config=None,
                 port=14000, management=15000, dns="127.0.0.1:53"):
        super().__init__(dir)
        self.port = port
        self.management = management
        self.directory = f"https://localhost:{port}/dir"
        self.trust = f"{self.dir}/trust.pem"
        self.directives = (f"autocert_ca {self.directory};\n"
                           f"autocert_ca_certificate {self.trust};\n")

        pair = authority.issue(["localhost", "pebble.test", "127.0.0.1",
                                "::1"])
        pair.write(f"{self.dir}/cert.pem", f"{self.dir}/key.pem")
        with open(self.trust, "wb") as f:
            f.write(authority.pem)

        settings = {
            "listenAddress": f"0.0.0.0:{port}",
            "managementListenAddress": f"0.0.0.0:{management}",
            "certificate": f"{self.dir}/cert.pem",
            "privateKey": f"{self.dir}/key.pem",
            "httpPort": 80,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
        }
        if validity:
            settings["certificateValidityPeriod"] = validity
            # newer ones have it in profiles, and take the only one there is
            settings["profiles"] = {"default": {
                "description": "the only one", "validityPeriod": validity}}
        settings.update(config or {})

        self.config = f"{self.dir}/pebble.json"
        with open(self.config, "w") as f:
            json.dump({"pebble": settings}, f)

        self.args = ["pebble", "-config", self.config, "-dnsserver", dns]
        if strict:
            self.args.append("-strict")

        self.env = {"PEBBLE_VA_NOSLEEP": "1",
                    "PEBBLE_WFE_NONCEREJECT": str(nonce_reject),
                    "PEBBLE_AUTHZREUSE": str(authz_reuse),
                    **(env or {})}

    def start(self):
        self.spawn(self.args, [self.port, self.management], self.env)
        return self

    def get(self, path, data=None):
        """A document of the management interface."""

        context = ssl.create_default_context(cafile=self.trust)
        url = f"https://localhost:{self.management}{path}"
        with urllib.request.urlopen(url, data, timeout=10,
                                    context=context) as r:
            return r.read()

    def post(self, path, **body):
        return self.get(path, json.dumps(body).encode())

    def root(self, n=0):
        """PEM of the root that the issued certificates chain to."""

        return self.get(f"/roots/{n}")

    def issued(self):
        return self.count("Issued certificate serial")


class ChallTestSrv(Daemon):
    """
    Pebble's DNS on port 53, for NGINX and Pebble alike: every name is
    127.0.0.1 and has no IPv6 address unless a test says otherwise.
    """

    name = "pebble-challtestsrv"

    def __init__(self, dir, management=8055, address="127.0.0.1:53"):
        super().__init__(dir)
        self.management = management
        self.address = address

    def start(self):
        option = "-dns01"
        if "-dnsserver " in os.popen("pebble-challtestsrv -h 2>&1").read():
            option = "-dnsserver"

        self.spawn(["pebble-challtestsrv", option, self.address,
                    "-management", f"127.0.0.1:{self.management}",
                    "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
                    "-http01", "", "-https01", "", "-tlsalpn01", ""],
                   [self.management])
        return self

    def post(self, path, **body):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.management}/{path}",
            data=json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as r:
            return r.read()

    def set_a(self, host, *addresses):
        self.post("clear-a", host=host)
        self.post("add-a", host=host, addresses=list(addresses))

    def set_aaaa(self, host, *addresses):
        self.post("clear-aaaa", host=host)
        self.post("add-aaaa", host=host, addresses=list(addresses))

    def set_servfail(self, host):
        self.post("set-servfail", host=host)

    def clear_servfail(self, host):
        self.post("clear-servfail", host=host)

    def history(self, host):
        """The questions asked for host so far."""

        return json.loads(self.post("dns-request-history", host=host) or "[]")
