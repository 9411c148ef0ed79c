"""Rules for Prometheus and a dashboard for Grafana: of what there is."""

import glob
import json
import os
import re
import shutil
import subprocess

import pytest

from support.nginx import TOP

RULES = f"{TOP}/conf/prometheus-rules.yml"
DASHBOARD = f"{TOP}/conf/grafana-dashboard.json"
PROMTOOL = shutil.which("promtool") or os.path.join(TOP, "build/promtool")

METRIC = re.compile(r"\bnginx_autocert_\w+")


def read(path):
    with open(path) as f:
        return f.read()


def written():
    """The metrics that the sources write."""

    found = set()
    for path in glob.glob(f"{TOP}/src/*/*.c"):
        for s in re.findall(r'"((?:\\.|[^"\\\n])*)"', read(path)):
            found.update(METRIC.findall(s))
    return found


def expressions():
    """(panel, expression) of the dashboard, as Prometheus gets them."""

    dashboard = json.loads(read(DASHBOARD))
    return [(panel["title"],
             target["expr"].replace("$__rate_interval", "5m")
                           .replace("$instance", ".*"))
            for panel in dashboard["panels"] for target in panel["targets"]]


def check(path):
    """What it says of good ones, too, but for their number, is a fault."""

    done = subprocess.run([PROMTOOL, "check", "rules", path], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lint = [line for line in done.stdout.splitlines() if line.strip()
            and not re.search(r"^Checking|SUCCESS: \d+ rules found", line)]
    return done.returncode, lint


@pytest.mark.parametrize("path", [RULES, DASHBOARD])
def test_metrics_exist(path):
    named = set(METRIC.findall(read(path)))
    assert len(named) > 5
    assert named <= written(), named - written()


def test_rules():
    assert check(RULES) == (0, [])


def test_each_rule_says_something():
    rules = re.split(r"(?m)^ *- alert: ", read(RULES))[1:]
    names = [rule.partition("\n")[0] for rule in rules]
    assert len(set(names)) == len(names) > 5
    for rule in rules:
        assert re.search(r"severity: (warning|critical)\n", rule)
        assert "summary:" in rule


def test_expressions_of_the_dashboard(tmp_path):
    """Each is one that Prometheus takes."""

    assert len(expressions()) > 10
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [
        {"record": f"panel_{n}", "expr": expr}
        for n, (_, expr) in enumerate(expressions())]}]}))
    assert check(path) == (0, [])


def test_panels():
    dashboard = json.loads(read(DASHBOARD))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken
        taken |= cells


def test_a_wrong_rule_is_found(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(read(RULES).replace("< time()", "< time(", 1))
    assert check(path)[0] != 0
