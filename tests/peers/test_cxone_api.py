#!/usr/bin/env python3
"""The simulated API against its true history: `python3 -m unittest discover tests/peers`."""

import json
import sys
import time
import unittest
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cxone_api
from cxone_floor import WRAP_UP_NAMES, utc_text
from impatient_client import ImpatientClient


class Client(ImpatientClient):
    def __init__(self, test, *arguments):
        super().__init__(test, ["--job-seconds", "0", "--quota", "1000", *arguments])

    def call(self, path, body=None, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with urlopen(Request(self.base + path, body, headers), timeout=10) as answer:
            return json.load(answer)

    def log_in(self, secret="my-secret"):
        form = {"grant_type": "client_credentials", "client_id": "my-client", "client_secret": secret}
        self.token = self.call("/oauth/token", urlencode(form).encode())["access_token"]

    def submit(self, begin, end, filter_=None, **changes):
        wanted = {
            "reportType": "agent-state-history",
            "dateFrom": utc_text(begin),
            "dateTo": utc_text(end),
            "filter": filter_ or {"type": "all", "id": "all"},
            "groupBy": ["userId", "stateName", "skillName"],
            "metrics": ["count"],
            **changes,
        }
        if not self.token:
            self.log_in()
        return self.call("/api/v2/reports", json.dumps(wanted).encode(), self.token)["id"]

    def rows(self, begin, end, filter_=None):
        job = self.submit(begin, end, filter_)
        report = self.call(f"/api/v2/reports/{job}", token=self.token)
        assert report["status"] == "COMPLETED", report
        return report["data"]

    def truth(self, begin, end):
        answer = self.call(f"/__truth?from={begin}&to={end}")
        return {
            (agent, one["state"], one["skill"]): (one["entries"], one["millis"])
            for agent, reported in answer.items()
            for one in reported["sums"]
        }


def folded(rows, begin, end):
    """What a reader who knows nothing else makes of one report; repeated rows count once."""
    sums, seen = {}, set()
    for row in rows:
        state = "Wrap-up" if row["stateName"] in WRAP_UP_NAMES else row["stateName"]
        key = (row["userId"], state, row.get("skillName", ""))
        start = cxone_api.parse_date(row["dateFrom"])
        stop = cxone_api.parse_date(row["dateTo"]) if row.get("dateTo") else end
        if (key, start) in seen:
            continue
        seen.add((key, start))
        old = sums.get(key, (0, 0))
        # A start at the very edge is a cut one: no visit of these seeds begins there.
        sums[key] = (old[0] + (start > begin), old[1] + max(0, min(stop, end) - max(start, begin)))
    return sums


class Rows(unittest.TestCase):
    def windows(self):
        now = cxone_api.now_ms()
        return [(now - 600_000, now - 300_000), (now - 300_001, now - 200_000), (now - 90_000, now), (now - 3_000, now)]

    def test_intervals_cut_or_whole_are_correct_for_any_window(self):
        for rows in ("intervals-cut", "intervals-whole"):
            client = Client(self, "--rows", rows, "--repeated", "0.3")
            for begin, end in self.windows():
                with self.subTest(rows=rows, begin=begin):
                    self.assertEqual(folded(client.rows(begin, end), begin, end), client.truth(begin, end))

    def test_cut_rows_never_reach_over_the_window_and_whole_ones_do(self):
        begin, end = cxone_api.now_ms() - 300_000, cxone_api.now_ms() - 200_000
        cut = Client(self, "--rows", "intervals-cut").rows(begin, end)
        whole = Client(self, "--rows", "intervals-whole").rows(begin, end)
        self.assertTrue(all(utc_text(begin) <= row["dateFrom"] for row in cut))
        self.assertTrue(any(row["dateFrom"] == utc_text(begin) for row in cut))
        self.assertTrue(any(row["dateFrom"] < utc_text(begin) for row in whole))
        self.assertTrue(any((row.get("dateTo") or "") > utc_text(end) for row in whole))

    def test_events_begin_in_their_window_and_their_ends_follow_from_the_next_state(self):
        client = Client(self, "--rows", "events")
        end = cxone_api.now_ms()
        begin = end - 600_000
        rows = client.rows(begin, end)
        self.assertTrue(all(utc_text(begin) <= row["dateFrom"] < utc_text(end) for row in rows))
        covered = {}
        for row in rows:
            state = "Wrap-up" if row["stateName"] in WRAP_UP_NAMES else row["stateName"]
            start = cxone_api.parse_date(row["dateFrom"])
            stop = cxone_api.parse_date(row["dateTo"]) if row.get("dateTo") else None
            covered.setdefault(row["userId"], []).append((start, stop, state, row.get("skillName", "")))
        first = {agent: min(one[0] for one in reported) for agent, reported in covered.items()}
        for agent, reported in covered.items():
            sums = {}
            for start, stop, state, skill in reported:
                others = [one[0] for one in reported if one[2] != state and one[0] > start]
                stop = stop if stop is not None else min(others, default=end)
                sums.setdefault((state, skill), []).append((start, stop))
            truth = client.tenant.floor.truth(first[agent], end, agent)[agent]["sums"]
            union = {}
            for key, spans in sums.items():
                total, reached = 0, 0
                for start, stop in sorted(spans):
                    total += max(0, stop - max(start, reached))
                    reached = max(reached, stop)
                union[key] = (len(spans), total)
            self.assertEqual(union, {(one["state"], one["skill"]): (one["entries"], one["millis"]) for one in truth})

    def test_buckets_count_the_entries_of_their_window(self):
        client = Client(self, "--rows", "buckets")
        for begin, end in self.windows():
            reported = {}
            for row in client.rows(begin, end):
                state = "Wrap-up" if row["stateName"] in WRAP_UP_NAMES else row["stateName"]
                reported[row["userId"], state, row.get("skillName", "")] = row["count"]
            truth = {key: entries for key, (entries, _) in client.truth(begin, end).items() if entries}
            self.assertEqual(reported, truth)

    def test_late_and_short_rows_are_corrected_in_time(self):
        client = Client(self, "--late", "5", "--late-share", "0.5", "--short-ends", "0.5", "--rows", "intervals-whole")
        end = cxone_api.now_ms()
        begin = end - 60_000
        early = folded(client.rows(begin, end), begin, end)
        truth = client.truth(begin, end)
        self.assertNotEqual(early, truth)
        for key, (entries, millis) in early.items():
            self.assertLessEqual(entries, truth[key][0])
            self.assertLessEqual(millis, truth[key][1])
        time.sleep(5.1)
        self.assertEqual(folded(client.rows(begin, end), begin, end), truth)

    def test_a_filter_by_user_or_team_selects_no_other_agents(self):
        client = Client(self)
        end = cxone_api.now_ms()

        def of(kind, id_):
            return {row["userId"] for row in client.rows(end - 300_000, end, {"type": kind, "id": id_})}

        self.assertEqual(of("user", "user-007"), {"user-007"})
        self.assertEqual(of("team", "team-1"), {f"user-{n:03d}" for n in range(0, 30, 3)})
        self.assertEqual(of("user", "john@example.org"), set())

    def test_a_frozen_floor_reports_nothing_new(self):
        client = Client(self)
        frozen = client.call("/__freeze")["now"]
        time.sleep(1.5)
        end = cxone_api.now_ms()
        self.assertTrue(all(row["dateFrom"] <= utc_text(frozen) for row in client.rows(end - 60_000, end)))
        client.call("/__outage")
        with self.assertRaises(HTTPError) as caught:
            client.rows(end - 60_000, end)
        self.assertEqual(caught.exception.code, 503)
        client.call("/__thaw")
        self.assertTrue(client.rows(end - 60_000, end))


class Answers(unittest.TestCase):
    def refused(self, code, call, *arguments, **named):
        with self.assertRaises(HTTPError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.code, code)
        return caught.exception

    def test_one_job_too_many_is_rejected_and_recorded(self):
        client = Client(self, "--quota", "3")
        end = cxone_api.now_ms()
        for _ in range(3):
            client.submit(end - 1000, end)
        self.refused(429, client.submit, end - 1000, end)
        stats = client.call("/__stats")
        self.assertEqual((stats["quota_violations"], stats["most_submits_in_60s"]), (1, 4))

    def test_dates_filters_and_groups_of_another_form_are_rejected(self):
        client = Client(self)
        end = cxone_api.now_ms()
        for changes in (
            {"dateTo": utc_text(end).replace("Z", "+00:00")},
            {"dateTo": utc_text(end)[:19] + "Z"},
            {"dateTo": utc_text(end - 1000)},
            {"filter": {"type": "planet", "id": "x"}},
            {"groupBy": []},
        ):
            self.refused(422, client.submit, end - 1000, end, **changes)

    def test_a_token_expires_and_a_wrong_secret_gets_none(self):
        client = Client(self, "--token-life", "1")
        end = cxone_api.now_ms()
        client.submit(end - 1000, end)
        time.sleep(1.1)
        self.refused(401, client.submit, end - 1000, end)
        self.refused(401, client.log_in, "wrong")
        self.assertEqual(client.call("/__stats")["token_expired"], 1)

    def test_each_fault_happens_and_ends_on_request(self):
        end = cxone_api.now_ms()
        window = (end - 60_000, end)
        for fault, code in (("throttle", 429), ("lost", 404), ("revoked", 401)):
            with self.subTest(fault=fault):
                client = Client(self, f"--{fault}", "1")
                if fault == "lost" or fault == "revoked":
                    client.log_in()
                error = self.refused(code, client.rows, *window)
                error.close()
                client.call("/__stop_faults")
                client.token = None
                self.assertTrue(client.rows(*window))
        with self.assertRaises(HTTPError) as caught:
            Client(self, "--server-errors", "1").log_in()
        self.assertIn(caught.exception.code, (500, 502, 503))
        for fault, kind in (("cut-bodies", IncompleteRead), ("not-json", ValueError)):
            with self.subTest(fault=fault), self.assertRaises(kind):
                Client(self, f"--{fault}", "1").log_in()
        for fault, status in (("failed", "FAILED"), ("endless", "RUNNING")):
            client = Client(self, f"--{fault}", "1")
            job = client.submit(*window)
            self.assertEqual(client.call(f"/api/v2/reports/{job}", token=client.token)["status"], status)

    def test_a_client_that_follows_redirects_with_its_token_is_detected(self):
        client = Client(self)
        client.log_in()
        client.tenant.options.redirects = 1
        # urllib follows, with the header.
        client.call("/api/v2/reports/job-1", token=client.token)
        (leak,) = client.call("/__stats")["leaks"]
        self.assertTrue(leak["token"])


if __name__ == "__main__":
    unittest.main()
