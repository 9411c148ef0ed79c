"""What /proc says of processes."""

import os
import signal


def stat(pid):
    """(state, parent, session) of a process, or None if it is gone."""

    try:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None

    return fields[0], int(fields[1]), int(fields[3])


def alive(pid):
    found = stat(pid)
    return found is not None and found[0] != "Z"


def locks(pid):
    """Does it hold a file locked?"""

    with open("/proc/locks") as f:
        return any(line.split()[1:5:3] == ["FLOCK", str(pid)] for line in f)


def switches(pid):
    """How often it has slept, if it sleeps; else None."""

    try:
        with open(f"/proc/{pid}/status") as f:
            found = dict(line.split(":", 1) for line in f)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if found["State"].split()[0] == "S":
        return int(found["voluntary_ctxt_switches"])


def title(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def pids():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def of_session(session):
    """The living processes of a session, zombies left out."""

    found = []
    for pid in pids():
        s = stat(pid)
        if s and s[0] != "Z" and s[2] == session:
            found.append(pid)
    return found


def children(parent):
    found = []
    for pid in pids():
        s = stat(pid)
        if s and s[0] != "Z" and s[1] == parent:
            found.append(pid)
    return found


def send(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def kill(pid):
    send(pid, signal.SIGKILL)


def descriptors(pid):
    """{fd: what it leads to}"""

    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return found


def memory(pid):
    """KiB that it has written to, and no other process has as well."""

    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f
                    if line.startswith("Private_Dirty:"))
