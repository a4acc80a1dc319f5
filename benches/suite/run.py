#!/usr/bin/env python3
"""The driver of scripts/bench, which finds or installs what it needs and passes the paths."""

import argparse
import json
import re
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import ingest
import peers
import polls
import scraped
import serving
from chart import draw
from document import headline, markdown, write_between_marks
from exporter import Exporter
from processes import machine, run

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "pictures" / "performance.svg"
SERIES_OF_AN_AGENT = 20
ROUNDS = 7
QUICK_ROUNDS = 5
UNITS = {"s": 1000.0, "ms": 1.0, "µs": 0.001, "ns": 1e-6}
LINE = re.compile(r"((?:all|one) of \d+ targets) +(\d+) +(\d+) +(\S+) +(\S+) +(\S+)")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 k and 100 k series only; changes no document")
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="only these parts; changes no document")
    parser.add_argument("--tools", required=True, type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = Path(options.tools["folder"])
    results = {"date": datetime.now(timezone.utc).strftime("%Y-%m-%d"), "machine": machine(), "quick": options.quick}
    results["commit"] = run(["git", "-C", ROOT, "describe", "--always", "--dirty"]).strip()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tools = {**options.tools, "go": peers.build_go(folder)}
        for name in options.only or PARTS:
            say(f"== {name}")
            PARTS[name](tools, Path(scratch), options.quick, results)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = markdown(results)
    print(text)
    if not options.quick and not options.only:
        write_between_marks(PAGE, text)
        PICTURE.write_text(draw(results))
        say(f"written: {PAGE.relative_to(ROOT)}, {PICTURE.relative_to(ROOT)}")
    say(headline(results))
    say(f"all figures: {folder / 'results.json'}")


def say(words):
    print(words, file=sys.stderr, flush=True)


def sizes(quick):
    return (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000)


def pages(tools, scratch, quick, results):
    """Everything that needs an exporter, each size with one."""
    results["serving"], results["job"] = [], []
    for series in sizes(quick):
        largest = series == sizes(quick)[-1]
        folder = scratch / f"{series}"
        with Exporter(tools["exporter"], folder / "exporter", series // SERIES_OF_AN_AGENT) as exporter:
            say(f"{series} series: filling")
            exporter.fill()
            if largest:
                say(f"{series} series: memory and polls")
                results["memory"], results["polls"] = polls.memory_and_polls(exporter, QUICK_ROUNDS)
            say(f"{series} series: scrapes beside servers")
            rounds = QUICK_ROUNDS if quick else ROUNDS
            results["serving"] += serving.beside_servers(tools, exporter, series, folder, rounds)
            say(f"{series} series: scrapes beside libraries")
            results["job"].append(serving.beside_libraries(tools, exporter, series, folder))
            if largest:
                say(f"{series} series: readers")
                results["readers"] = scraped.by_clients(tools, exporter, folder)
                interval = 5 if quick else 15
                results["prometheus"] = scraped.by_prometheus(tools, exporter, series, folder, 3, interval)
                say(f"{series} series: scrapes while a report is read")
                results["reading"] = polls.while_a_report_is_read(tools, exporter, series, QUICK_ROUNDS)


def many_targets(tools, scratch, quick, results):
    """Polls of one target in two hundred."""
    agents = sizes(quick)[-1] // SERIES_OF_AN_AGENT
    with Exporter(tools["exporter"], scratch / "many", agents, targets=200) as exporter:
        exporter.fill()
        exporter.rest()
        results["many_targets"] = [polls.poll(exporter, exporter.targets[:1], QUICK_ROUNDS), polls.poll(exporter, exporter.targets, 1)]


def reports(tools, scratch, quick, results):
    results["ingest"] = ingest.measure(tools, scratch, 100_000 if quick else 1_000_000, QUICK_ROUNDS)


def render(tools, _scratch, quick, results):
    """benches/render.rs: snapshot and render without the rest, which is always of a million series."""
    results["render"] = [] if quick else render_lines(run([tools["render"], "--bench"]))


def render_lines(text):
    rows = []
    for found in LINE.finditer(text):
        read, shards, anew, *times = found.groups()
        snapshot, written, together = map(in_millis, times)
        rows.append({"read": read, "shards": int(shards), "anew": int(anew), "snapshot_ms": snapshot, "render_ms": written})
        rows[-1]["together_ms"] = together
    return rows


def in_millis(text):
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", text).groups()
    return float(number) * UNITS[unit]


PARTS = {"pages": pages, "many-targets": many_targets, "reports": reports, "render": render}

if __name__ == "__main__":
    main()
