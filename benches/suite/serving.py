"""Scrapes: the exporter beside servers that do less, and beside libraries that do the whole job at each scrape."""

import json

import peers
from figures import medians, percentile, ratios
from processes import page, run

# How many scrapes make a sample, and whose samples are taken how often.
COUNTS = {10_000: 2000, 100_000: 400, 1_000_000: 150}
LIBRARY_SCRAPES = {10_000: 5, 100_000: 1, 1_000_000: 1}
LIBRARY_ROUNDS = {10_000: 5, 100_000: 5, 1_000_000: 2}
SCRAPERS = (1, 4)


def sample(suite, process, scrapers, count):
    """The CPU that a scrape took the server, and the 99th percentile of what it took the client, in µs."""
    before = process.cpu_ns()
    reported = json.loads(run([suite, "scrape", process.address, "/metrics", scrapers, count]))
    cpu = process.cpu_ns() - before
    times = [took for _, took in reported["scrapes"]]
    return cpu / len(times) / 1000, percentile(times, 99) / 1000, reported["bytes"]


def in_turn(suite, servers, scrapers, count, rounds):
    cpu, p99, sizes = {who: [] for who in servers}, {who: [] for who in servers}, {}
    for process in servers.values():
        sample(suite, process, scrapers, max(1, count // 20))
    for _ in range(rounds):
        for who, process in servers.items():
            one_cpu, one_p99, sizes[who] = sample(suite, process, scrapers, count)
            cpu[who].append(one_cpu)
            p99[who].append(one_p99)
    figures = {"cpu_us": medians(cpu), "p99_us": medians(p99), "cpu_ratio": ratios(cpu), "p99_ratio": ratios(p99)}
    return {"scrapers": scrapers, "rounds": rounds, "count": count, "bytes": sizes, **figures}


def beside_servers(tools, exporter, series, folder, rounds):
    """The same bytes from nginx and from a plain loop."""
    compressed = page(exporter.url, gzip=True)
    with (
        peers.nginx(tools["nginx"], folder / "nginx", compressed) as nginx,
        peers.blast(tools["suite"], folder / "blast", compressed) as blast,
    ):
        servers = {"exporter": exporter, "nginx": nginx, "blast": blast}
        return [{"series": series, **in_turn(tools["suite"], servers, scrapers, COUNTS[series], rounds)} for scrapers in SCRAPERS]


def beside_libraries(tools, exporter, series, folder):
    """The same samples from the usual libraries, which write and compress them at each scrape."""
    text = page(exporter.url)
    rounds, scrapes = LIBRARY_ROUNDS[series], LIBRARY_SCRAPES[series]
    with (
        peers.client_golang(tools["go"], folder, text) as golang,
        peers.python_client(tools["python"], folder, text) as python,
    ):
        servers = {"client_golang": golang, "prometheus_client": python}
        cpu, sizes = {"exporter": [], **{who: [] for who in servers}}, {}
        # The exporter's are many to a sample, for a sample to be longer than the clock's grain.
        for _ in range(rounds):
            for who, process in {"exporter": exporter, **servers}.items():
                count = COUNTS[series] // 5 if who == "exporter" else scrapes
                taken, _, sizes[who] = sample(tools["suite"], process, 1, count)
                cpu[who].append(taken)
        resident = {who: process.memory_mb("VmRSS") for who, process in servers.items()}
    figures = {"cpu_us": medians(cpu), "cpu_ratio": ratios(cpu), "resident_mb": resident}
    return {"series": series, "rounds": rounds, "bytes": sizes, **figures}
