"""The bench runs, and says of each target what became of it."""

import json
import os
import subprocess
import sys

import pytest

from support import namespace, quic
from support.nginx import TOP



def read(path):
    with open(path) as f:
        return f.read()


def environment(dir, case):
    env = {**os.environ, "BENCH_QUICK": "1", "BENCH_PAIRS": "1",
           "BENCH_CASES": case, "BENCH_RESULTS": f"{dir}/results.json"}
    del env[namespace.MARK]
    return env


def bench(dir, case):
    """Its results, and what it has said."""

    done = subprocess.run([f"{TOP}/scripts/bench"], text=True,
                          env=environment(dir, case), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout

    with open(f"{dir}/results.json") as f:
        return json.load(f), done.stdout


@pytest.mark.parametrize("case, marks, sides, metrics", [
    ("beside60-1.3-p384-1w", 3, {"stock", "autocert", "autocert/stock"},
     {"p50", "p99", "p99.9"}),
    ("start-1-one", 2, {"stock", "autocert", "autocert/stock"},
     {"start", "wall", "reload", "memory"}),
    # peers may be there or not
    ("issue-1", 0, {"autocert"}, {"cpu", "wall", "requests", "connections"}),
])
def test_bench(tmp_path, case, marks, sides, metrics):
    """In namespaces of its own, as quickly as it can; no time is judged."""

    found, said = bench(tmp_path, case)
    assert list(found["cases"]) == [case]
    if marks:
        assert len(found["marks"]) == marks
        assert "\ntargets: " in said
    assert "<svg " in read(f"{tmp_path}/results.svg")

    for metric in metrics:
        values = found["cases"][case]["summary"][metric]
        assert sides <= set(values)
        assert all(v["median"] > 0 for k, v in values.items() if "-" not in k)


def test_quic(tmp_path):
    """Measured where it is there, else named as left out."""

    case = "quic-1.3-p256"
    found, said = bench(tmp_path, case)
    assert list(found["cases"]) == ([case] if quic.had() else [])
    assert quic.had() or "left out: NGINX without HTTP/3" in said


def test_targets_are_documented():
    sys.path.insert(0, TOP)
    from bench import handshake, issuance, names, peers

    with open(f"{TOP}/docs/PERFORMANCE.md") as f:
        rows = [line.rsplit("|", 2)[0] + "|"
                for line in f.read().partition("## Targets")[2].splitlines()
                if line.startswith("| `")]

    assert rows == [f"| `{target.cases}` | {kind.LABELS[target.metric]} | "
                    f"{target.text} |"
                    for kind in (handshake, names, issuance, peers)
                    for target in kind.TARGETS]
