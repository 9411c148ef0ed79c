"""The stacks of handshakes that are laid aside, as the kernel sees them."""

import re

SIZE = 8 * 1024 * 1024       # NGX_AUTOCERT_FIBER_STACK

MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) 00000000 00:00 0 *$")


def find(pid):
    """[(from, to)]: so many bytes, to be written, behind a guard page."""

    found = []
    guard = None

    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            m = MAPPING.match(line)
            start, end = (int(m.group(i), 16) for i in (1, 2)) if m else (0, 0)
            if m and m.group(3) == "rw-p" and end - start == SIZE \
               and guard == start:
                found.append((start, end))
            guard = end if m and m.group(3) == "---p" else None

    return found


def deepest(pid):
    """Bytes of the stack that was used most."""

    used = []

    with open(f"/proc/{pid}/mem", "rb", 0) as f:
        for start, end in find(pid):
            f.seek(start)
            used.append(len(f.read(end - start).lstrip(b"\0")))

    assert used, "no stack was found"
    return max(used)
