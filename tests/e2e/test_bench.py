"""The bench runs, and says of each target what became of it."""

import json
import os
import subprocess
import sys

import pytest

from support import namespace
from support.nginx import TOP



@pytest.mark.parametrize("case, marks, metrics", [
    ("beside60-1.3-p384-1w", 3, {"p50", "p99", "p99.9"}),
    ("start-1-one", 2, {"start", "wall", "reload", "memory"}),
])
def test_bench(tmp_path, case, marks, metrics):
    """In namespaces of its own, as quickly as it can; no time is judged."""

    results = f"{tmp_path}/results.json"
    env = {**os.environ, "BENCH_QUICK": "1", "BENCH_PAIRS": "1",
           "BENCH_CASES": case, "BENCH_RESULTS": results}
    del env[namespace.MARK]

    done = subprocess.run([f"{TOP}/scripts/bench"], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60)
    assert done.returncode == 0, done.stdout

    with open(results) as f:
        found = json.load(f)

    assert list(found["cases"]) == [case]
    assert len(found["marks"]) == marks
    assert "\ntargets: " in done.stdout

    for metric in metrics:
        values = found["cases"][case]["summary"][metric]
        assert {"stock", "autocert", "autocert/stock"} <= set(values)
        assert all(v["median"] > 0 for k, v in values.items() if "-" not in k)


def test_targets_are_documented():
    sys.path.insert(0, TOP)
    from bench import handshake, names

    with open(f"{TOP}/docs/PERFORMANCE.md") as f:
        rows = [line.rsplit("|", 2)[0] + "|"
                for line in f.read().partition("## Targets")[2].splitlines()
                if line.startswith("| `")]

    assert rows == [f"| `{target.cases}` | {kind.LABELS[target.metric]} | "
                    f"{target.text} |"
                    for kind in (handshake, names)
                    for target in kind.TARGETS]
