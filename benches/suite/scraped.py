"""Those who read the page: Prometheus, and clients that each inflate it in their own way."""

import hashlib
import json
import time
from urllib.parse import quote
from urllib.request import urlopen

import peers
from processes import page, run

# The exporter's own metrics change from one scrape to the next.
VOLATILE = (b"process_", b"cxone_api_", b"cxone_clock_", b"cxone_report_", b"cxone_token_", b"cxone_quota_", b"cxone_store_")
REQUESTS = """\
import sys, requests
answer = requests.get(sys.argv[1])
assert answer.headers["Content-Encoding"] == "gzip"
open(sys.argv[2], "wb").write(answer.content)
"""


def by_prometheus(tools, exporter, series, folder, scrapes, interval):
    """What a scrape by Debian's Prometheus costs it, and the exporter. The first one, which makes the series, is left out."""
    with peers.prometheus(tools["prometheus"], folder / "prometheus", exporter.address, interval) as prometheus:

        def query(expression):
            with urlopen(f"http://{prometheus.address}/api/v1/query?query={quote(expression)}", timeout=60) as answer:
                found = json.loads(answer.read())["data"]["result"]
                return float(found[0]["value"][1]) if found else 0.0

        prometheus.until(lambda: query("scrape_samples_scraped") >= series, "a whole scrape", within=interval * 8)
        before = exporter.cpu_ns(), prometheus.cpu_ns()
        time.sleep(interval * scrapes)
        after = exporter.cpu_ns(), prometheus.cpu_ns()
        whole = query(f"sum_over_time(up[{interval * scrapes}s])")
        samples = query("scrape_samples_scraped")
    if whole < scrapes - 1 or samples < series:
        raise RuntimeError(f"Prometheus read {whole:.0f} of {scrapes} pages, the last one with {samples:.0f} samples of {series}")
    own, its = ((after[place] - before[place]) / scrapes / 1e6 for place in (0, 1))
    return {"series": series, "scrapes": scrapes, "exporter_ms": own, "prometheus_ms": its, "share": own / its}


def by_clients(tools, exporter, folder):
    """Whether each client that asks for gzip reads what a client that does not is sent."""
    plain = page(exporter.url)
    expected = digest(plain)
    commands = {
        "curl --compressed": ["curl", "--compressed", "--silent", "--show-error", "--fail", "-o"],
        "Python requests": [tools["python"], "-c", REQUESTS],
        "Go net/http": [tools["go"]["fetch"]],
        "reqwest": [tools["suite"], "fetch"],
    }
    same, file = {}, folder / "body"
    for who, command in commands.items():
        file.unlink(missing_ok=True)
        run([*command, file, exporter.url] if command[0] == "curl" else [*command, exporter.url, file])
        same[who] = digest(file.read_bytes()) == expected
    return {"sha256": expected, "bytes": len(plain), "same": same}


def digest(body):
    """Of all lines but those that change with each scrape. A body without its last line is none."""
    if not body.endswith(b"\n"):
        return "cut short"
    lines = (line for line in body.splitlines(keepends=True) if not line.startswith(VOLATILE))
    hashed = hashlib.sha256()
    for line in lines:
        hashed.update(line)
    return hashed.hexdigest()
