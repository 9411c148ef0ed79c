"""The ratios of a run as a picture: SVG, with nothing that it would load."""

from math import log2
from xml.sax.saxutils import escape

ROW = 18
LABEL = 330
WIDTH = 420
LEAST, MOST = 1 / 16, 16

COLOURS = {"met": "#2e7d32", "near": "#b26a00", "missed": "#c62828",
           None: "#546e7a"}

HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d"
 font-family="system-ui, sans-serif" font-size="11">
<title>%s</title>
<rect width="100%%" height="100%%" fill="#fff"/>
"""


def place(ratio):
    """On a scale on which twice and half are as far from 1."""

    ratio = min(max(ratio, LEAST), MOST)
    return LABEL + WIDTH * (log2(ratio) - log2(LEAST)) \
        / (log2(MOST) - log2(LEAST))


def rows(results):
    marks = {tuple(of): mark for mark, _, of in results["marks"]}
    for case, found in results["cases"].items():
        for metric, values in found["summary"].items():
            for kind, spread in values.items():
                if "/" in kind and spread["min"] > 0:
                    yield f"{case} {metric} {kind}", spread, \
                        marks.get((case, metric, kind))


def draw(results):
    found = list(rows(results))
    height = (len(found) + 3) * ROW
    title = ", ".join(f"{k} {v}" for k, v in results["machine"].items())
    out = [HEAD % (LABEL + WIDTH + 90, height, escape(title))]

    for ratio in (1 / 16, 1 / 4, 1, 4, 16):
        x = place(ratio)
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{ROW}" '
                   f'y2="{height - ROW}" stroke="#ccc"/>'
                   f'<text x="{x:.1f}" y="12" text-anchor="middle">'
                   f"{ratio:g}</text>\n")

    for i, (label, spread, mark) in enumerate(found):
        y = (i + 2) * ROW
        low, middle, high = (place(spread[k])
                             for k in ("min", "median", "max"))
        colour = COLOURS[mark]
        out.append(
            f'<text x="{LABEL - 8}" y="{y + 4}" text-anchor="end">'
            f"{escape(label)}</text>"
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" '
            f'stroke="{colour}" stroke-width="3" opacity=".4"/>'
            f'<circle cx="{middle:.1f}" cy="{y}" r="4" fill="{colour}"/>'
            f'<text x="{LABEL + WIDTH + 8}" y="{y + 4}">'
            f"{spread['median']:.2f}{' ' + mark if mark else ''}</text>\n")

    return "".join(out) + "</svg>\n"
