#!/usr/bin/env python3
"""The minimal exporter that accept.py accepts: shows that counts can be exact despite the faults, and that accept.py detects
when they are not: the variable NAIVE_BREAK=ENTRIES|CUT|SECRET|QUOTA makes it wrong on purpose. Not for production: one thread
asks, and nothing is ever forgotten.
"""

import json
import os
import re
import signal
import sys
import threading
import time
from collections import deque
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from cxone_api import now_ms, parse_date
from cxone_floor import WRAP_UP_NAMES, utc_text

OVERLAP_MS, LOOKBACK_MS, SETTLE_MS = 30_000, 600_000, 15_000
lock = threading.Lock()
broken = os.environ.get("NAIVE_BREAK", "")


class NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


opener = build_opener(NoRedirect)


class Asker:
    def __init__(self, text, folder):
        self.base = re.search(r"base_url: (\S+)", text)[1]
        self.rows = re.search(r"rows: (\w+)", text)[1]
        self.secret = (folder / re.search(r"client_secret_file: (\S+)", text)[1]).read_text().strip()
        self.quota = int(re.search(r"report_jobs_per_minute: (\d+)", text)[1])
        self.targets = []
        for kind, rest, name in re.findall(r"  - (filter|user): (.*)(?:\n    name: (\S+))?", text):
            filter_ = dict(re.findall(r"(type|id): ([\w-]+)", rest)) if kind == "filter" else {"type": "user", "id": rest}
            self.targets.append({"name": name or f"user:{rest}", "filter": filter_, "mark": None, "epoch": None, "agents": set()})
        self.token, self.token_end, self.sent = None, 0, deque()
        self.starts, self.spans, self.events, self.buckets = {}, {}, {}, {}
        self.observed, self.epochs = {}, {}
        self.failures, self.rejected = 0, 0

    def call(self, path, body=None, token=True):
        headers = {}
        if token:
            if time.monotonic() > self.token_end:
                form = {"grant_type": "client_credentials", "client_id": "my-client", "client_secret": self.secret}
                answer = self.call("/oauth/token", urlencode(form).encode(), token=False)
                self.token, self.token_end = answer["access_token"], time.monotonic() + answer["expires_in"] / 2
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            with opener.open(Request(self.base + path, body, headers), timeout=10) as answer:
                return json.load(answer)
        except HTTPError as error:
            if error.code == 401:
                self.token_end = 0
            raise

    def ask(self, target):
        settle, overlap = (SETTLE_MS, 0) if self.rows == "buckets" else (0, OVERLAP_MS)
        begin = target["mark"] - overlap if target["mark"] else now_ms() - settle - LOOKBACK_MS
        while len(self.sent) >= self.quota and self.sent[0] > time.monotonic() - 61 and broken != "QUOTA":
            time.sleep(0.05)
        if len(self.sent) >= self.quota:
            self.sent.popleft()
        self.sent.append(time.monotonic())
        end = now_ms() - settle
        wanted = {
            "reportType": "agent-state-history",
            "dateFrom": utc_text(begin),
            "dateTo": utc_text(end),
            "filter": target["filter"],
            "groupBy": ["userId", "stateName", "skillName"],
            "metrics": ["count"],
        }
        job = self.call("/api/v2/reports", json.dumps(wanted).encode())["id"]
        for _ in range(25):
            try:
                report = self.call(f"/api/v2/reports/{job}")
            except (OSError, ValueError, HTTPException) as error:
                if getattr(error, "code", 0) == 404:
                    raise
                report = {}
            if report.get("status") == "COMPLETED":
                return self.take(target, begin, end, report["data"])
            time.sleep(0.2)
        raise TimeoutError("no report")

    def take(self, target, begin, end, rows):
        with lock:
            agents = set()
            for row in rows:
                try:
                    agent, state, skill = row["userId"], row["stateName"], row.get("skillName") or ""
                    start = parse_date(row["dateFrom"])
                    stop = end if row.get("dateTo") is None else parse_date(row["dateTo"])
                    count = row.get("count", 1)
                    if not state or start is None or stop is None or stop < start or not isinstance(count, int) or count < 0:
                        raise ValueError
                except (KeyError, TypeError, ValueError, AttributeError):
                    self.rejected += 1
                    continue
                agents.add(agent)
                key = (agent, "Wrap-up" if state in WRAP_UP_NAMES else state, skill)
                if self.rows == "buckets":
                    self.buckets[key] = self.buckets.get(key, 0) + (count if target["epoch"] else 0)
                    self.spans[key] = []
                    continue
                if self.rows == "events":
                    reported = self.events.setdefault(agent, {})
                    reported[key, start] = stop if row.get("dateTo") else reported.get((key, start))
                    continue
                if start != begin or broken == "CUT":
                    self.starts.setdefault(key, set()).add(start)
                self.spans.setdefault(key, []).append((start, stop, stop >= end, end))
            # An agent whom events do not mention is still where it was.
            target["mark"], target["agents"] = end, agents | (target["agents"] if self.rows == "events" else set())
            target["epoch"] = target["epoch"] or end
            for agent in target["agents"]:
                self.observed[agent] = max(self.observed.get(agent, 0), end)
                self.epochs[agent] = min(self.epochs.get(agent, end), target["epoch"])

    def loop(self):
        while True:
            for target in self.targets:
                try:
                    self.ask(target)
                except (OSError, ValueError, HTTPException, KeyError):
                    self.failures += 1
                    time.sleep(0.3)

    def unfold_events(self):
        """Makes spans of the events: an open one lasts to the agent's next row in another state, else to the end of what is known."""
        self.starts, self.spans = {}, {}
        for agent, reported in self.events.items():
            high = self.observed[agent]
            for (key, start), stop in reported.items():
                if stop is None:
                    stop = min((other for (key_, other) in reported if key_[1] != key[1] and other > start), default=None)
                self.starts.setdefault(key, set()).add(start)
                self.spans.setdefault(key, []).append((start, high if stop is None else stop, stop is None, high))

    def text(self):
        with lock:
            reported = {name: [] for name in METRICS}
            for target in self.targets:
                if target["mark"]:
                    reported["cxone_target_watermark_timestamp_seconds"].append(({"target": target["name"]}, target["mark"] / 1000))
                    reported["cxone_target_epoch_timestamp_seconds"].append(({"target": target["name"]}, target["epoch"] / 1000))
            sums = {}
            now = {}
            if self.rows == "events":
                self.unfold_events()
            for key, spans in self.spans.items():
                agent = key[0]
                low, high = self.epochs[agent], self.observed[agent]
                entries = sum(low <= start < high for start in self.starts.get(key, ())) + self.buckets.get(key, 0) + (broken == "ENTRIES")
                millis, reached = 0, low
                for start, stop, _, _ in sorted(spans):
                    start, stop = max(start, reached), min(stop, high)
                    millis += max(0, stop - start)
                    reached = max(reached, stop)
                labels = dict(zip(("agent", "state", "skill"), key))
                reported["cxone_agent_state_entries_total"].append((labels, entries))
                reported["cxone_agent_state_seconds_total"].append((labels, millis / 1000))
                old = sums.get(key[1:], (0, 0))
                sums[key[1:]] = (old[0] + entries, old[1] + millis)
                if any(open_ and end == high for _, _, open_, end in spans):
                    now.setdefault(agent, []).append((max(self.starts[key]), key))
            for agent, candidates in now.items():
                latest = max(start for start, _ in candidates)
                for start, key in candidates:
                    if start == latest:
                        reported["cxone_agent_state_start_timestamp_seconds"].append((dict(zip(("agent", "state", "skill"), key)), start / 1000))
            reported["cxone_agent_observed_timestamp_seconds"] = [({"agent": agent}, at / 1000) for agent, at in self.observed.items()]
            for (state, skill), (entries, millis) in sums.items():
                reported["cxone_state_entries_total"].append(({"state": state, "skill": skill}, entries))
                reported["cxone_state_seconds_total"].append(({"state": state, "skill": skill}, millis / 1000))
            reported["cxone_report_job_failures_total"].append(({"reason": "any"}, self.failures))
            reported["cxone_report_rows_rejected_total"].append(({"reason": "any"}, self.rejected))
            lines = []
            for name, kind in METRICS.items():
                lines += [f"# HELP {name} From memory.", f"# TYPE {name} {kind}"]
                for labels, value in reported[name]:
                    pairs = ",".join(f'{key}="{escaped(value_)}"' for key, value_ in labels.items())
                    lines.append(f"{name}{{{pairs}}} {value!r}")
            return "\n".join(lines) + "\n"


def escaped(value):
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


METRICS = {
    "cxone_agent_state_entries_total": "counter",
    "cxone_agent_state_seconds_total": "counter",
    "cxone_agent_state_start_timestamp_seconds": "gauge",
    "cxone_agent_observed_timestamp_seconds": "gauge",
    "cxone_state_entries_total": "counter",
    "cxone_state_seconds_total": "counter",
    "cxone_target_watermark_timestamp_seconds": "gauge",
    "cxone_target_epoch_timestamp_seconds": "gauge",
    "cxone_report_job_failures_total": "counter",
    "cxone_report_rows_rejected_total": "counter",
}


class Page(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        asker = self.asker
        ready = self.path != "/-/ready" or any(target["mark"] for target in asker.targets)
        text = asker.text() if self.path == "/metrics" else asker.secret if broken == "SECRET" else "ok\n"
        if "openmetrics" in self.headers.get("Accept", ""):
            text += "# EOF\n"
        self.send_response(200 if ready else 503)
        self.end_headers()
        self.wfile.write(text.encode())


def main():
    given = dict(argument.split("=", 1) for argument in sys.argv if argument.startswith("--") and "=" in argument)
    path = Path(given["--config.file"])
    host, port = given["--web.listen-address"].rsplit(":", 1)
    asker = Asker(path.read_text(), path.parent)
    threading.Thread(target=asker.loop, daemon=True).start()
    server = ThreadingHTTPServer((host, int(port)), type("BoundPage", (Page,), {"asker": asker}))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
