#!/usr/bin/env python3
"""The Reporting API with agents whose true history is known, and with faults on request. Python's standard library only.

    cxone_api.py --port 8080 --rows intervals-cut --token-life 20 --quota 10 --faults 0.05 --late 10

It prints one line of JSON with its addresses and credentials when it listens. Control endpoints, without a token:
  /__truth?from=MS&to=MS[&agent=ID]  what the agents really did in [from, to)
  /__stats                           the requests to it, and those that should not have been made
  /__tokens                          every token that it gave out, for a search of logs
  /__stop_faults                     from now on no faults; rows are on time and correct
  /__freeze, /__outage, /__thaw      no new rows | every call answers 503 | both end
"""

import argparse
import json
import random
import re
import secrets
import signal
import sys
import threading
import time
from collections import Counter, deque
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from datetime import datetime

from cxone_floor import Floor, bad_row

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
REPORT = re.compile(r"/api/v2/reports/([A-Za-z0-9-]+)")
FAULTS = ("throttle", "server_errors", "cut_bodies", "not_json", "lost", "failed", "endless", "redirects", "revoked")
WINDOW_S = 60.0
TRUTH_AHEAD_MS = 120_000


def now_ms():
    return time.time_ns() // 1_000_000


def parse_date(text):
    """Milliseconds, or None for anything but `YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    if not isinstance(text, str) or not DATE.fullmatch(text):
        return None
    try:
        whole = datetime.fromisoformat(text[:19] + "+00:00")
    except ValueError:
        return None
    return int(whole.timestamp()) * 1000 + int(text[20:23])


class Tenant:
    """Everything behind the handlers: tokens, quota, jobs, faults. One lock; no call holds it for long."""

    def __init__(self, options):
        self.options = options
        self.floor = Floor(options, now_ms())
        self.lock = threading.Lock()
        self.rng = random.Random(f"{options.seed}/faults")
        self.faulty = True
        self.outage = False
        self.tokens = {}
        self.jobs = {}
        self.submits = deque()  # all of them, whatever was answered
        self.counted = deque()  # those that the quota knows
        self.stats = Counter()
        self.leaks = []
        self.token_requests_now = 0
        self.most_in_a_minute = 0
        self.most_token_requests = 0

    def draw(self, fault):
        """Whether this fault happens now."""
        with self.lock:
            strikes = self.faulty and self.rng.random() < getattr(self.options, fault)
            if strikes:
                self.stats[f"fault_{fault}"] += 1
            return strikes

    def choice(self, *values):
        with self.lock:
            return self.rng.choice(values)

    def count(self, what):
        with self.lock:
            self.stats[what] += 1

    def new_token(self):
        token = secrets.token_urlsafe(24)
        with self.lock:
            self.tokens[token] = time.monotonic() + self.options.token_life
            self.stats["tokens_issued"] += 1
        return token

    def token_fault(self, header):
        """Why the header is rejected; None if it is valid."""
        if not header or not header.startswith("Bearer "):
            return "missing"
        token = header[len("Bearer ") :]
        with self.lock:
            if token not in self.tokens:
                return "unknown"
            if self.tokens[token] is None:
                return "revoked"
            if self.tokens[token] <= time.monotonic():
                return "expired"
        if self.draw("revoked"):
            with self.lock:
                self.tokens[token] = None
            return "revoked"
        return None

    def note_submit(self):
        """Notes that a submit came, with or without a token."""
        with self.lock:
            now = time.monotonic()
            self.submits.append(now)
            while self.submits[0] <= now - WINDOW_S:
                self.submits.popleft()
            self.most_in_a_minute = max(self.most_in_a_minute, len(self.submits))
            self.stats["submits"] += 1

    def within_quota(self):
        """Takes one job out of the quota; False when there is none left."""
        with self.lock:
            now = time.monotonic()
            while self.counted and self.counted[0] <= now - WINDOW_S:
                self.counted.popleft()
            if len(self.counted) >= self.options.quota:
                self.stats["quota_violations"] += 1
                return False
            self.counted.append(now)
            return True

    def submit(self, body):
        """(status, answer) to a submit."""
        if not isinstance(body, dict) or body.get("reportType") != "agent-state-history":
            return 422, {"error": "reportType"}
        begin, end = parse_date(body.get("dateFrom")), parse_date(body.get("dateTo"))
        if begin is None or end is None or begin >= end:
            return 422, {"error": "dates", "dateFrom": body.get("dateFrom"), "dateTo": body.get("dateTo")}
        if body.get("groupBy") != ["userId", "stateName", "skillName"] or body.get("metrics") != ["count"]:
            return 422, {"error": "groupBy or metrics"}
        agents = self.floor.select(body["filter"]) if isinstance(body.get("filter"), dict) else None
        if agents is None:
            return 422, {"error": "filter", "filter": body.get("filter")}
        asked = now_ms()
        with self.lock:
            rng = random.Random(self.rng.getrandbits(60))
        rows = self.floor.rows(agents, begin, end, asked, rng)
        if self.faulty and agents:
            bad = sum(rng.random() < self.options.bad_rows for _ in rows)
            rows += [bad_row(rng.choice(agents), begin, end, rng) for _ in range(bad)]
            rng.shuffle(rows)
        fate = next((fate for fate in ("lost", "failed", "endless") if self.draw(fate)), "done")
        job_id = f"job-{secrets.token_hex(6)}"
        ready = time.monotonic() + rng.uniform(0, self.options.job_seconds)
        with self.lock:
            self.jobs[job_id] = (fate, ready, rows, rng.random())
            self.stats["jobs"] += 1
        return 200, {"id": job_id}

    def poll(self, job_id):
        """(status, answer) about a job."""
        with self.lock:
            job = self.jobs.get(job_id)
        if job is None or job[0] == "lost":
            return 404, {"error": "no such job"}
        fate, ready, rows, draw = job
        now = time.monotonic()
        if now < ready or fate == "endless":
            return 200, {"id": job_id, "status": "PENDING" if now < ready - 0.3 else "RUNNING"}
        if fate == "failed":
            return 200, {"id": job_id, "status": "FAILED", "errorMessage": "report engine fault 17"}
        self.count("reports_given")
        self.count_rows(len(rows))
        if draw < 0.5:
            return 200, {"data": rows, "page": None, "id": job_id, "status": "COMPLETED"}
        return 200, {"id": job_id, "status": "COMPLETED", "data": rows, "took": {"ms": 12}}

    def count_rows(self, rows):
        with self.lock:
            self.stats["rows_given"] += rows

    def stop_faults(self):
        """From now on no call fails, and rows are on time and correct."""
        self.faulty = False
        self.floor.truthful_from = now_ms()

    def stats_report(self):
        with self.lock:
            return {
                **{f"fault_{name}": 0 for name in FAULTS},
                **{name: 0 for name in ("submits", "jobs", "reports_given", "rows_given", "tokens_issued", "quota_violations")},
                **{f"token_{why}": 0 for why in ("missing", "unknown", "revoked", "expired")},
                **self.stats,
                "most_submits_in_60s": self.most_in_a_minute,
                "most_token_requests_at_once": self.most_token_requests,
                "leaks": self.leaks,
            }


class Handler(BaseHTTPRequestHandler):
    """The API itself. `tenant` and `elsewhere` (the other origin) are set on the class."""

    protocol_version = "HTTP/1.1"
    timeout = 120

    def log_message(self, *_):
        pass

    def give(self, status, answer, headers=()):
        """Answers with JSON, or with what a fault makes of it."""
        body = answer if isinstance(answer, bytes) else json.dumps(answer, ensure_ascii=False).encode()
        cut = status == 200 and not self.path.startswith("/__") and self.tenant.draw("cut_bodies")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        if cut:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def fault(self):
        """Answers with a fault instead, if one happens."""
        tenant = self.tenant
        if tenant.outage:
            self.give(503, {"error": "outage"})
        elif tenant.draw("throttle"):
            after = tenant.choice("1", "3", formatdate(time.time() + 2, usegmt=True), None)
            self.give(429, {"error": "slow down"}, () if after is None else (("Retry-After", after),))
        elif tenant.draw("server_errors"):
            self.give(tenant.choice(500, 502, 503), b"<h1>server error</h1>")
        elif tenant.draw("not_json"):
            self.give(200, b"<html><body>Please log in</body></html>")
        elif tenant.draw("redirects"):
            self.give(tenant.choice(301, 302, 307, 308), b"", (("Location", self.elsewhere + self.path),))
        else:
            return False
        return True

    def authorized(self):
        why = self.tenant.token_fault(self.headers.get("Authorization"))
        if why is None:
            return True
        self.tenant.count(f"token_{why}")
        self.give(401, {"error": f"token is {why}"})
        return False

    def do_POST(self):
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            self.close_connection = True
            return self.give(411, {"error": "Content-Length"})
        body = self.rfile.read(length)
        if self.path == "/oauth/token":
            return self.token(body)
        if self.path == "/api/v2/reports":
            return self.report(body)
        return self.give(404, {"error": "no such path"})

    def token(self, body):
        tenant = self.tenant
        with tenant.lock:
            tenant.token_requests_now += 1
            tenant.most_token_requests = max(tenant.most_token_requests, tenant.token_requests_now)
        try:
            time.sleep(0.05)  # long enough for a second refresh to be seen beside the first
            if self.fault():
                return None
            form = {key: values[0] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
            return self.give(*(self.refuse_token(form) or (200, self.granted())))
        finally:
            with tenant.lock:
                tenant.token_requests_now -= 1

    def refuse_token(self, form):
        """(status, answer) to a request for a token that gets none."""
        options = self.tenant.options
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        if (form.get("client_id"), form.get("client_secret")) != (options.client_id, options.client_secret):
            self.tenant.count("wrong_credentials")
            return 401, {"error": "invalid_client"}
        return None

    def granted(self):
        return {"access_token": self.tenant.new_token(), "token_type": "Bearer", "expires_in": self.tenant.options.token_life}

    def report(self, body):
        tenant = self.tenant
        tenant.note_submit()
        if not self.authorized():
            return None
        if not tenant.within_quota():
            return self.give(429, {"error": "report jobs a minute"}, (("Retry-After", "5"),))
        if self.fault():
            return None
        try:
            wanted = json.loads(body)
        except ValueError:
            return self.give(422, {"error": "no JSON"})
        status, answer = tenant.submit(wanted)
        if status == 200:
            here = f"http://{self.headers.get('Host', '')}"
            origin = tenant.choice(here, self.elsewhere) if tenant.options.redirects else here
            answer["statusUrl"] = f"{origin}/api/v2/reports/{answer['id']}"
        else:
            tenant.count("refused_422")
        return self.give(status, answer)

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path.startswith("/__"):
            return self.control(url.path, parse_qs(url.query))
        job = REPORT.fullmatch(url.path)
        if job is None:
            return self.give(404, {"error": "no such path"})
        self.tenant.count("polls")
        if not self.authorized() or self.fault():
            return None
        return self.give(*self.tenant.poll(job.group(1)))

    def control(self, path, query):
        tenant, floor = self.tenant, self.tenant.floor
        if path == "/__truth":
            try:
                begin, end = int(query["from"][0]), int(query["to"][0])
            except (KeyError, ValueError):
                return self.give(400, {"error": "from and to are milliseconds"})
            if end > now_ms() + TRUTH_AHEAD_MS:
                return self.give(400, {"error": "to lies too far ahead"})
            return self.give(200, floor.truth(begin, end, query.get("agent", [None])[0]))
        if path == "/__stats":
            return self.give(200, tenant.stats_report())
        if path == "/__tokens":
            return self.give(200, list(tenant.tokens))
        if path == "/__stop_faults":
            tenant.stop_faults()
        elif path == "/__freeze":
            floor.frozen_at = now_ms()
        elif path == "/__outage":
            tenant.outage = True
        elif path == "/__thaw":
            tenant.outage = False
            floor.frozen_at = None
        else:
            return self.give(404, {"error": "no such control"})
        return self.give(200, {"now": now_ms()})


class Elsewhere(BaseHTTPRequestHandler):
    """Another origin, to which nobody should ever come, least of all with a token or a secret."""

    def log_message(self, *_):
        pass

    def visit(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        with self.tenant.lock:
            self.tenant.leaks.append(
                {
                    "request": f"{self.command} {self.path}",
                    "token": "Authorization" in self.headers,
                    "secret": self.tenant.options.client_secret.encode() in body,
                }
            )
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = do_PUT = do_HEAD = visit


def parse_options(arguments):
    parser = argparse.ArgumentParser(description="The Reporting API with agents whose true history is known.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--agents", type=int, default=30)
    parser.add_argument("--rows", choices=("intervals-cut", "intervals-whole", "events", "buckets"), default="intervals-cut")
    parser.add_argument("--client-id", default="my-client")
    parser.add_argument("--client-secret", default="my-secret")
    parser.add_argument("--token-life", type=int, default=1200, help="seconds")
    parser.add_argument("--quota", type=int, default=10, help="report jobs in any 60 s")
    parser.add_argument("--job-seconds", type=float, default=1.5, help="longest time that a job takes")
    parser.add_argument("--zero-length", type=float, default=0.05, help="share of visits without length")
    parser.add_argument("--late", type=float, default=0, help="seconds until the last row of a visit is reported and correct")
    parser.add_argument("--late-share", type=float, default=0.3, help="share of rows that are late at all")
    parser.add_argument("--short-ends", type=float, default=0, help="share of rows first reported to end too early")
    parser.add_argument("--revised-states", type=float, default=0, help="share of rows first reported in another state")
    parser.add_argument("--repeated", type=float, default=0, help="share of rows reported twice")
    parser.add_argument("--bad-rows", type=float, default=0, help="nonsense rows for each true one")
    parser.add_argument("--faults", type=float, default=0, help="probability of every fault below that is not given")
    for name in FAULTS:
        parser.add_argument("--" + name.replace("_", "-"), type=float)
    options = parser.parse_args(arguments)
    for name in FAULTS:
        if getattr(options, name) is None:
            setattr(options, name, options.faults)
    if options.rows == "buckets" and options.repeated:
        parser.error("buckets are never repeated: each of them counts")
    return options


def start(options, tenant_class=Tenant, handler=Handler):
    """Binds both origins and serves them in threads; (tenant, servers)."""
    tenant = tenant_class(options)
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundElsewhere", (Elsewhere,), {"tenant": tenant}))
    address = f"http://127.0.0.1:{elsewhere.server_address[1]}"
    api = ThreadingHTTPServer(("127.0.0.1", options.port), type("BoundHandler", (handler,), {"tenant": tenant, "elsewhere": address}))
    servers = (api, elsewhere)
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return tenant, servers


def main():
    options = parse_options(sys.argv[1:])
    tenant, (api, elsewhere) = start(options)
    print(
        json.dumps(
            {
                "base_url": f"http://127.0.0.1:{api.server_address[1]}",
                "elsewhere": f"http://127.0.0.1:{elsewhere.server_address[1]}",
                "client_id": options.client_id,
                "client_secret": options.client_secret,
                "users": [agent.id for agent in tenant.floor.agents[:3]],
                "teams": sorted({agent.team for agent in tenant.floor.agents}),
            }
        ),
        flush=True,
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    print(json.dumps(tenant.stats_report()), file=sys.stderr)


if __name__ == "__main__":
    main()
