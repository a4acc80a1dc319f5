"""The parts of the suite that only compute: `python3 -m unittest discover benches/suite`."""

import json
import tempfile
import threading
import unittest
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import figures
from chart import draw
from document import BEGIN, END, headline, markdown, write_between_marks
from feeder import Feeder, millis
from figures import percentile, ratios
from reports import LABELS, Floor
from run import render_lines
from scraped import digest

HOUR = 3_600_000
WINDOW = (1_700_000_000_000, 1_700_000_000_000 + HOUR)


def results():
    """What a whole run finds, with every target just met."""
    sizes = (10_000, 100_000, 1_000_000)
    return {
        "date": "2026-01-02",
        "commit": "0123456",
        "quick": False,
        "machine": {"cpu": "some CPU", "cores": 2, "memory_gb": 24, "kernel": "6.1", "load": 0.1},
        "serving": [
            {
                "series": series,
                "scrapers": scrapers,
                "bytes": {"exporter": series * 10},
                "cpu_us": {"exporter": 60, "nginx": 50, "blast": 40},
                "p99_us": {"exporter": 90, "nginx": 80, "blast": 70},
                "cpu_ratio": {"nginx": 1.4, "blast": 1.5},
                "p99_ratio": {"nginx": 2, "blast": 2},
            }
            for series in sizes
            for scrapers in (1, 4)
        ],
        "job": [
            {
                "series": series,
                "rounds": 5,
                "cpu_us": {"exporter": 60, "client_golang": 60_000, "prometheus_client": 120_000},
                "cpu_ratio": {"client_golang": 0.001, "prometheus_client": 0.0005},
                "resident_mb": {"client_golang": 1000, "prometheus_client": 2000},
            }
            for series in sizes
        ],
        "ingest": {
            "rows": 1_000_000,
            "bytes": 224_000_000,
            "rounds": 5,
            "mb_per_s": {"exporter": 200, "sonic-rs DOM": 400, "Go encoding/json": 33},
            "speed_ratio": {"sonic-rs DOM": 0.5, "Go encoding/json": 6},
            "memory": {"state_mb": 45, "over_mb": 32},
        },
        "memory": {
            "series": 1_000_332,
            "events": 600_000,
            "window_mb": 14.4,
            "resident_mb": 78.4,
            "idle_mb": 64,
            "bytes_a_series": 64,
            "peak_mb": 96,
        },
        "polls": [{"targets": 20, "read": 1, "cpu_ms": 250, "seconds": 0.5, "megabytes": 3.3}],
        "render": [
            {"read": "all of 20 targets", "shards": 60, "anew": 60, "snapshot_ms": 500, "render_ms": 800, "together_ms": 1300},
            {"read": "one of 20 targets", "shards": 60, "anew": 3, "snapshot_ms": 100, "render_ms": 95, "together_ms": 195},
        ],
        "reading": {
            "rows": 1_000_000,
            "scrapes": 900,
            "idle_p99_us": 100,
            "p99_us": 300,
            "ratio": 3,
            "publishing_p99_us": 400,
            "peak_mb": 200,
        },
        "prometheus": {"series": 1_000_332, "scrapes": 3, "exporter_ms": 10, "prometheus_ms": 2000, "share": 0.005},
        "readers": {"sha256": "ab" * 32, "bytes": 1, "same": {"curl": True, "requests": True, "Go": True, "reqwest": True}},
    }


class Figures(unittest.TestCase):
    def test_a_percentile_is_one_of_the_values(self):
        self.assertEqual(percentile(range(1, 101), 99), 99)
        self.assertEqual(percentile(range(1, 1001), 99), 990)
        self.assertEqual(percentile([7], 99), 7)
        self.assertEqual(percentile([3, 1, 2], 50), 2)

    def test_a_ratio_is_the_median_over_the_rounds_and_not_that_of_the_medians(self):
        # The machine was ten times slower in the second round, for both.
        found = ratios({"exporter": [2, 20, 2], "nginx": [1, 10, 2]})
        self.assertEqual(found, {"nginx": 2})

    def test_rounds_that_are_no_pairs_are_an_error(self):
        with self.assertRaises(ValueError):
            ratios({"exporter": [1, 2], "nginx": [1]})


class Targets(unittest.TestCase):
    def test_what_just_meets_its_target_meets_it(self):
        self.assertEqual({row[3] for row in figures.targets(results())}, {"met"})

    def test_what_does_not_is_reported_with_the_difference(self):
        found = results()
        found["memory"]["idle_mb"] = 80
        found["ingest"]["mb_per_s"]["exporter"] = 50
        found["readers"]["same"]["curl"] = False
        missed = [row for row in figures.targets(found) if row[3] != "met"]
        self.assertEqual([row[3] for row in missed], ["**missed** by 25%", "**missed** by 75%", "**missed** by 25%"])
        self.assertEqual(missed[0][1:3], ["≤ 64 MB", "80 MB"])
        self.assertEqual(headline(found), "targets: 16 met, 3 missed, 0 not measured")

    def test_what_a_run_left_out_is_not_measured(self):
        found = results()
        found["serving"] = [row for row in found["serving"] if row["series"] < 1_000_000]
        found["render"] = []
        for part, of in (("memory", "series"), ("prometheus", "series"), ("reading", "rows"), ("ingest", "rows")):
            found[part][of] = 100_000
        judged = {row[0]: row[3] for row in figures.targets(found)}
        self.assertEqual(judged["CPU of a gzip scrape over nginx's, 1 M series"], "not measured")
        self.assertEqual(judged["CPU of a gzip scrape, 10 k series"], "met")
        self.assertEqual(sum(how == "not measured" for how in judged.values()), 11)


class Documents(unittest.TestCase):
    def test_the_results_replace_those_between_the_marks_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "performance.md"
            page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
            write_between_marks(page, "new\n")
            self.assertEqual(page.read_text(), f"before\n{BEGIN}\nnew\n{END}\nafter\n")
            page.write_text("no place\n")
            with self.assertRaises(RuntimeError):
                write_between_marks(page, "new\n")

    def test_every_table_has_as_many_cells_in_each_line(self):
        lines = markdown(results()).splitlines()
        tables = [[]]
        for line in lines:
            tables[-1].append(line.count("|")) if line.startswith("|") else tables.append([])
        self.assertEqual(len([cells for cells in tables if cells]), 6)
        for cells in tables:
            self.assertLessEqual(len(set(cells)), 1)

    def test_the_chart_is_a_picture_with_a_bar_for_each_server_and_size(self):
        picture = ElementTree.fromstring(draw(results()))
        bars = picture.findall("{http://www.w3.org/2000/svg}rect")
        self.assertEqual(len(bars), 15)
        self.assertTrue(all(float(bar.get("width")) > 0 for bar in bars))

    def test_the_place_for_the_results_is_there(self):
        text = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
        self.assertLess(text.index(BEGIN), text.index(END))

    def test_what_the_render_benchmark_prints_is_read(self):
        text = (
            "read                     shards     anew      snapshot        render      together\n"
            "all of 20 targets            60       60       176.1ms         1.2s       1.4s\n  one/all 3 %\n"
            "one of 20 targets            60        3       108.0ms       990.0µs       109.0ms\n"
        )
        rows = render_lines(text)
        self.assertEqual([row["read"] for row in rows], ["all of 20 targets", "one of 20 targets"])
        self.assertEqual((rows[0]["anew"], rows[0]["render_ms"], rows[1]["anew"]), (60, 1200, 3))
        self.assertAlmostEqual(rows[1]["render_ms"], 0.99)


class Reports(unittest.TestCase):
    def test_a_report_has_its_rows_one_behind_the_other_in_the_window(self):
        floor = Floor(10, 3)
        rows = json.loads(floor.report(WINDOW, 1))["data"]
        self.assertEqual(len({row["userId"] for row in rows}), 3)
        self.assertEqual(len(rows), 3 * len(LABELS))
        for place in range(0, len(rows), len(LABELS)):
            times = [millis(row["dateFrom"]) for row in rows[place : place + len(LABELS)]]
            ends = [millis(row["dateTo"]) for row in rows[place : place + len(LABELS) - 1]]
            self.assertEqual(times[1:], ends)
            self.assertEqual(times, sorted(times))
            self.assertTrue(WINDOW[0] < times[0] and times[-1] < WINDOW[1])
            self.assertNotIn("dateTo", rows[place + len(LABELS) - 1])

    def test_all_targets_together_have_every_agent_once(self):
        floor = Floor(10, 3)
        agents = [row["userId"] for target in range(3) for row in json.loads(floor.report(WINDOW, target, 1))["data"]]
        everyone = [row["userId"] for row in json.loads(floor.report(WINDOW, rows=1))["data"]]
        self.assertEqual(sorted(agents), sorted(everyone))
        self.assertEqual(len(set(agents)), 10)

    def test_a_window_too_short_for_its_rows_is_an_error(self):
        with self.assertRaises(ValueError):
            Floor(1, 1).report((0, 10_010), rows=20)

    def test_who_asks_for_a_job_waits_until_it_has_ended_and_is_notified_once(self):
        feeder = Feeder()
        try:
            body = {"filter": {"type": "team", "id": "t"}, "dateFrom": "2023-10-27T08:00:00.000Z", "dateTo": "2023-10-27T09:00:00.500Z"}
            with urlopen(Request(f"{feeder.base}/api/v2/reports", json.dumps(body).encode()), timeout=5) as answer:
                url = f"{feeder.base}/api/v2/reports/{json.loads(answer.read())['id']}"
            (job,) = feeder.awaited(["t"], within=5)
            self.assertEqual(job.window[1] - job.window[0], HOUR + 500)
            reported = []
            asking = threading.Thread(target=lambda: reported.append(json.loads(urlopen(url, timeout=5).read())["status"]))
            asking.start()
            asking.join(0.2)
            self.assertEqual(reported, [])
            feeder.end([job], [b'{"status":"COMPLETED"}'], 5)
            asking.join()
            self.assertEqual(reported, ["COMPLETED"])
            self.assertEqual(json.loads(urlopen(url, timeout=5).read())["status"], "RUNNING")
            self.assertLess(job.sent[0], job.sent[1])
            with self.assertRaises(HTTPError):
                urlopen(f"{feeder.base}/api/v2/reports/other", timeout=5)
        finally:
            feeder.close()


class Bodies(unittest.TestCase):
    def test_only_what_changes_with_each_scrape_is_left_out_of_the_digest(self):
        body = b"cxone_up 1\nprocess_cpu_seconds_total 1.5\n"
        self.assertEqual(digest(body), digest(body.replace(b"1.5", b"1.6")))
        self.assertNotEqual(digest(body), digest(body.replace(b"up 1", b"up 0")))
        self.assertEqual(digest(body[:-1]), "cut short")


if __name__ == "__main__":
    unittest.main()
