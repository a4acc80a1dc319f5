#!/usr/bin/env python3
"""The platform API of these peers against its true history: `python3 -m unittest discover tests/peers`."""

import json
import sys
import unittest
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cxone_api
import platform_api
from cxone_floor import utc_text
from impatient_client import ImpatientClient


def plain(value):
    """Keys in any case, and numbers as such or as strings."""
    if isinstance(value, dict):
        return {key.lower(): plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


class Client(ImpatientClient):
    def __init__(self, test, *arguments):
        super().__init__(test, arguments, platform_api.Tenant, platform_api.Handler)

    def get(self, path, **query):
        url = self.base + path + ("?" + urlencode(query) if query else "")
        with urlopen(Request(url, headers={"Authorization": f"Bearer {self.token}"}), timeout=10) as answer:
            return plain(json.loads(answer.read() or b"{}"))

    def log_in(self, **changes):
        form = {"grant_type": "password", "username": platform_api.KEY_ID, "password": "my-secret"}
        form |= {"client_id": "my-client", "client_secret": "my-secret", **changes}
        with urlopen(self.base + "/auth/token", urlencode(form).encode(), timeout=10) as answer:
            self.token = json.load(answer)["access_token"]

    def rows(self, path, name, **query):
        """All pages, by the rows that came."""
        found = []
        while True:
            try:
                page = self.get(platform_api.BASE + path, skip=len(found), top=10_000, **query).get(name.lower())
            except HTTPError as error:
                if error.code == 304:
                    return found
                raise
            if not page:
                return found
            found += page


def millis(duration):
    if not str(duration).startswith("PT"):
        return round(float(duration) * 1000)
    minutes, _, seconds = duration[2:-1].rpartition("M")
    return int(minutes or 0) * 60_000 + round(float(seconds) * 1000)


class Platform(unittest.TestCase):
    def test_all_pages_of_the_history_match_the_true_history(self):
        client = Client(self, "--repeated", "0.3")
        client.log_in()
        codes = {str(code["id"]): str(code["isacw"]) == "True" for code in client.rows("/unavailable-codes", "unavailableCodes")}
        self.assertEqual(len(codes), 11)
        end = cxone_api.now_ms() - 1000
        for begin in (end - 600_000, end - 30_001):
            sums, seen = {}, set()
            for row in client.rows("/agents/state-history", "agentStateHistory", startDate=utc_text(begin), endDate=utc_text(end)):
                state = ("Wrap-up" if codes[str(row["outstateid"])] else "Unavailable") if str(row["agentstateid"]) == "2" else None
                state = state or next(name for number, name in platform_api.STATES.values() if str(number) == str(row["agentstateid"]))
                key, start = (str(row["agentid"]), state, row["skillname"] or ""), cxone_api.parse_date(row["startdate"])
                if (key, start) in seen:
                    continue
                seen.add((key, start))
                stop = start + millis(row["duration"]) if row.get("duration") is not None else end
                reported = (start >= begin, max(0, min(stop, end) - max(start, begin)))
                old = sums.get(key, (0, 0))
                sums[key] = (old[0] + reported[0], old[1] + reported[1])
            truth = client.tenant.floor.truth(begin, end)
            true = {(agent, one["state"], one["skill"]): (one["entries"], one["millis"]) for agent, reported in truth.items() for one in reported["sums"]}
            self.assertEqual({key: reported for key, reported in sums.items() if reported != (0, 0)}, true)

    def test_live_states_are_those_of_their_poll_time(self):
        client = Client(self)
        client.log_in()
        page = client.get(platform_api.BASE + "/agents/states")
        moment = cxone_api.parse_date(page["lastpolltime"])
        truth = client.tenant.floor.truth(moment, moment)
        for row in page["agentstates"]:
            self.assertIn(cxone_api.parse_date(row["startdate"]), [one["start"] for one in truth[str(row["agentid"])]["current"]])
        self.assertEqual(client.rows("/agents/states", "agentStates", updatedSince=utc_text(moment + 3_600_000)), [])
        self.assertEqual(client.tenant.stats_report()["most_submits_in_60s"], len(client.tenant.asked))

    def test_without_a_token_or_with_a_wrong_secret_there_is_no_data(self):
        client = Client(self)
        for act in (lambda: client.log_in(password="wrong"), lambda: client.get(platform_api.BASE + "/agents/states")):
            with self.assertRaises(HTTPError) as refused:
                act()
            self.assertEqual(refused.exception.code, 401)


if __name__ == "__main__":
    unittest.main()
