"""Measures a scrape alone and among slow clients, of a real exporter: `slow_clients.py --exporter target/release/cxone-exporter`.

Beside the exporter runs a simulated contact centre, large enough that nobody's socket takes in a whole page. The scrapes are Prometheus's:
one persistent connection, compressed. The slow clients have another address of this machine, and reconnect when they are evicted. Needs
openssl, and about 2,100 files (`ulimit -n 4096`).
"""

import argparse
import contextlib
import http.client
import itertools
import pathlib
import re
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

SCRAPES = 200
# Between two scrapes: long enough for what came meanwhile to be dealt with, alone and among others alike.
PAUSE = 0.02
# Neither is enough for a whole page.
RECEIVE_BUFFER = 4096
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
# What each sends at first, and what it sends now and then: a client that drips never ends its head.
KINDS = {
    "idle": (b"", b""),
    "dripping": (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ", b"x"),
    "stalled": (REQUEST, b""),
}


class Crowd:
    """Connections that are in the way, from 127.0.0.2."""

    def __init__(self, port, size, kind, context):
        self.port, self.kind, self.context = port, kind, context
        self.open = [self.one() for _ in range(size)]
        self.turn = itertools.cycle(range(size))
        self.came_again = 0

    def one(self):
        stream = socket.socket()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        stream.bind(("127.0.0.2", 0))
        stream.settimeout(10)
        stream.connect(("127.0.0.1", self.port))
        # A connection that was already evicted does not get through.
        with contextlib.suppress(OSError):
            if self.context and self.kind != "idle":
                stream = self.context.wrap_socket(stream, server_hostname="localhost")
            stream.sendall(KINDS[self.kind][0])
        return stream

    def go_on(self, number):
        """The next `number` of them do their part, or reconnect if they were evicted."""
        for index in itertools.islice(self.turn, number):
            stream = self.open[index]
            try:
                stream.settimeout(0.5)
                stream.sendall(KINDS[self.kind][1])
                stream.setblocking(False)
                if self.kind != "stalled" and stream.recv(1) == b"":
                    raise ConnectionResetError
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except OSError:
                stream.close()
                self.open[index] = self.one()
                self.came_again += 1

    def close(self):
        for stream in self.open:
            stream.close()


def scrapes(port, context, between):
    """The median time of a scrape in seconds, the slowest of a hundred, how many were refused, and a page's bytes."""
    link = http.client.HTTPSConnection if context else http.client.HTTPConnection
    connection = link("localhost" if context else "127.0.0.1", port, timeout=30, **({"context": context} if context else {}))
    times, refused, length = [], 0, 0
    for _ in range(SCRAPES):
        between()
        time.sleep(PAUSE)
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        length = len(answer.read())
        times.append(time.perf_counter() - began)
        refused += answer.status != 200
    connection.close()
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100], refused, length


def certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "server.key", "-out", "server.crt"],
        cwd=folder, check=True, capture_output=True,
    )
    (folder / "web.yml").write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
    return ssl.create_default_context(cafile=folder / "server.crt")


@contextlib.contextmanager
def running(log, pattern, *command, **options):
    """A process, and what the first line of its output that fits says."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        deadline = time.monotonic() + 30
        while not (found := re.search(pattern, log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def measured(options, folder, api, context):
    (folder / "exporter.yml").write_text(f"api: {{base_url: 'http://{api}'}}\ntargets: [{{filter: {{type: team, id: team-1}}}}]\n")
    secrets = {"CXONE_CLIENT_ID": "simulated-client", "CXONE_CLIENT_SECRET": "simulated-secret"}
    flags = ["--config.file=exporter.yml", "--web.listen-address=127.0.0.1:0"] + (["--web.config.file=web.yml"] if context else [])
    serve = [str(options.exporter.resolve()), "serve", *flags]
    with running(folder / "exporter.log", r"address=127\.0\.0\.1:(\d+)", *serve, cwd=folder, env=secrets) as port:
        port = int(port)
        deadline = time.monotonic() + 120
        while scrapes_once(port, context) < options.page:
            assert time.monotonic() < deadline, (folder / "exporter.log").read_text()[-2000:]
            time.sleep(1)
        for kind in KINDS:
            before = scrapes(port, context, lambda: None)
            crowd = Crowd(port, options.crowd, kind, context)
            among = scrapes(port, context, lambda crowd=crowd: crowd.go_on(10))
            crowd.close()
            after = scrapes(port, context, lambda: None)
            alone = (before[0] + after[0]) / 2
            print(
                f"{'TLS' if context else 'plain':5} {kind:8} {len(crowd.open)} clients, {crowd.came_again} came again: "
                f"alone {alone * 1e3:.2f} ms, among them {among[0] * 1e3:.2f} ms ({among[0] / alone:.2f} times; "
                f"99 %: {before[1] * 1e3:.1f} and {among[1] * 1e3:.1f} ms), {among[2]} of {SCRAPES} refused, page {among[3] >> 10} KiB"
            )
            yield among[0] / alone, among[2]


def scrapes_once(port, context):
    link = http.client.HTTPSConnection if context else http.client.HTTPConnection
    connection = link("localhost" if context else "127.0.0.1", port, timeout=30, **({"context": context} if context else {}))
    connection.request("GET", "/metrics")
    return len(connection.getresponse().read())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exporter", type=pathlib.Path, required=True)
    parser.add_argument("--crowd", type=int, default=2000)
    parser.add_argument("--agents", type=int, default=8000)
    parser.add_argument("--page", type=int, default=4 << 20, help="bytes of the page, not compressed, from which on is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        context = certificate(folder)
        simulate = [str(options.exporter.resolve()), "simulate", "--web.listen-address=127.0.0.1:0", f"--agents={options.agents}", "--job-time=100ms"]
        with running(folder / "simulator.log", r"address: +http://(\S+)", *simulate) as api:
            found = [one for tls in (None, context) for one in measured(options, folder, api, tls)]
    worst = max(ratio for ratio, _ in found)
    assert worst <= 3 and not any(refused for _, refused in found), f"{worst:.2f} times as long, or refused"


if __name__ == "__main__":
    main()
