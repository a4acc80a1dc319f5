"""Rules for every dashboard file: those of Grafana's dashboard linter, and this repository's own.

The linter's rules, by its names: template-datasource, template-job, template-instance, template-label-promql,
template-on-time-change-reload, panel-datasource, panel-title-description, panel-units, panel-no-targets, target-job, target-instance,
target-rate-interval, target-counter-agg. Not uneditable-dashboard: ours are edited where they are. Whether a query is valid PromQL is for a real Prometheus to say.
"""

import json
import re
from pathlib import Path

DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WITHOUT_QUERIES = ("row", "text", "dashlist", "alertlist", "logs", "news")
# The Grafana units in use; with an unknown one, panels show plain numbers.
UNITS = {"bool", "bytes", "dateTimeAsIso", "dthms", "none", "percentunit", "reqps", "rowsps", "s", "short", "string"}
# What all dashboards have alike.
SHARED = ("annotations", "editable", "fiscalYearStartMonth", "graphTooltip", "id", "links", "refresh", "schemaVersion", "tags", "timezone", "weekStart")
LABEL_VALUES = re.compile(r"label_values\((.*), *(\w+)\)", re.S)
VARIABLE = re.compile(r"\$\{?(\w+)(?::\w+)?\}?")
SELECTOR = re.compile(r"\b((?:cxone|process)_\w+|up)\b\s*(\{[^}]*\})")
COUNTER = re.compile(r"_(total|bucket|sum|count)$")
OVER_REPLICAS = re.compile(r"\bmax\s*((without|by) \((?P<labels>[^)]*)\))?\s*$")
SPANS = {"rate": ("$__rate_interval",), "increase": ("$__rate_interval", "$__range", "1h")}
WIDTH = 140


def panels_of(dashboard):
    """All panels, those in collapsed rows too."""
    for panel in dashboard.get("panels", []):
        yield panel
        yield from panel.get("panels", [])


def formatted(value, indent=0, before=0):
    """JSON in which what fits into a line is on one."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or indent * 2 + before + len(flat) < WIDTH:
        return flat
    pad = "  " * (indent + 1)
    if isinstance(value, dict):
        names = [(json.dumps(name) + ": ", inner) for name, inner in value.items()]
        return "{\n" + ",\n".join(pad + name + formatted(inner, indent + 1, len(name)) for name, inner in names) + "\n" + pad[2:] + "}"
    return "[\n" + ",\n".join(pad + formatted(inner, indent + 1) for inner in value) + "\n" + pad[2:] + "]"


def enclosing(query, place):
    """What stands before each parenthesis that is open at `place`, the innermost last."""
    opened = []
    for at, character in enumerate(query[:place]):
        if character == "(":
            opened.append(query[:at])
        elif character == ")":
            opened.pop()
    return opened


def one_of_the_replicas(before):
    """Whether an aggregation leaves one of several replicas."""
    found = OVER_REPLICAS.search(before)
    return bool(found) and (found[2] == "without") == ("instance" in (found["labels"] or ""))


def faults_of_query(query, replicas_apart):
    for selector in SELECTOR.finditer(query):
        name, matchers = selector.groups()
        if not all(f'{label}=~"${label}"' in matchers for label in ("job", "instance")):
            yield f"{name} without job and instance"
        around = enclosing(query, selector.start())
        inside_rate = bool(around) and re.search(r"\b(rate|increase)$", around[-1])
        if COUNTER.search(name) and not inside_rate:
            yield f"{name} is a counter and stands in no rate()"
        if not replicas_apart and not any(one_of_the_replicas(before) for before in around):
            yield f"{name} counts twice with two replicas: it is in no max without (instance, pod)"
    for name, _ in re.findall(r"\b((?:cxone|process)_\w+)\b(?!\s*\{)()", query):
        yield f"{name} without job and instance"
    for function, span in re.findall(r"\b(rate|increase)\([^\[]*\[([^\]]*)\]", query):
        if span not in SPANS[function]:
            yield f"{function} over {span}"
    if re.search(r"\birate\(", query):
        yield "irate leaves out what happened between two points"
    if re.search(r"time\(\)[^()]*-[^()]*(max[^(]*\()?\s*cxone_agent_state_start", query):
        yield "frozen data would appear as a stuck agent: observed - start, not time() - start"


def text_columns(panel):
    """The columns of a table that are labels."""
    for transformation in panel.get("transformations", []):
        options = transformation["options"]
        if transformation["id"] == "organize":
            shown = {name: to for name, to in options["renameByName"].items() if not options["excludeByName"].get(name)}
            yield from (to for name, to in shown.items() if not name.startswith("Value"))
        if transformation["id"] == "groupingToMatrix":
            yield f"{options['rowField']}\\{options['columnField']}"


def faults_of_numbers(panel):
    """A single number is readable at a glance: no "13.3 mins", and no "87.2658 %"."""
    config = panel["fieldConfig"]
    fields = [("", config["defaults"])]
    for override in config["overrides"]:
        fields.append((override["matcher"].get("options"), {p["id"]: p["value"] for p in override["properties"]}))
    for name, field in fields:
        unit, decimals = field.get("unit"), field.get("decimals")
        if unit == "s" and panel["type"] != "timeseries" and decimals != 0:
            yield f"{name} seconds with a fraction read as 13.3 mins: 0 decimals, or dthms"
        if unit == "percentunit" and decimals is None:
            yield f"{name} a share without a number of decimals"


def faults_of_panel(panel, dashboard):
    if not panel.get("title"):
        yield "no title"
    if panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
        yield "wider than the page"
    if panel["type"] in WITHOUT_QUERIES:
        return
    if not panel.get("description"):
        yield "no description"
    config = panel["fieldConfig"]
    units = [config["defaults"].get("unit")] + [p["value"] for o in config["overrides"] for p in o["properties"] if p["id"] == "unit"]
    yield from (f"unit {unit}" for unit in units if unit not in UNITS)
    yield from faults_of_numbers(panel)
    text = {o["matcher"].get("options") for o in config["overrides"] for p in o["properties"] if p == {"id": "unit", "value": "string"}}
    yield from (f"{column} is text: an id of digits would be shown as a number" for column in text_columns(panel) if column not in text)
    targets = panel.get("targets", [])
    if not targets:
        yield "no query"
    refs = [target["refId"] for target in targets]
    if len(set(refs)) != len(refs):
        yield "a refId twice"
    if any(thing.get("datasource") != DATA_SOURCE for thing in [panel, *targets]):
        yield "data source is not ${datasource}"
    for target in targets:
        yield from faults_of_query(target["expr"], dashboard["uid"] == "cxone-exporter")
        everybody = dashboard["uid"] != "cxone-agent" and panel["type"] == "table"
        if everybody and "cxone_agent_state" in target["expr"] and "topk(" not in target["expr"]:
            yield f"{target['refId']} is without topk: thousands of agents"
    for override in config["overrides"]:
        for link in [link for p in override["properties"] if p["id"] == "links" for link in p["value"]]:
            if not re.match(r"/d/cxone-\w+\?", link["url"]):
                yield f"{link['url']} leads to no dashboard of these"
            kept = ("${__url_time_range}", "${datasource:queryparam}", "${job:queryparam}", "${instance:queryparam}")
            if not all(part in link["url"] for part in kept):
                yield f"{link['url']} loses the time, or a variable"


def colours_of(dashboard):
    """{state: colour} wherever a panel gives a series or a cell its own."""
    for panel in panels_of(dashboard):
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            name = override["matcher"].get("options")
            for property_ in override["properties"]:
                if property_["id"] == "color" and property_["value"]["mode"] == "fixed":
                    yield name, property_["value"].get("fixedColor")
                if property_["id"] == "mappings" and name == "State":
                    for mapping in property_["value"]:
                        for state, shown in mapping["options"].items():
                            yield state, shown["color"]


def faults_of_variables(dashboard):
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    source = variables.get("datasource", {})
    if (source.get("type"), source.get("query"), source.get("label")) != ("datasource", "prometheus", "Data source"):
        yield "variable datasource is none of Prometheus"
    for name in ("job", "instance"):
        variable = variables.get(name, {})
        if not (variable.get("multi") and variable.get("includeAll") and variable.get("allValue") == ".+"):
            yield f"variable {name} has no All that is .+"
    for name, variable in variables.items():
        if variable["type"] != "query":
            continue
        if variable["datasource"] != DATA_SOURCE:
            yield f"variable {name}: data source is not ${{datasource}}"
        if variable["refresh"] != 2:
            yield f"variable {name} is not refreshed when the time changes"
        if variable["label"] != name.title():
            yield f"variable {name} is called {variable['label']}"
        query = variable["query"]["query"]
        if not LABEL_VALUES.fullmatch(query) or variable["definition"] != query:
            yield f"variable {name}: {query} is not label_values(series, label), or differs from its definition"
    queries = [target["expr"] for panel in panels_of(dashboard) for target in panel.get("targets", [])]
    queries += [variable["query"]["query"] for variable in variables.values() if variable["type"] == "query"]
    used = {name for query in queries for name in VARIABLE.findall(query)}
    yield from (f"variable {name} is not defined" for name in sorted(used - variables.keys()) if not name.startswith("__"))
    yield from (f"variable {name} is not used" for name in sorted(variables.keys() - used - {"datasource"}))


def overlap(one, other):
    a, b = one["gridPos"], other["gridPos"]
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def faults_of_dashboard(dashboard):
    panels = list(panels_of(dashboard))
    for panel in panels:
        yield from (f"panel {panel.get('title') or panel.get('id')!r}: {fault}" for fault in faults_of_panel(panel, dashboard))
    ids = [panel["id"] for panel in panels]
    titles = [panel["title"] for panel in panels if panel["type"] != "row"]
    yield from (f"{what} twice" for what in sorted({str(one) for one in ids + titles if (ids + titles).count(one) > 1}))
    top = dashboard["panels"]
    yield from (f"{a['title']} and {b['title']} overlap" for n, a in enumerate(top) for b in top[n + 1 :] if overlap(a, b))
    if dashboard["id"] is not None or not dashboard["editable"] or not dashboard.get("description"):
        yield "id is fixed, or it is not editable, or it has no description"
    for row in (panel for panel in top if panel["type"] == "row"):
        if row.get("collapsed", False) != bool(row.get("panels")):
            yield f"row {row['title']}: its panels stand in it when it is collapsed, and only then"
        if ("dialect platform" in row["title"]) != row.get("collapsed", False):
            yield f"row {row['title']}: collapsed are the rows of the other dialect, and no others"
    for link in dashboard["links"]:
        if not (link["keepTime"] and link["includeVars"]):
            yield "a link loses time or variables"
    if not re.fullmatch(r"cxone-\w{1,30}", dashboard["uid"]) or not dashboard["title"].startswith("CXone / "):
        yield "uid or title is not of the form of the others"
    yield from faults_of_variables(dashboard)


def faults_between(dashboards):
    """Where one dashboard differs from the others in what they share."""
    uids, colours, variables, shared = {}, {}, {}, {}
    for file, dashboard in dashboards.items():
        if uids.setdefault(dashboard["uid"], file) != file:
            yield f"{file.name}: uid {dashboard['uid']} is used twice"
        for key in SHARED:
            if shared.setdefault(key, dashboard.get(key)) != dashboard.get(key):
                yield f"{file.name}: {key} differs from the others'"
        for state, colour in colours_of(dashboard):
            if colours.setdefault(state, colour) != colour:
                yield f"{file.name}: {state} is {colour} here and {colours[state]} elsewhere"
        for variable in dashboard["templating"]["list"]:
            # The dashboard of one agent lets one be chosen, the others several.
            choice = ("multi", "includeAll", "allValue", "current") if variable["name"] == "agent" else ()
            reported = {key: value for key, value in variable.items() if key not in choice}
            if variables.setdefault(variable["name"], reported) != reported:
                yield f"{file.name}: variable {variable['name']} differs from the others'"


def static_faults(dashboards):
    """All errors in {file: dashboard}."""
    for file, dashboard in dashboards.items():
        yield from (f"{file.name}: {fault}" for fault in faults_of_dashboard(dashboard))
        if file.read_text("utf-8") != formatted(dashboard) + "\n":
            yield f"{file.name}: not formatted; run dashboard_queries.py --format"
    yield from faults_between(dashboards)
