#!/usr/bin/env python3
"""Runs every query of every dashboard against a real Prometheus, and checks the dashboards themselves.

    dashboard_queries.py --prometheus http://127.0.0.1:9090 [--job cxone] [--instance 127.0.0.1:10962] [dashboards/*.json]
    dashboard_queries.py --static                            only what needs no Prometheus
    dashboard_queries.py --static --format                   format the files first

An error, or an empty answer where there should be one, is a failure: exit status 1. Python's standard library only.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from dashboard_rules import LABEL_VALUES, VARIABLE, formatted, panels_of, static_faults

ROOT = Path(__file__).resolve().parents[2]

# Queries that may have no result while everything is healthy: dashboard, panel, refId or *, and why.
MAY_BE_EMPTY = ROOT / "dashboards" / "may-be-empty.txt"


def may_be_empty(dashboards):
    """{(file's stem, panel's title, refId)}; ValueError for a line that matches no query."""
    queries = {(f.stem, p["title"], t["refId"]) for f, d in dashboards.items() for p in panels_of(d) for t in p.get("targets", [])}
    found = set()
    for line in MAY_BE_EMPTY.read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        stem, title, refs, reason = (part.strip() for part in line.split("|"))
        reported = {query for query in queries if query[:2] == (stem, title) and refs in ("*", query[2])}
        if stem in {file.stem for file in dashboards} and not (reported and reason):
            raise ValueError(f"{MAY_BE_EMPTY.name}: {line!r} speaks of no query, or gives no reason")
        found |= reported
    return found


class Prometheus:
    def __init__(self, base, at=None):
        self.base = base.rstrip("/")
        self.at = at

    def ask(self, path, **parameters):
        """The data of an answer; ValueError with Prometheus's own words for an error."""
        try:
            with urlopen(f"{self.base}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            raise ValueError(error.read().decode("utf-8", "replace")[:300]) from error

    def instant(self, query):
        return self.ask("query", query=query, time=self.at or time.time())["result"]

    def range(self, query, seconds):
        now = self.at or time.time()
        return self.ask("query_range", query=query, start=now - seconds, end=now, step=max(1, seconds // 60))["result"]


def substituted(text, values):
    return VARIABLE.sub(lambda match: values.get(match.group(1), match.group()), text)


def run_variables(prometheus, dashboard, values):
    for variable in dashboard["templating"]["list"]:
        if variable["type"] != "query":
            continue
        query = substituted(variable["query"]["query"], values)
        match = LABEL_VALUES.fullmatch(query)
        if match is None:
            yield f"variable {variable['name']}: {query} is not label_values(series, label)"
            continue
        try:
            found = prometheus.ask(f"label/{match[2]}/values", **{"match[]": match[1]})
        except ValueError as error:
            yield f"variable {variable['name']}: {error}"
            continue
        if not found:
            yield f"variable {variable['name']}: empty: {query}"


def run_panels(prometheus, file, dashboard, values, seconds, allowed):
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            query = substituted(target["expr"], values)
            reported = f"panel {panel['title']!r} {target['refId']}"
            try:
                found = prometheus.instant(query) if target.get("instant") else prometheus.range(query, seconds)
            except ValueError as error:
                yield f"{reported}: {error}\n    {query}"
                continue
            if not found and (file.stem, panel["title"], target["refId"]) not in allowed:
                yield f"{reported}: empty\n    {query}"


def main():
    parser = argparse.ArgumentParser(description="Run every query of every dashboard against a Prometheus.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--static", action="store_true", help="check the files only")
    parser.add_argument("--format", action="store_true", help="write the files as they are to be formatted, such as after an export")
    parser.add_argument("--at", type=float, default=None, help="the time that is now, in seconds since 1970")
    parser.add_argument("--seconds", type=int, default=300, help="span of the range queries")
    parser.add_argument("--rate-interval", default="1m", help="what $__rate_interval becomes: at least four scrape intervals")
    for name, everything in (("job", ".+"), ("instance", ".+"), ("state", ".*"), ("skill", ".*"), ("agent", ".+")):
        parser.add_argument(f"--{name}", default=everything, help=f"regular expression for ${name}")
    parser.add_argument("--fresh", default="600", help="seconds for $fresh")
    parser.add_argument("dashboards", nargs="*", type=Path, default=sorted((ROOT / "dashboards").glob("*.json")))
    options = parser.parse_args()
    dashboards = {file: json.loads(file.read_text("utf-8")) for file in options.dashboards}
    if options.format:
        for file, dashboard in dashboards.items():
            file.write_text(formatted(dashboard) + "\n", "utf-8")
    faults = list(static_faults(dashboards))
    allowed = may_be_empty(dashboards)
    values = {name: getattr(options, name) for name in ("job", "instance", "state", "skill", "agent", "fresh")}
    values |= {"__rate_interval": options.rate_interval, "__range": f"{options.seconds}s", "__interval": "15s"}
    queries = 0
    if not options.static:
        prometheus = Prometheus(options.prometheus, options.at)
        for file, dashboard in dashboards.items():
            queries += sum(len(panel.get("targets", [])) for panel in panels_of(dashboard))
            try:
                faults += [f"{file.name}: {fault}" for fault in run_variables(prometheus, dashboard, values)]
                faults += [f"{file.name}: {fault}" for fault in run_panels(prometheus, file, dashboard, values, options.seconds, allowed)]
            except URLError as error:
                sys.exit(f"dashboard_queries: {options.prometheus}: {error.reason}")
    for fault in faults:
        print(fault)
    print(f"{len(dashboards)} dashboards, {queries} queries, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
