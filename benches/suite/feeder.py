"""The Reporting API under the driver's control: a job waits until the driver lets it end with a prepared report.

So reading a report is measured apart from making one, and between two reports the exporter rests: it is kept waiting by a space now
and then, which JSON allows before a document.
"""

import json
import re
import threading
import time
from calendar import timegm
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RUNNING = b'{"id":"job","status":"RUNNING"}'
# The exporter gives up after 30 s of silence, and after 10 minutes.
SPACE_EVERY_S = 20
LONGEST_S = 240


def millis(text):
    """`2023-10-27T08:00:00.000Z` in milliseconds since 1970."""
    return timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(text[20:23])


class Job:
    """A target's submit; its report, once there is one; and when that was sent, in nanoseconds since 1970."""

    def __init__(self, target, window):
        self.target = target
        self.window = window
        self.report = None
        self.ready = threading.Event()
        self.reported = threading.Event()
        self.sent = None


class Feeder:
    """Serves on a free port of 127.0.0.1 until it is closed."""

    def __init__(self):
        self.lock = threading.Condition()
        self.jobs = {}
        self.newest = {}
        handler = type("BoundHandler", (Handler,), {"feeder": self})
        self.server = Server(("127.0.0.1", 0), handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def submit(self, body):
        """Takes a job in; returns its id."""
        with self.lock:
            job = Job(body["filter"]["id"], (millis(body["dateFrom"]), millis(body["dateTo"])))
            name = f"job-{len(self.jobs)}"
            self.jobs[name] = self.newest[job.target] = job
            self.lock.notify_all()
            return name

    def awaited(self, targets, longer_than=0, within=120):
        """Waiting jobs, one for each of `targets`. Their windows end, or will, this many milliseconds after they begin."""
        deadline = time.monotonic() + within

        def waiting():
            jobs = [self.newest.get(target) for target in targets]
            return all(job is not None and job.report is None for job in jobs) and jobs

        with self.lock:
            jobs = self.lock.wait_for(waiting, max(0, deadline - time.monotonic()))
        if not jobs:
            raise RuntimeError(f"the exporter did not ask for all of {len(targets)} targets within {within} s")
        for job in jobs:
            if job.window[1] - job.window[0] < longer_than:
                raise RuntimeError(f"a window of {job.window[1] - job.window[0]} ms, where {longer_than} ms are needed")
        return jobs

    @staticmethod
    def end(jobs, reports, within=300):
        """Lets `jobs` end with `reports`, which were made before; returns when all were sent."""
        for job, report in zip(jobs, reports):
            job.report = report
            job.ready.set()
        deadline = time.monotonic() + within
        for job in jobs:
            if not job.reported.wait(max(0, deadline - time.monotonic())):
                raise RuntimeError(f"nobody fetched the report of {job.target} within {within} s")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """An exporter that is ended while it waits is not an error."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    feeder = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/oauth/token":
            return self.answer(200, b'{"access_token":"bench","expires_in":86400}')
        self.answer(200, json.dumps({"id": self.feeder.submit(json.loads(body))}).encode())

    def do_GET(self):
        found = re.fullmatch(r"/api/v2/reports/([a-z0-9-]+)", self.path)
        job = self.feeder.jobs.get(found[1]) if found else None
        if job is None:
            return self.answer(404, b"{}")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        patience = LONGEST_S
        while not job.ready.wait(SPACE_EVERY_S) and patience > 0:
            self.chunk(b" ")
            patience -= SPACE_EVERY_S
        began = time.time_ns()
        ended = job.ready.is_set() and not job.reported.is_set()
        self.chunk(job.report if ended else RUNNING)
        self.chunk(b"")
        if ended:
            job.sent = (began, time.time_ns())
            # Not kept: a report of a million rows has hundreds of megabytes.
            job.report = b""
            job.reported.set()

    def chunk(self, body):
        self.wfile.write(f"{len(body):x}\r\n".encode())
        self.wfile.write(body)
        self.wfile.write(b"\r\n")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
