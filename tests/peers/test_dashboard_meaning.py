"""What panels show of a given floor, by promtool: with two replicas, and after the feed froze."""

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from dashboard_rules import VARIABLE, panels_of

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
VALUES = {"job": ".+", "instance": ".+", "state": ".*", "skill": ".*", "agent": ".*", "fresh": "600"}
# Three agents: a1 is in Wrap-up since 0:00 with a limit of 5 minutes, a2 since 0:08, a3 ready on two skills since 0:00.
FLOOR = """
cxone_agents{{state="Wrap-up",{replica}}} 2x20
cxone_agents{{state="Ready",{replica}}} 1x20
cxone_agents_over_limit{{state="Wrap-up",{replica}}} 1x20
cxone_agents_seen{{{replica}}} 3x20
cxone_state_duration_limit_seconds{{state="Wrap-up",{replica}}} 300x20
cxone_target_watermark_timestamp_seconds{{target="all",{replica}}} {known}
cxone_agent_observed_timestamp_seconds{{agent="a1",{replica}}} {known}
cxone_agent_observed_timestamp_seconds{{agent="a2",{replica}}} {known}
cxone_agent_observed_timestamp_seconds{{agent="a3",{replica}}} {known}
cxone_agent_state_start_timestamp_seconds{{agent="a1",state="Wrap-up",skill="Sales",{replica}}} 0x20
cxone_agent_state_start_timestamp_seconds{{agent="a2",state="Wrap-up",skill="Sales",{replica}}} 480x20
cxone_agent_state_start_timestamp_seconds{{agent="a3",state="Ready",skill="Sales",{replica}}} 0x20
cxone_agent_state_start_timestamp_seconds{{agent="a3",state="Ready",skill="Billing",{replica}}} 0x20
cxone_state_entries_total{{state="Ready",skill="Sales",{replica}}} 0+6x90
"""
REPLICAS = ['job="cxone",instance="one:1"', 'job="cxone",instance="two:1"']
MOVING, FROZEN_AT_1_MINUTE = "0+60x20", "0 60x19"
NOT_KNOWN = []


def query_of(dashboard, title, ref="A"):
    """The query of a panel, with everything chosen."""
    panels = panels_of(json.loads((FOLDER / f"{dashboard}.json").read_text("utf-8")))
    targets = next(panel for panel in panels if panel["title"] == title)["targets"]
    query = next(target for target in targets if target["refId"] == ref)["expr"]
    values = VALUES | {"__rate_interval": "4m", "__range": "20m"}
    return VARIABLE.sub(lambda match: values[match.group(1)], query)


def series(known, replicas):
    lines = "".join(FLOOR.format(replica=replica, known=known) for replica in replicas).strip().splitlines()
    return [dict(zip(("series", "values"), line.split(" ", 1), strict=True)) for line in lines if line]


@unittest.skipUnless(shutil.which("promtool"), "promtool is not here")
class Meaning(unittest.TestCase):
    def assert_says(self, dashboard, title, expected, ref="A", known=MOVING, replicas=REPLICAS, at="10m", floor=None):
        samples = [{"labels": labels, "value": value} for labels, value in expected]
        case = {"expr": query_of(dashboard, title, ref), "eval_time": at, "exp_samples": samples}
        test = {"interval": "1m", "input_series": floor or series(known, replicas), "promql_expr_test": [case]}
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}, file)
            file.flush()
            said = subprocess.run(["promtool", "test", "rules", file.name], capture_output=True, text=True, check=False)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)

    def test_two_replicas_count_once(self):
        for replicas in (REPLICAS, REPLICAS[:1]):
            self.assert_says("floor", "Over their limit", [("{}", 1)], replicas=replicas)
            self.assert_says("floor", "Agents by state", [('{state="Wrap-up"}', 2), ('{state="Ready"}', 1)], replicas=replicas)
            self.assert_says("floor", "Agents in a state", [("{}", 3)], replicas=replicas)
            self.assert_says("floor", "Agents in a state", [("{}", 3)], ref="B", replicas=replicas)
            self.assert_says("history", "Changes an hour", [("{}", 6 * 60)], replicas=replicas, at="90m")

    def test_an_agent_on_two_skills_counts_once_in_times_and_shares(self):
        reported = []
        for replica in REPLICAS:
            for skill in ("Sales", "Billing"):
                reported.append(f'cxone_state_seconds_total{{state="Ready",skill="{skill}",{replica}}} 0+30x90')
                reported.append(f'cxone_agent_state_seconds_total{{agent="a3",state="Ready",skill="{skill}",{replica}}} 0+30x90')
            for state in ("Ready", "Wrap-up"):
                reported.append(f'cxone_state_agent_seconds_total{{state="{state}",{replica}}} 0+30x90')
                reported.append(f'cxone_agent_seconds_total{{agent="a3",state="{state}",{replica}}} 0+30x90')
            reported.append(f'cxone_state_seconds_total{{state="Wrap-up",skill="Sales",{replica}}} 0+30x90')
            reported.append(f'cxone_agent_state_seconds_total{{agent="a3",state="Wrap-up",skill="Sales",{replica}}} 0+30x90')
        floor = [dict(zip(("series", "values"), line.split(" ", 1), strict=True)) for line in reported]
        halves = [('{state="Ready"}', 0.5), ('{state="Wrap-up"}', 0.5)]
        for dashboard in ("history", "agent"):
            self.assert_says(dashboard, "Share of time by state", halves, at="80m", floor=floor)
        self.assert_says("history", "Share of time in Wrap-up", [("{}", 0.5)], at="80m", floor=floor)
        spent = [('{state="Ready"}', 600), ('{state="Wrap-up"}', 600)]
        self.assert_says("agent", "Time by state", spent, at="80m", floor=floor)
        spent = [(f'{{agent="a3",{labels[1:]}', seconds) for labels, seconds in spent]
        self.assert_says("history", "What each agent did", spent, at="80m", floor=floor)

    def test_needs_help_lists_who_is_over_the_limit_and_by_how_much(self):
        stuck = '{job="cxone",agent="a1",state="Wrap-up",skill="Sales"}'
        self.assert_says("floor", "Who needs help", [(stuck, 300)])
        self.assert_says("floor", "Who needs help", [(stuck, 600)], ref="B")
        self.assert_says("floor", "Who needs help", [(stuck, 300)], ref="C")

    def test_time_in_a_state_does_not_advance_when_the_feed_is_frozen(self):
        stuck = '{job="cxone",agent="a1",state="Wrap-up",skill="Sales"}'
        self.assert_says("floor", "Who needs help", [(stuck, 600)], ref="B", at="10m")
        self.assert_says("floor", "Who needs help", NOT_KNOWN, ref="A", known=FROZEN_AT_1_MINUTE, at="9m")
        self.assert_says("agent", "Limit used", [("{}", 2)], at="10m")

    def test_nobody_is_shown_only_while_the_data_are_fresh(self):
        self.assert_says("floor", "Over their limit", [("{}", 1)], known=FROZEN_AT_1_MINUTE, at="10m")
        self.assert_says("floor", "Over their limit", NOT_KNOWN, known=FROZEN_AT_1_MINUTE, at="12m")
        self.assert_says("floor", "Age of the data", [("{}", 660)], known=FROZEN_AT_1_MINUTE, at="12m")
        self.assert_says("floor", "Targets behind", [("{}", 1)], known=FROZEN_AT_1_MINUTE, at="12m")
        self.assert_says("floor", "Targets behind", [("{}", 0)], at="12m")

    def test_by_skill_is_the_same_whether_available_has_a_skill_or_not_or_both(self):
        table = ("floor", "By skill and state")
        sales = '{skill="Sales",state="Available"}'
        asked = REPLICAS[0]
        calls = {"series": f'cxone_skill_agents{{skill="Sales",state="InboundContact",{asked}}}', "values": "2x20"}
        known = {"series": f'cxone_agents{{state="Available",{asked}}}', "values": "3x20"}
        without = {"series": f'cxone_skill_agents{{skill="",state="Available",{asked}}}', "values": "3x20"}
        named = {"series": f'cxone_skill_agents{{skill="Sales",state="Available",{asked}}}', "values": "1x20"}
        feed = {"series": f'cxone_skill_activity_agents{{skill="Sales",activity="available",{asked}}}', "values": "1x20"}
        idle = {"series": f'cxone_skill_activity_agents{{skill="Sales",activity="idle",{asked}}}', "values": "9x20"}
        expected = [('{skill="Sales",state="InboundContact"}', 2), (sales, 1)]
        self.assert_says(*table, expected, floor=[calls, known, without, feed, idle])
        self.assert_says(*table, expected, floor=[calls, known, named])
        self.assert_says(*table, expected, floor=[calls, known, named, feed, idle])
        self.assert_says(*table, expected[:1], floor=[calls, known, without])

    def test_the_live_feed_keeps_the_floor_fresh_while_the_history_is_frozen(self):
        feed = {"series": f'cxone_live_last_success_timestamp_seconds{{feed="agent_states",{REPLICAS[0]}}}', "values": MOVING}
        skills = {"series": f'cxone_live_last_success_timestamp_seconds{{feed="skill_activity",{REPLICAS[0]}}}', "values": MOVING}
        frozen = series(FROZEN_AT_1_MINUTE, REPLICAS)
        self.assert_says("floor", "Over their limit", [("{}", 1)], at="12m", floor=[*frozen, feed])
        self.assert_says("floor", "Age of the data", [("{}", 0)], at="12m", floor=[*frozen, feed])
        self.assert_says("floor", "Targets behind", [("{}", 1)], at="12m", floor=[*frozen, feed])
        self.assert_says("floor", "Over their limit", NOT_KNOWN, at="12m", floor=[*frozen, skills])
        self.assert_says("floor", "Age of the data", [("{}", 660)], at="12m", floor=[*frozen, skills])

    def test_the_longest_wait_is_as_of_the_feed_and_freezes_with_it(self):
        feed = f'cxone_live_last_success_timestamp_seconds{{feed="skill_activity",{REPLICAS[0]}}}'
        oldest = {"series": f'cxone_skill_queue_oldest_timestamp_seconds{{skill="Sales",{REPLICAS[0]}}}', "values": "60x20"}
        waits = '{job="cxone",skill="Sales"}'
        self.assert_says("floor", "Queues", [(waits, 660)], "B", at="12m", floor=[{"series": feed, "values": MOVING}, oldest])
        self.assert_says("floor", "Queues", [(waits, 60)], "B", at="12m", floor=[{"series": feed, "values": "0 60 120x19"}, oldest])

    def test_the_quota_panel_shows_jobs_or_requests(self):
        jobs = {"series": f"cxone_report_jobs_total{{{REPLICAS[0]}}}", "values": "0+2x20"}
        requests = {"series": f'cxone_api_requests_total{{endpoint="poll",code="200",{REPLICAS[0]}}}', "values": "0+9x20"}
        feed = {"series": f'cxone_live_up{{feed="agent_states",{REPLICAS[0]}}}', "values": "1x20"}
        self.assert_says("exporter", "Quota", [("{}", 2)], "D", floor=[jobs, requests])
        self.assert_says("exporter", "Quota", [("{}", 9)], "D", floor=[jobs, requests, feed])

    def test_a_frozen_replica_is_ignored_for_its_twin(self):
        mixed = series(FROZEN_AT_1_MINUTE, REPLICAS[:1]) + series(MOVING, REPLICAS[1:])
        self.assert_says("floor", "Age of the data", [("{}", 0)], at="12m", floor=mixed)
        self.assert_says("floor", "Over their limit", [("{}", 1)], at="12m", floor=mixed)
        self.assert_says("floor", "Who needs help", [('{job="cxone",agent="a1",state="Wrap-up",skill="Sales"}', 720)], "B", at="12m", floor=mixed)


if __name__ == "__main__":
    unittest.main()
