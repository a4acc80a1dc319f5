#!/usr/bin/env python3
"""Whether a dashboard shows the same of a contact centre with either of CXone's APIs.

    dashboard_dialects.py --prometheus http://127.0.0.1:9090

A Prometheus scrapes two exporters of one simulated contact centre: the job `reports` by the Reporting API, the job `platform` by the
platform's. Every query of every dashboard is run for both, repeatedly, since one exporter may be a moment ahead: every series
that the one has the other must have had at the same time, with the same value if both APIs can report it. What never matches is a
failure: exit status 1. Python's standard library only.
"""

import argparse
import json
import re
import sys
import time

from dashboard_queries import MAY_BE_EMPTY, ROOT, Prometheus, may_be_empty, substituted
from dashboard_rules import panels_of

# The simulator's states in the terms of the platform API.
STATES = {
    "Ready": "Available",
    "Inbound Call": "InboundContact",
    "Outbound Call": "OutboundContact",
    "Break": "Unavailable",
    "Lunch": "Unavailable",
    "Training": "Unavailable",
    "Login": "LoggedIn",
    "Logout": "LoggedOut",
}
# Where the values differ though the history is the same: the Reporting API has one Ready per skill, and no state of some absent agents.
OWN_WAY = {"Available", "LoggedOut"}
AWAY = ("floor", "Agents in a state")
# The exporter's own metrics: labels and panels match, values are each API's.
OF_THE_EXPORTER = "exporter"
# Times may be as far apart as the two exporters are, counts over a span as what falls on its edges.
SECONDS = 4.0
SHARE = 0.35
LIMIT_SECONDS = 20.0


def agent_of(dialect, number):
    return f"user-{number:03}" if dialect == "reports" else str(100_000 + number)


def translated(labels, dialect, keeps_skill):
    """Labels as a set of pairs, in the platform's terms."""
    reported = {name: value for name, value in labels.items() if name not in ("__name__", "job", "instance")}
    if dialect == "reports":
        if "state" in reported:
            reported["state"] = STATES.get(reported["state"], reported["state"])
        if "agent" in reported:
            reported["agent"] = agent_of("platform", int(reported["agent"].rpartition("-")[2]))
        if reported.get("state") == "Available" and "skill" in reported and not keeps_skill:
            del reported["skill"]
    return frozenset(reported.items())


def found_by(dialect, query, result):
    """{labels: value}; what is one series in the platform's terms is added up, or where it is a time, the longest."""
    is_time = "timestamp_seconds" in query
    found = {}
    for one in result:
        labels = translated(one["metric"], dialect, "cxone_skill_agents" in query)
        value = float(one["value"][1])
        before = found.get(labels)
        found[labels] = value if before is None else max(before, value) if is_time or "limit" in query else before + value
    return found


def tolerance(query, values):
    """How far two values may be apart; None where they are each API's own."""
    of_a_span = re.search(r"\b(rate|increase)\(|window_entries", query)
    if of_a_span:
        return None if "/" in query or "histogram_quantile" in query else SHARE * max(values) + SECONDS
    if "timestamp_seconds" in query:
        return SECONDS / LIMIT_SECONDS if re.search(r"\n/", query) else SECONDS
    return 0.0


def alike(query, labels, value, other):
    """Whether one series has the same value with both, as far as both can report it."""
    allowed = None if dict(labels).get("state") in OWN_WAY and "cxone_skill_agents" not in query else tolerance(query, (value, other))
    return allowed is None or abs(value - other) <= allowed


class Query:
    """One query of one panel, and its latest error."""

    def __init__(self, stem, panel, target, allowed):
        self.stem, self.title, self.target = stem, panel["title"], target
        self.only_platform = (stem, panel["title"], target["refId"]) in allowed
        self.wrong = "never asked"
        # Series that matched once.
        self.matched = set()

    def difference(self, query, of_reports, of_platform):
        """What was never alike of what the two find, or nothing."""
        both = of_reports.keys() & of_platform.keys()
        self.matched |= {labels for labels in both if alike(query, labels, of_reports[labels], of_platform[labels])}
        for labels in (of_reports.keys() | of_platform.keys()) - self.matched:
            if "skill" in dict(labels) and labels not in of_reports and of_platform[labels] == 0.0:
                # The platform lists every skill. The Reporting API names one once somebody was in the state for it, which at night is late.
                continue
            reported = [one.get(labels, "nothing") for one in (of_reports, of_platform)]
            return f"{dict(labels)}: {reported[0]} with reports, {reported[1]} with platform"
        return None

    def ask(self, prometheus, values, now):
        query, found, shown = self.target["expr"], {}, {}
        for dialect in ("reports", "platform"):
            text = substituted(query, values | {"job": dialect, "agent": values["agent"][self.stem][dialect]})
            found[dialect] = found_by(dialect, text, prometheus.ask("query", query=text, time=now)["result"])
            shown[dialect] = found[dialect] or (not self.target.get("instant") and prometheus.range(text, 30))
        if self.only_platform:
            self.wrong = None if shown["platform"] and not shown["reports"] else "platform alone should have it"
        elif bool(shown["reports"]) != bool(shown["platform"]):
            self.wrong = f"{'platform' if shown['reports'] else 'reports'} finds nothing"
        elif self.stem == OF_THE_EXPORTER or (self.stem, self.title) == AWAY:
            names = [{frozenset(name for name, _ in labels) for labels in one} for one in found.values()]
            self.wrong = None if names[0] == names[1] else f"labels {names}"
        else:
            self.wrong = self.difference(query, found["reports"], found["platform"])
        return self.wrong is None


def at_work(prometheus):
    """The number of an agent who is in a state other than logged out, by both."""
    for number in (1, 2, 3):
        selector = 'cxone_agent_state_start_timestamp_seconds{agent="%s",state!~"(?i)log.*(in|out|off)"}'
        if all(prometheus.instant(selector % agent_of(dialect, number)) for dialect in ("reports", "platform")):
            return number
    return None


def only_of_the_platform(dashboards):
    """The queries that the list of what may be empty gives to the platform alone."""
    lines = [line.split("|") for line in MAY_BE_EMPTY.read_text("utf-8").splitlines() if "dialect reports:" in line]
    names = {(stem.strip(), title.strip()) for stem, title, _, _ in lines}
    return {query for query in may_be_empty(dashboards) if query[:2] in names}


def main():
    parser = argparse.ArgumentParser(description="Runs every query of every dashboard with both of CXone's APIs.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--patience", type=float, default=60, help="seconds until every query must have found the same")
    options = parser.parse_args()
    dashboards = {file: json.loads(file.read_text("utf-8")) for file in sorted((ROOT / "dashboards").glob("*.json"))}
    allowed = only_of_the_platform(dashboards)
    queries = [Query(f.stem, p, t, allowed) for f, d in dashboards.items() for p in panels_of(d) for t in p.get("targets", [])]
    prometheus = Prometheus(options.prometheus)
    pending, end = queries, time.monotonic() + options.patience
    values = {"instance": ".+", "state": ".*", "skill": ".*", "fresh": "600"}
    values |= {"__rate_interval": "20s", "__range": "30s", "__interval": "15s"}
    while pending and time.monotonic() < end:
        number = at_work(prometheus)
        if number is not None:
            everybody = dict.fromkeys(("reports", "platform"), ".+")
            one = {dialect: agent_of(dialect, number) for dialect in everybody}
            values["agent"] = {file.stem: one if file.stem == "agent" else everybody for file in dashboards}
            # A second ago: both have been scraped since.
            now = time.time() - 1
            pending = [query for query in pending if not query.ask(prometheus, values, now)]
        if pending:
            time.sleep(0.7)
    for query in pending:
        print(f"{query.stem}: {query.title} {query.target['refId']}: {query.wrong}\n    {query.target['expr']}")
    print(f"{len(queries)} queries, {len(pending)} that differ")
    sys.exit(1 if pending else 0)


if __name__ == "__main__":
    main()
