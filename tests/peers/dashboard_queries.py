#!/usr/bin/env python3
"""Runs every query of every dashboard against a real Prometheus, and looks the dashboards themselves over.

    dashboard_queries.py --prometheus http://127.0.0.1:9090 [--job cxone] [--instance 127.0.0.1:10962] [dashboards/*.json]
    dashboard_queries.py --static                            only what needs no Prometheus

An error, or an empty answer where there should be one, is a failure: exit status 1. Python's standard library only.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]

# Queries that may find nothing while all is well: (panel, refId), or the panel alone for all of its queries.
MAY_BE_EMPTY = {
    "Who needs help",  # nobody over a limit
    ("Everyone on the floor", "B"),  # nobody in a state with a limit
    "Length of finished visits (90th percentile)",  # no visit ended within the rate interval
    "Job latency",  # no job ended within the rate interval
    "Commit duration",  # nothing was committed within it
    "Request latency (90th percentile)",
    "Clock skew",  # no answer yet
}
UNITLESS_TYPES = ("row", "text", "dashlist", "alertlist", "logs", "news")
LABEL_VALUES = re.compile(r"label_values\((.*), *(\w+)\)", re.S)
VARIABLE = re.compile(r"\$\{?(\w+)(?::\w+)?\}?")
SELECTOR = re.compile(r"\b((?:cxone|process)_\w+|up)\b\s*(\{[^}]*\})?")


def panels_of(dashboard):
    """All panels, those in collapsed rows too."""
    for panel in dashboard.get("panels", []):
        yield panel
        yield from panel.get("panels", [])


# The dashboards as they are


def overlap(one, other):
    a, b = one["gridPos"], other["gridPos"]
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def faults_of_panel(panel):
    told = f"panel {panel.get('title') or panel.get('id')!r}"
    if not panel.get("title"):
        yield f"{told}: no title"
    if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
        yield f"{told}: wider than the page"
    if panel["type"] in UNITLESS_TYPES:
        return
    if not panel.get("description"):
        yield f"{told}: no description"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield f"{told}: no unit"
    if not panel.get("targets"):
        yield f"{told}: no query"
    refs = [target["refId"] for target in panel.get("targets", [])]
    if len(set(refs)) != len(refs):
        yield f"{told}: a refId twice"
    for thing in [panel, *panel.get("targets", [])]:
        if thing.get("datasource", {}).get("uid") != "${datasource}":
            yield f"{told}: data source is not ${{datasource}}"
    for target in panel.get("targets", []):
        for name, matchers in SELECTOR.findall(target["expr"]):
            if "{" in target["expr"] and not all(f'{label}=~"${label}"' in matchers for label in ("job", "instance")):
                yield f"{told}: {name} without job and instance"
        for span in re.findall(r"(?:rate|increase)\([^\[]*\[([^\]]*)\]", target["expr"]):
            if span not in ("$__rate_interval", "$__range"):
                yield f"{told}: rate over {span}"


def colours_of(dashboard):
    """{state: colour} wherever a panel gives a series or a cell its own."""
    for panel in panels_of(dashboard):
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            name = override["matcher"].get("options")
            for property_ in override["properties"]:
                if property_["id"] == "color":
                    yield name, property_["value"].get("fixedColor")
                if property_["id"] == "mappings" and name == "State":
                    for mapping in property_["value"]:
                        for state, shown in mapping["options"].items():
                            yield state, shown["color"]


def static_faults(dashboards):
    uids, colours = {}, {}
    for file, dashboard in dashboards.items():
        panels = list(panels_of(dashboard))
        found = [fault for panel in panels for fault in faults_of_panel(panel)]
        ids = [panel["id"] for panel in panels]
        found += [f"panel id {id_} twice" for id_ in sorted({id_ for id_ in ids if ids.count(id_) > 1})]
        top = dashboard["panels"]
        found += [f"{a['title']} and {b['title']} overlap" for n, a in enumerate(top) for b in top[n + 1 :] if overlap(a, b)]
        if dashboard.get("id") is not None:
            found.append("id is fixed")
        if uids.setdefault(dashboard.get("uid"), file) != file or not re.fullmatch(r"[\w-]{1,40}", dashboard.get("uid") or ""):
            found.append(f"uid {dashboard.get('uid')!r} is bad or used twice")
        variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
        for name in ("datasource", "job", "instance"):
            if name not in variables:
                found.append(f"no variable {name}")
        for state, colour in colours_of(dashboard):
            if colours.setdefault(state, colour) != colour:
                found.append(f"{state} is {colour} here and {colours[state]} elsewhere")
        used = {name for panel in panels for target in panel.get("targets", []) for name in VARIABLE.findall(target["expr"])}
        found += [f"variable {name} is not defined" for name in sorted(used - variables.keys()) if not name.startswith("__")]
        found += [f"variable {name} is not used" for name in sorted(variables.keys() - used - {"datasource"})]
        yield from (f"{file.name}: {fault}" for fault in found)


# Their queries


class Prometheus:
    def __init__(self, base):
        self.base = base.rstrip("/")

    def ask(self, path, **parameters):
        """The data of an answer; ValueError with Prometheus's own words for an error."""
        try:
            with urlopen(f"{self.base}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as answer:
                return json.load(answer)["data"]
        except HTTPError as error:
            raise ValueError(error.read().decode("utf-8", "replace")[:300]) from error

    def instant(self, query):
        return self.ask("query", query=query)["result"]

    def range(self, query, seconds):
        now = time.time()
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
            yield f"variable {variable['name']}: {query} is no label_values(series, label)"
            continue
        try:
            found = prometheus.ask(f"label/{match[2]}/values", **{"match[]": match[1]})
        except ValueError as error:
            yield f"variable {variable['name']}: {error}"
            continue
        if not found:
            yield f"variable {variable['name']}: empty: {query}"


def run_panels(prometheus, dashboard, values, seconds):
    for panel in panels_of(dashboard):
        for target in panel.get("targets", []):
            query = substituted(target["expr"], values)
            told = f"panel {panel['title']!r} {target['refId']}"
            try:
                found = prometheus.instant(query) if target.get("instant") else prometheus.range(query, seconds)
            except ValueError as error:
                yield f"{told}: {error}\n    {query}"
                continue
            if not found and not {panel["title"], (panel["title"], target["refId"])} & MAY_BE_EMPTY:
                yield f"{told}: empty\n    {query}"


def main():
    parser = argparse.ArgumentParser(description="Run every query of every dashboard against a Prometheus.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--static", action="store_true", help="look at the files only")
    parser.add_argument("--seconds", type=int, default=300, help="span of the range queries")
    parser.add_argument("--rate-interval", default="1m", help="what $__rate_interval becomes: at least four scrape intervals")
    for name, everything in (("job", ".+"), ("instance", ".+"), ("state", ".*"), ("skill", ".*"), ("agent", ".+")):
        parser.add_argument(f"--{name}", default=everything, help=f"regular expression for ${name}")
    parser.add_argument("dashboards", nargs="*", type=Path, default=sorted((ROOT / "dashboards").glob("*.json")))
    options = parser.parse_args()
    dashboards = {file: json.loads(file.read_text("utf-8")) for file in options.dashboards}
    faults = list(static_faults(dashboards))
    values = {name: getattr(options, name) for name in ("job", "instance", "state", "skill", "agent")}
    values |= {"__rate_interval": options.rate_interval, "__range": f"{options.seconds}s", "__interval": "15s"}
    queries = 0
    if not options.static:
        prometheus = Prometheus(options.prometheus)
        for file, dashboard in dashboards.items():
            queries += sum(len(panel.get("targets", [])) for panel in panels_of(dashboard))
            try:
                faults += [f"{file.name}: {fault}" for fault in run_variables(prometheus, dashboard, values)]
                faults += [f"{file.name}: {fault}" for fault in run_panels(prometheus, dashboard, values, options.seconds)]
            except URLError as error:
                sys.exit(f"dashboard_queries: {options.prometheus}: {error.reason}")
    for fault in faults:
        print(fault)
    print(f"{len(dashboards)} dashboards, {queries} queries, {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
