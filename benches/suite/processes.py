"""Measured processes: started on loopback, observed from outside, ended by their ids."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.request import Request, urlopen


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_clock_ns(pid):
    """The CPU time of all threads of a process, those that have ended among them: clock_getcpuclockid(3), which Python lacks."""
    return time.clock_gettime_ns((~pid << 3) | 2)


class Process:
    """A process and its children."""

    def __init__(self, arguments, log, **options):
        with open(log, "wb") as out:
            options = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, **options}
            self.popen = subprocess.Popen([str(word) for word in arguments], **options)
        self.log = log

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()

    def check(self):
        if self.popen.poll() is not None:
            words = Path(self.log).read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.popen.args[0]} ended with status {self.popen.returncode}: {words}")

    def pids(self):
        own = self.popen.pid
        return [own] + children(own)

    def cpu_ns(self):
        return sum(cpu_clock_ns(pid) for pid in self.pids())

    def memory_mb(self, field):
        """`VmRSS` or `VmHWM`, in megabytes of 1000 kB."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field + ":"):
                    total += int(line.split()[1]) * 1024
        return total / 1e6

    def forget_peak(self):
        """From now on VmHWM is counted anew: proc(5), clear_refs."""
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def rest(self, quiet=0.4, within=120):
        """Waits until it has used next to no CPU for `quiet` seconds; returns the clock's reading from before that."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            self.check()
            before = self.cpu_ns()
            time.sleep(quiet)
            if self.cpu_ns() - before < quiet * 1e9 * 0.03:
                return before
        raise RuntimeError(f"{self.popen.args[0]} did not come to rest within {within} s")

    def until(self, condition, what, within=120):
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            self.check()
            try:
                if found := condition():
                    return found
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError(f"not within {within} s: {what}")


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def listening(address):
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=1):
        return True


def page(url, gzip=False, timeout=600):
    """The bytes of a page, as they are sent."""
    with urlopen(Request(url, headers={"Accept-Encoding": "gzip"} if gzip else {}), timeout=timeout) as answer:
        return answer.read()


def run(arguments, **options):
    """The output of a program; an error with its last lines if it fails."""
    done = subprocess.run([str(word) for word in arguments], capture_output=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{arguments}: status {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode()


def machine():
    """The machine of the measurements."""
    text = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {"cpu": model, "cores": os.cpu_count(), "memory_gb": round(memory), "kernel": os.uname().release, "load": os.getloadavg()[0]}
