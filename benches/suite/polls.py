"""The cost of a poll by size: CPU, time, memory, and concurrent scrapes."""

import json
import subprocess
import time

from exporter import EVERYONE, EVERYONE_SHOWN
from figures import percentile
from processes import run

# The memory of an event in the window gauges: docs/performance.md, "The store".
BYTES_OF_AN_EVENT = 2.3


def memory_and_polls(exporter, rounds):
    """After `fill`: its size, and the cost of reading one of its targets, and all."""
    exporter.rest()
    series, events = exporter.samples()
    idle, window = exporter.memory_mb("VmRSS"), events * BYTES_OF_AN_EVENT / 1e6
    polls = [poll(exporter, exporter.targets[:1], rounds), poll(exporter, exporter.targets, 1)]
    return {
        "series": series,
        "events": events,
        "window_mb": window,
        "resident_mb": idle,
        "idle_mb": idle - window,
        "bytes_a_series": (idle - window) * 1e6 / series,
        "peak_mb": exporter.memory_mb("VmHWM"),
    }, polls


def poll(exporter, targets, rounds):
    costs = sorted((exporter.read(targets) for _ in range(rounds)), key=lambda cost: cost["cpu_ns"])
    cost = costs[len(costs) // 2]
    return {
        "targets": len(exporter.targets),
        "read": len(targets),
        "cpu_ms": cost["cpu_ns"] / 1e6,
        "seconds": cost["seconds"],
        "megabytes": cost["bytes"] / 1e6,
    }


def while_a_report_is_read(tools, exporter, rows, rounds):
    """Scrapes before a large report, while it is read, and from then until what it changed is published."""
    idle, reading, publishing = [], [], []
    for _ in range(rounds):
        jobs = exporter.feeder.awaited([EVERYONE])
        report = exporter.floor.report(jobs[0].window, rows=rows // len(exporter.floor.agents))
        exporter.rest()
        exporter.forget_peak()
        idle.append(json.loads(run([tools["suite"], "scrape", exporter.address, "/metrics", 1, 300]))["scrapes"])
        scraper, before = Scraper(tools["suite"], exporter.address), exporter.shown(EVERYONE_SHOWN)
        exporter.feeder.end(jobs, [report])
        exporter.until(lambda: exporter.shown(EVERYONE_SHOWN) != before, "what the report changed is published")
        published = time.time_ns()
        scrapes = scraper.end()
        began, ended = jobs[0].sent
        reading.append([scrape for scrape in scrapes if began <= scrape[0] <= ended])
        publishing.append([scrape for scrape in scrapes if ended < scrape[0] <= published])
    idle_p99, reading_p99, publishing_p99 = (pooled_p99(of) for of in (idle, reading, publishing))
    return {
        "rows": rows,
        "rounds": rounds,
        "scrapes": sum(map(len, reading)),
        "idle_p99_us": idle_p99,
        "p99_us": reading_p99,
        "ratio": reading_p99 / idle_p99,
        "publishing_p99_us": publishing_p99,
        "peak_mb": exporter.memory_mb("VmHWM"),
    }


class Scraper:
    """Scrapes sequentially until stopped."""

    def __init__(self, suite, address):
        command = [str(suite), "scrape", address, "/metrics", "1", "until-stopped"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end(self):
        out, _ = self.process.communicate(timeout=60)
        return json.loads(out)["scrapes"]


def pooled_p99(rounds):
    return percentile([took for scrapes in rounds for _, took in scrapes], 99) / 1000
