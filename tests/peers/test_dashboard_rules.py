"""Each dashboard rule detects what it is for."""

import copy
import json
import unittest
from pathlib import Path

import dashboard_rules as rules

FOLDER = Path(__file__).resolve().parents[2] / "dashboards"
MATCHERS = '{job=~"$job",instance=~"$instance"}'


def complaints(change, name="history"):
    """The complaints about the dashboard after `change`."""
    dashboards = {file: json.loads(file.read_text("utf-8")) for file in FOLDER.glob("*.json")}
    changed = dashboards[FOLDER / f"{name}.json"]
    change(changed)
    return list(rules.faults_of_dashboard(changed)) + list(rules.faults_between(dashboards))


def panel_of(dashboard, kind="timeseries"):
    return next(panel for panel in dashboard["panels"] if panel["type"] == kind)


class Rules(unittest.TestCase):
    def assert_complains(self, word, change, name="history"):
        found = complaints(change, name)
        self.assertTrue(any(word in one for one in found), f"no complaint of {word!r} in {found}")

    def assert_query_complains(self, word, query):
        self.assert_complains(word, lambda dashboard: panel_of(dashboard)["targets"][0].update(expr=query))

    def test_there_are_four_and_all_are_valid(self):
        dashboards = {file: json.loads(file.read_text("utf-8")) for file in FOLDER.glob("*.json")}
        self.assertEqual({file.stem for file in dashboards}, {"floor", "history", "exporter", "agent"})
        self.assertEqual(list(rules.static_faults(dashboards)), [])

    def test_queries(self):
        good = f"sum(max without (instance, pod) (rate(cxone_state_entries_total{MATCHERS}[$__rate_interval])))"
        self.assertEqual(list(rules.faults_of_query(good, replicas_apart=False)), [])
        self.assert_query_complains("without job and instance", good.replace(',instance=~"$instance"', ""))
        self.assert_query_complains("without job and instance", "max(cxone_agents)")
        self.assert_query_complains("rate over 5m", good.replace("$__rate_interval", "5m"))
        self.assert_query_complains("stands in no rate()", good.replace("rate(", "(").replace("[$__rate_interval]", ""))
        self.assert_query_complains("counts twice", good.replace("max without (instance, pod) ", ""))
        self.assert_query_complains("counts twice", good.replace("max without (instance, pod)", "max by (instance)"))
        self.assert_query_complains("irate", good.replace("rate(", "irate("))
        start = f"time() - max(cxone_agent_state_start_timestamp_seconds{MATCHERS})"
        self.assert_query_complains("appear as a stuck agent", start)

    def test_panels(self):
        self.assert_complains("no title", lambda d: panel_of(d).update(title=""))
        self.assert_complains("no description", lambda d: panel_of(d).pop("description"))
        self.assert_complains("unit seconds", lambda d: panel_of(d)["fieldConfig"]["defaults"].update(unit="seconds"))
        self.assert_complains("unit None", lambda d: panel_of(d)["fieldConfig"]["defaults"].pop("unit"))
        self.assert_complains("id of digits", lambda d: panel_of(d, "table")["fieldConfig"].update(overrides=[]))
        self.assert_complains("no query", lambda d: panel_of(d).update(targets=[]))
        self.assert_complains("a refId twice", lambda d: panel_of(d)["targets"].append(panel_of(d)["targets"][0]))
        self.assert_complains("data source", lambda d: panel_of(d)["targets"][0].update(datasource={"type": "prometheus", "uid": "P1"}))
        self.assert_complains("wider", lambda d: panel_of(d)["gridPos"].update(x=20))
        self.assert_complains("overlap", lambda d: panel_of(d)["gridPos"].update(w=13))
        self.assert_complains("twice", lambda d: panel_of(d).update(id=panel_of(d, "table")["id"]))

    def test_tables_of_agents_are_limited(self):
        def unlimit(dashboard):
            for panel in dashboard["panels"]:
                for target in panel.get("targets", []):
                    target["expr"] = target["expr"].replace("topk(200, ", "(")

        self.assert_complains("thousands of agents", unlimit, "floor")

    def test_variables(self):
        def of(name, **change):
            return lambda d: next(v for v in d["templating"]["list"] if v["name"] == name).update(**change)

        self.assert_complains("none of Prometheus", of("datasource", query="loki"))
        self.assert_complains("no All", of("job", allValue=""))
        self.assert_complains("no All", of("instance", multi=False))
        self.assert_complains("refreshed", of("state", refresh=1))
        self.assert_complains("differs from the others'", of("skill", sort=0))
        self.assert_complains("is not defined", lambda d: d["templating"]["list"].pop())
        self.assert_complains("is not used", lambda d: d["templating"]["list"].append({**copy.deepcopy(d["templating"]["list"][1]), "name": "x"}))

    def test_what_dashboards_share(self):
        self.assert_complains("timezone differs", lambda d: d.update(timezone="utc"))
        self.assert_complains("tags differs", lambda d: d.update(tags=[]))
        self.assert_complains("is used twice", lambda d: d.update(uid="cxone-floor"))
        self.assert_complains("id is fixed", lambda d: d.update(id=7))

        def recolour(dashboard):
            panel_of(dashboard)["fieldConfig"]["overrides"][0]["properties"][0]["value"]["fixedColor"] = "pink"

        self.assert_complains("elsewhere", recolour)

    def test_links(self):
        def break_links(dashboard):
            for panel in dashboard["panels"]:
                for override in panel.get("fieldConfig", {}).get("overrides", []):
                    for property_ in override["properties"]:
                        if property_["id"] == "links":
                            property_["value"][0]["url"] = "/d/abc"

        self.assert_complains("leads to no dashboard", break_links, "floor")

    def test_links_keep_time_and_variables(self):
        def replace_in_links(old, new):
            def change(dashboard):
                for panel in dashboard["panels"]:
                    for override in panel.get("fieldConfig", {}).get("overrides", []):
                        for property_ in override["properties"]:
                            for link in property_["value"] if property_["id"] == "links" else []:
                                link["url"] = link["url"].replace(old, new)

            return change

        self.assert_complains("loses the time", replace_in_links("&${__url_time_range}", ""), "floor")
        self.assert_complains("loses the time, or a variable", replace_in_links("${job:queryparam}", ""), "floor")
        self.assert_complains("loses time or variables", lambda d: d["links"][0].update(keepTime=False))
        self.assert_complains("loses time or variables", lambda d: d["links"][0].update(includeVars=False))

    def test_rows_of_the_other_dialect_are_collapsed_and_no_others(self):
        def row(dashboard, of_the_platform):
            rows = (panel for panel in dashboard["panels"] if panel["type"] == "row")
            return next(row for row in rows if ("dialect platform" in row["title"]) == of_the_platform)

        self.assert_complains("collapsed are the rows", lambda d: row(d, False).update(collapsed=True), "exporter")
        self.assert_complains("collapsed are the rows", lambda d: row(d, True).update(collapsed=False), "exporter")
        self.assert_complains("its panels stand in it", lambda d: row(d, True).update(panels=[]), "exporter")

    def test_numbers_are_tidy(self):
        def fraction(dashboard):
            panel_of(dashboard, "table")["fieldConfig"]["defaults"].update(unit="s", decimals=1)

        self.assert_complains("13.3 mins", fraction)
        self.assert_complains("number of decimals", lambda d: panel_of(d)["fieldConfig"]["defaults"].pop("decimals"))
        self.assert_complains("not editable", lambda d: d.update(editable=False))

    def test_short_values_are_formatted_on_one_line_and_long_ones_are_not(self):
        value = {"a": [1, 2], "b": {"text": "x" * 140}}
        self.assertEqual(rules.formatted(value), '{\n  "a": [1, 2],\n  "b": {\n    "text": "%s"\n  }\n}' % ("x" * 140))


if __name__ == "__main__":
    unittest.main()
