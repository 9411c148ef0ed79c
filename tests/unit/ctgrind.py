"""
ctgrind.py <valgrind's log>: judges what valgrind reports of ctgrind_signer.

A jump that depends on a secret is good only if one of its two ways leads to
__assert_fail() at once: then it goes the other way for each secret, or the
process ends.  Two functions decide on what is no secret, or not any more.
All else, and any address that depends on a secret, is a fault.
"""

import re
import subprocess
import sys

OPEN = {
    "_nettle_ecc_mod_random":
        "whether a nonce is thrown away, as one in 2^194 is",
    "__gmpz_limbs_finish":
        "zero limbs in front of r and s, which go to the client",
}

REPORT = re.compile(r"==\d+== (Conditional|Use of|Syscall|Invalid).*\n"
                    r"==\d+==    at 0x([0-9A-F]+): (\S+) \((?:in )?(\S+?)\)")


class Library:
    """Its code by address, and where it was loaded."""

    def __init__(self, path):
        text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path],
                              check=True, stdout=subprocess.PIPE,
                              text=True).stdout
        self.path = path
        self.code = {}
        self.after = {}
        self.starts = {}
        last = None
        for line in text.splitlines():
            start = re.match(r"([0-9a-f]+) <([^@>]+)", line)
            if start:
                self.starts[start.group(2)] = int(start.group(1), 16)
            code = re.match(r" +([0-9a-f]+):\s+(.*)", line)
            if code:
                at = int(code.group(1), 16)
                self.code[at] = code.group(2)
                self.after[last] = at
                last = at

    def asserts(self, at, steps=8):
        """Does the straight way from there end in __assert_fail()?"""

        for _ in range(steps):
            code = self.code.get(at, "")
            if "<__assert_fail" in code:
                return True
            if not code.startswith(("lea", "mov", "xor", "sub", "push")):
                return False
            at = self.after.get(at)
        return False

    def jump(self, at):
        """The two ways of the conditional jump at this address."""

        found = re.match(r"j\w+ +([0-9a-f]+)", self.code.get(at, ""))
        return found and [int(found.group(1), 16), self.after[at]]


def judge(library, at, function):
    """(good?, why) for one place; at is an address in the file."""

    ways = library.jump(at)
    if ways and any(library.asserts(way) for way in ways):
        return True, "an assertion"
    if ways and function in OPEN:
        return True, OPEN[function]
    return False, f"depends on a secret: {library.code.get(at)}"


def main(log, maps):
    with open(log) as f:
        text = f.read()

    with open(maps) as f:
        bases = {}
        for line in f:
            fields = line.split()
            if len(fields) > 5 and int(fields[2], 16) == 0:
                bases.setdefault(fields[5], int(fields[0].split("-")[0], 16))

    places = {}
    for kind, at, function, path in REPORT.findall(text):
        places[int(at, 16)] = kind, function, path

    if len(places) < 5:
        print("valgrind has not seen the secrets at work")
        return 1

    libraries = {}
    faults = 0

    for address, (kind, function, path) in sorted(places.items()):
        good, why = False, f"{kind}, outside of the libraries"
        if path in bases:
            library = libraries.setdefault(path, Library(path))
            at = address - bases[path]
            good, why = judge(library, at, function)
            if kind != "Conditional":
                good = False
        faults += not good
        print(f"{'ok   ' if good else 'FAULT'} {function}: {why}")

    print(f"{len(places)} places, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
