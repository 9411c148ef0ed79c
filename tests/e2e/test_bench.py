"""The bench runs, and says of each target what became of it."""

import json
import os
import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

from support import namespace
from support.nginx import TOP

CASE = "beside60-1.3-p384-1w"


def test_bench(tmp_path):
    """In namespaces of its own, as quickly as it can; no time is judged."""

    results = f"{tmp_path}/results.json"
    env = {**os.environ, "BENCH_QUICK": "1", "BENCH_PAIRS": "1",
           "BENCH_CASES": CASE, "BENCH_RESULTS": results}
    del env[namespace.MARK]

    done = subprocess.run([f"{TOP}/scripts/bench"], env=env, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60)
    assert done.returncode == 0, done.stdout

    with open(results) as f:
        found = json.load(f)

    assert list(found["cases"]) == [CASE]
    assert len(found["marks"]) == 3
    assert "\ntargets: " in done.stdout

    for metric in "p50", "p99", "p99.9":
        values = found["cases"][CASE]["summary"][metric]
        assert {"stock", "autocert", "autocert/stock"} <= set(values)
        assert all(v["median"] > 0 for k, v in values.items() if "-" not in k)


def test_targets_are_documented():
    loader = SourceFileLoader("bench", f"{TOP}/scripts/bench")
    bench = module_from_spec(spec_from_loader("bench", loader))
    loader.exec_module(bench)

    with open(f"{TOP}/docs/PERFORMANCE.md") as f:
        rows = [line.rsplit("|", 2)[0] + "|"
                for line in f.read().partition("## Targets")[2].splitlines()
                if line.startswith("| `")]

    labels = dict([bench.CPU, bench.RATE, bench.P50, bench.P99, bench.P999])
    assert rows == [f"| `{target.cases}` | {labels[target.metric]} | "
                    f"{target.text} |" for target in bench.TARGETS]
