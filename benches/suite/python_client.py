"""Serves the samples of a page with Python's prometheus_client: `python_client.py ADDRESS FILE`."""

import re
import sys
import threading

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def main():
    host, _, port = sys.argv[1].rpartition(":")
    registry = CollectorRegistry()
    families, counters = {}, set()
    with open(sys.argv[2], encoding="utf-8") as page:
        for line in page:
            if line.startswith("# TYPE ") and line.rstrip().endswith(" counter"):
                counters.add(line.split()[2])
            if line.startswith("#") or not (found := LINE.match(line)):
                continue
            name, labels = found[1], dict(LABEL.findall(found[2] or ""))
            if name not in families:
                kind = Counter if name in counters and name.endswith("_total") else Gauge
                families[name] = kind, kind(name, "A family of the page.", list(labels), registry=registry)
            kind, family = families[name]
            child = family.labels(*labels.values()) if labels else family
            child.inc(float(found[3])) if kind is Counter else child.set(float(found[3]))
    start_http_server(int(port), host, registry)
    threading.Event().wait()


main()
