"""The servers that the exporter is compared with."""

import os
from pathlib import Path

from processes import Process, free_port, listening, run

HERE = Path(__file__).resolve().parent
NGINX = """\
daemon off; pid nginx.pid; error_log stderr error; worker_processes auto; {user}
events {{ worker_connections 64; }}
http {{
    access_log off; default_type "text/plain; version=0.0.4; charset=utf-8";
    sendfile on; tcp_nopush on; keepalive_requests 1000000;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
    server {{ listen {address}; root .; location / {{ gzip_static always; }} }}
}}
"""
PROMETHEUS = """\
global: {{scrape_interval: {interval}s, scrape_timeout: {interval}s}}
scrape_configs: [{{job_name: cxone, static_configs: [{{targets: ["{address}"]}}]}}]
"""


class Peer(Process):
    """A server with a page at `http://ADDRESS/metrics`."""

    def __init__(self, arguments, log, address, within=30, **options):
        super().__init__(arguments, log, **options)
        self.address = address
        self.url = f"http://{address}/metrics"
        self.until(lambda: listening(address), "it listens", within)


def nginx(program, folder, compressed):
    """nginx with the same bytes, compressed beforehand, sent by sendfile(2)."""
    folder.mkdir(parents=True)
    (folder / "metrics.gz").write_bytes(compressed)
    address = f"127.0.0.1:{free_port()}"
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(address=address, user=user))
    return Peer([program, "-p", folder, "-c", "nginx.conf", "-e", "stderr"], folder / "log", address)


def blast(suite, folder, compressed):
    """The limit: the bytes written to a socket."""
    folder.mkdir(parents=True)
    (folder / "page.gz").write_bytes(compressed)
    process = Process([suite, "blast", folder / "page.gz"], folder / "log")
    process.address = process.until(lambda: (folder / "log").read_text().strip(), "the blast listens")
    return process


def client_golang(go, folder, text):
    """The same samples in Go's client_golang, set once."""
    (folder / "page.txt").write_bytes(text)
    address = f"127.0.0.1:{free_port()}"
    return Peer([go["serve"], address, folder / "page.txt"], folder / "go.log", address, within=300)


def python_client(python, folder, text):
    """The same samples in Python's prometheus_client, set once."""
    (folder / "page.txt").write_bytes(text)
    address = f"127.0.0.1:{free_port()}"
    return Peer([python, "-B", HERE / "python_client.py", address, folder / "page.txt"], folder / "python.log", address, within=300)


def prometheus(program, folder, address, interval):
    """Debian's Prometheus, which scrapes `address`."""
    folder.mkdir(parents=True)
    (folder / "prometheus.yml").write_text(PROMETHEUS.format(address=address, interval=interval))
    own = f"127.0.0.1:{free_port()}"
    arguments = [program, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    return Peer([*arguments, f"--web.listen-address={own}"], folder / "log", own)


def build_go(folder):
    """The three small programs in Go, against Debian's packages of the libraries."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GOCACHE": str(folder / "go-cache"),
        "GOPATH": os.environ["GOPATH"],
        "GO111MODULE": "off",
    }
    programs = {}
    for name in ("serve", "ingest", "fetch"):
        programs[name] = folder / f"go-{name}"
        run(["go", "build", "-o", programs[name], HERE / "go" / f"{name}.go"], env=environment)
    return programs
