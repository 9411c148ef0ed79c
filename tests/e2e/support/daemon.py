"""A program of another package, run beside the test until stop()."""

import os
import socket
import subprocess

from .wait import wait_for


class Daemon:
    name = ""

    def __init__(self, dir):
        self.dir = str(dir)
        os.makedirs(self.dir, exist_ok=True)
        self.log_path = f"{self.dir}/{self.name}.log"
        self.process = None

    def spawn(self, args, ports, env=None):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen(
                args, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})

        for port in ports:
            wait_for(lambda: self.answers(port), 20, f"{self.name} at {port}")

    def answers(self, port):
        assert self.process.poll() is None, \
            f"{self.name} went away:\n{self.log()[-2000:]}"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def count(self, text):
        """How often text stands in the log."""

        return self.log().count(text)
