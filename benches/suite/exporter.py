"""The release build of the exporter, with the reports of a floor of this size."""

import re
import time

from feeder import Feeder
from processes import Process, free_port, listening, page
from reports import Floor

EVERYONE = "everyone"
EVERYONE_SHOWN = f"all:{EVERYONE}"
CONFIGURATION = """\
api:
  base_url: {base}
  client_id: bench
  client_secret_file: client-secret
targets:
{targets}
  - filter: {{type: all, id: everyone}}
poll: {{interval: 1s, lookback: 1h, overlap: 1m}}
jobs: {{poll_every: 2s, timeout: 1d}}
quota: {{report_jobs_per_minute: 60000, reserve: 0}}
metrics: {{max_series: 2000000, max_staleness: 30d}}
"""


class Exporter(Process):
    """`serve` against a feeder. The target `everyone` covers all agents, and reports none until requested."""

    def __init__(self, binary, folder, agents, targets=20):
        folder.mkdir(parents=True)
        self.floor = Floor(agents, targets)
        self.feeder = Feeder()
        self.targets = [f"team-{place}" for place in range(targets)]
        lines = "\n".join(f"  - filter: {{type: team, id: {target}}}" for target in self.targets)
        (folder / "config.yml").write_text(CONFIGURATION.format(base=self.feeder.base, targets=lines))
        (folder / "client-secret").write_text("bench")
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}/metrics"
        arguments = [binary, "serve", f"--config.file={folder / 'config.yml'}", f"--storage.path={folder / 'data'}"]
        super().__init__([*arguments, f"--web.listen-address={self.address}", "--log.level=warn"], folder / "log")
        self.until(lambda: listening(self.address), "the exporter listens")

    def end(self):
        super().end()
        self.feeder.close()

    def fill(self):
        """Reads everything twice: the first windows only determine where counting begins."""
        # Its first report is empty, and it has none but the large ones after that.
        self.feeder.end(self.feeder.awaited([EVERYONE]), [b'{"status":"COMPLETED","data":[]}'])
        self.read(self.targets)
        # Long enough for six states each.
        time.sleep(1)
        self.read(self.targets)

    def read(self, targets):
        """Reads a report of each of `targets`; returns the CPU in ns, the seconds until all was published, and the bytes."""
        jobs = self.feeder.awaited(targets)
        reports = [self.floor.report(job.window, int(job.target.removeprefix("team-"))) for job in jobs]
        self.rest()
        before, quiet = self.cpu_ns(), 0.4
        self.feeder.end(jobs, reports)
        after = self.rest(quiet)
        seconds = time.time() - quiet - min(job.sent[0] for job in jobs) / 1e9
        return {"cpu_ns": after - before, "seconds": seconds, "bytes": sum(len(report) for report in reports)}

    def shown(self, name):
        """The watermark of this target on the status page: of the published data, not of the counted."""
        row = next(row for row in page(f"http://{self.address}/").decode().split("<tr>") if f">{name}</th>" in row)
        return re.search(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d", row)[0]

    def samples(self):
        """The number of series on the page, and of events in the window gauges."""
        series = events = 0
        for line in page(self.url).decode().splitlines():
            if not line.startswith("#"):
                series += 1
                if line.startswith("cxone_agent_state_window_entries{"):
                    events += int(line.rpartition(" ")[2])
        return series, events
