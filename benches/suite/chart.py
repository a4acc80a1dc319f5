"""The cost of a scrape as a picture: a bar for each server, on a logarithmic scale. `chart.py RESULTS PICTURE` draws it again."""

import json
import math
import sys
from html import escape
from pathlib import Path

from document import microseconds, thousands

WIDTH, BAR, GAP, LEFT, VALID = 860, 16, 26, 190, 90
COLOURS = {
    "loop over a socket": "#9aa5b1",
    "nginx, gzip_static": "#9aa5b1",
    "cxone-exporter": "#1f6feb",
    "client_golang": "#c69026",
    "prometheus_client (Python)": "#c69026",
}
STYLE = "text{font:13px sans-serif;fill:#57606a} .t{font-size:15px;font-weight:600} line{stroke:#8c959f;stroke-opacity:.35}"


def bars(results):
    """(series, [(who, µs)]) from the least to the most."""
    for row in results["job"]:
        one = next(found for found in results["serving"] if (found["series"], found["scrapers"]) == (row["series"], 1))
        cpu, libraries = one["cpu_us"], row["cpu_us"]
        values = (cpu["blast"], cpu["nginx"], cpu["exporter"], libraries["client_golang"], libraries["prometheus_client"])
        yield row["series"], list(zip(COLOURS, values, strict=True))


def draw(results):
    groups = list(bars(results))
    values = [us for _, group in groups for _, us in group]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))

    def place(us):
        return LEFT + (math.log10(us) - low) / (high - low) * (WIDTH - LEFT - VALID)

    height = 50 + sum(len(group) * (BAR + 4) + GAP for _, group in groups) + 24
    drawn = [f'<text class="t" x="16" y="26">CPU time of the server for one gzip scrape (logarithmic), {escape(results["date"])}</text>']
    for power in range(low, high + 1):
        x = place(10**power)
        drawn.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="40" y2="{height - 26}"/>')
        drawn.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{microseconds(10**power)}</text>')
    y = 50
    for series, group in groups:
        drawn.append(f'<text class="t" x="16" y="{y + 13}">{thousands(series)} series</text>')
        y += GAP - 4
        for who, us in group:
            drawn.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(who)}</text>')
            drawn.append(f'<rect x="{LEFT}" y="{y}" width="{place(us) - LEFT:.1f}" height="{BAR}" rx="2" fill="{COLOURS[who]}"/>')
            drawn.append(f'<text x="{place(us) + 6:.1f}" y="{y + 13}">{microseconds(us)}</text>')
            y += BAR + 4
        y += 4
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="CPU time of one gzip scrape">'
    return "\n".join([head, f"<style>{STYLE}</style>", *drawn, "</svg>"]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(draw(json.loads(Path(sys.argv[1]).read_text())))
