"""What all kinds of cases of the bench share."""

import fnmatch
import os
import platform
import re
import ssl
import statistics
import subprocess
import time

from support.nginx import BINARY, BUILD

QUICK = os.environ.get("BENCH_QUICK", "0") not in ("", "0")
PAIRS = int(os.environ.get("BENCH_PAIRS", 2 if QUICK else 9))
SECONDS = float(os.environ.get("BENCH_SECONDS", 0.5 if QUICK else 2))
CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", 32))

CLIENT = f"{BUILD}/bench/handshakes"


class Target:
    """
    What autocert is to reach in some cases, as a ratio to stock, or as what
    may come on top of it (plus), or as any other value (of).  noise: the
    spread of the pairs is enough.
    """

    def __init__(self, cases, metric, least=None, most=None, aim=None,
                 plus=False, noise=False, of=None, unit="us"):
        self.cases = cases
        self.metric = metric
        self.bound = most if least is None else least
        self.sign = 1 if least is None else -1
        self.kind = of or ("autocert-stock" if plus else "autocert/stock")
        self.noise = noise
        self.unit = unit
        self.text = f"at {'most' if least is None else 'least'} " \
            + (f"stock + {self.bound:g} {unit}" if plus
               else f"{self.bound:g} {unit}" if of == "autocert"
               else f"{self.bound:.2f}") \
            + (" within noise" if noise else "") \
            + (f", aim {aim:.2f}" if aim else "")

    def judge(self, values):
        values = values[self.kind]

        def reached(value):
            return self.sign * value <= self.sign * self.bound

        if reached(values["median"]):
            return "met"
        if reached(values["min"]) or reached(values["max"]):
            return "met" if self.noise else "near"
        return "missed"


def pinned(cores, command):
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


def cpu(pids):
    """Seconds of all threads, those that ended as well: the clock of a pid."""

    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def said(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip()


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())

    return {"date": time.strftime("%Y-%m-%d %H:%M"),
            "cpu": model.group(1) if model else platform.machine(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "nginx": said(BINARY, "-v").rpartition("/")[2],
            "openssl": ssl.OPENSSL_VERSION,
            "load": os.getloadavg()[0]}


def spread(values):
    return {"median": statistics.median(values), "min": min(values),
            "max": max(values)}


def show(values, digits):
    text = [f"{values[key]:.{digits}f}" for key in ("median", "min", "max")]
    return "%s (%s-%s) " % tuple(text)


def find_target(targets, case, metric):
    for target in targets:
        if target.metric == metric and fnmatch.fnmatchcase(case, target.cases):
            return target
    return None


def print_row(case, label, values, sides, target, marks, digits=0,
              first=True):
    """values: {side: spread, "side/first": spread}, as sides are."""

    ratios = [f"{side}/{sides[0]}" for side in sides[1:]]
    columns = [f"{side + ' ' + show(values[side], digits):34}"
               for side in sides] \
        + [f"{ratio + ' ' + show(values[ratio], 2):36}" for ratio in ratios
           if ratio in values]
    if target and target.kind in values:
        mark = target.judge(values)
        marks.append((mark, f"{case} {label}: "
                      f"{values[target.kind]['median']:.2f}, {target.text}",
                      [case, target.metric, target.kind]))
        columns.append(f"{mark}: {target.text}")
    print(f"{case if first else '':24}{label:16}" + "".join(columns).rstrip(), flush=True)


def summary(runs, metric):
    """{side: spread, "side/first": ..., "side-first": ...}"""

    found = {}
    runs = {side: [run[metric] for run in of] for side, of in runs.items()
            if metric in of[0]}
    first = next(iter(runs))
    for side, values in runs.items():
        found[side] = spread(values)
        if side != first:
            found[f"{side}/{first}"] = spread(
                [a / b for a, b in zip(values, runs[first])])
            found[f"{side}-{first}"] = spread(
                [a - b for a, b in zip(values, runs[first])])
    return found


def report(case, runs, metrics, targets, results):
    """runs: {side: [{metric: value}, ...]}; prints and keeps their summary."""

    result = {"runs": runs, "summary": {}}
    shown = [m for m in metrics if any(m in of[0] for of in runs.values())]
    for metric in shown:
        label, digits = metrics[metric]
        values = result["summary"][metric] = summary(runs, metric)
        print_row(case, label, values, [s for s in runs if s in values],
                  find_target(targets, case, metric), results["marks"],
                  digits, metric == shown[0])
    results["cases"][case] = result


def print_marks(marks):
    if not marks:
        return

    marks.sort()
    count = {mark: sum(m == mark for m, *_ in marks)
             for mark in ("met", "near", "missed")}
    print("\ntargets: " + ", ".join(f"{n} {m}" for m, n in count.items()))
    for mark, text, _ in marks:
        if mark != "met":
            print(f"    {mark + ':':8}{text}")
