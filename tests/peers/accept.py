#!/usr/bin/env python3
"""Are the exporter's counts exact? It polls cxone_api.py with faults, and its counters are compared with the true history.

    accept.py --exporter target/release/cxone-exporter [--rows intervals-cut] [--seconds 120] [--revised] [--keep DIR]
    accept.py --exporter target/release/cxone-exporter --dialect platform [--seconds 120] [--kills 40]

With `--dialect platform` it is platform_api.py instead: counts up to the end of the history, and current states from its live states.

Exit status 0 when nothing differs, 1 with a list of what does. Python's standard library only; loopback only.
"""

import argparse
import json
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

import cxone_api
import platform_api
from exposition import Malformed, parse

TARGETS = {
    # name: (lines of the configuration, does it contain (agent, team)?)
    "everyone": ("filter: {type: all, id: all}", lambda agent, team: True),
    "first-team": ("filter: {type: team, id: team-1}", lambda agent, team: team == "team-1"),
    "user:user-003": ("user: user-003", lambda agent, team: agent == "user-003"),
    "user:user-004": ("user: user-004", lambda agent, team: agent == "user-004"),
}
# The exporter's targets when the configuration has none.
PLATFORM_TARGETS = {"all": (None, lambda agent, team: True)}
QUOTA = 60
REQUESTS = 240
SETTLE_DELAY_S = {"buckets": 15}
SETTLING_S = 180
DRAIN_S = 5


def configuration(options, base, targets):
    lines = ["api:", "  client_id: my-client", "  client_secret_file: client-secret"]
    if options.dialect == "platform":
        lines += ["  dialect: platform", f"  issuer: {base}", f"  access_key_id: {platform_api.KEY_ID}"]
        lines += ["  access_key_secret_file: client-secret"]
    else:
        lines += [f"  base_url: {base}", f"  rows: {options.rows.split('-')[0]}", "targets:"]
    for name, (line, _) in targets.items():
        if line is None:
            continue
        lines.append(f"  - {line}")
        if not name.startswith("user:"):
            lines.append(f"    name: {name}")
    lines += ["poll:", f"  interval: {options.interval}", "  lookback: 10m"]
    if options.dialect == "platform":
        lines += ["  overlap: 30s", "  live_interval: 1s", "jobs: {timeout: 5s}", f"quota: {{requests_per_minute: {REQUESTS}}}"]
        return "\n".join(lines) + "\n"
    lines.append(f"  settle_delay: {SETTLE_DELAY_S[options.rows]}s" if options.rows in SETTLE_DELAY_S else "  overlap: 30s")
    lines += ["jobs: {poll_every: 200ms, timeout: 5s}", f"quota: {{report_jobs_per_minute: {QUOTA}, reserve: 0}}"]
    return "\n".join(lines) + "\n"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Exporter:
    """The process under test, and all its output."""

    def __init__(self, binary, folder, port):
        self.base = f"http://127.0.0.1:{port}"
        self.log = folder / "exporter.log"
        self.said = []
        self.folder = folder
        self.arguments = [binary, "serve", f"--config.file={folder / 'config.yml'}", f"--web.listen-address=127.0.0.1:{port}"]
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            # The folder of the store, if there is one, is below the working directory.
            self.process = subprocess.Popen(self.arguments, cwd=self.folder, stdout=log, stderr=log)

    def kill(self):
        """Kills it, and starts it again."""
        self.process.kill()
        self.process.wait()
        self.start()

    def page(self, path, accept="text/plain;version=0.0.4"):
        with urlopen(Request(self.base + path, headers={"Accept": accept}), timeout=10) as answer:
            text = answer.read().decode("utf-8", "strict")
        self.said.append(text)
        return text

    def samples(self):
        return parse(self.page("/metrics"))

    def until(self, seconds, what, condition):
        """Waits for `condition`; raises if it never holds or the process ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the exporter ended with status {self.process.returncode}, see {self.log}")
            try:
                if condition():
                    return
            except (OSError, HTTPException):  # urllib's errors are OSErrors
                pass
            time.sleep(0.25)
        raise RuntimeError(f"not within {seconds} s: {what}")

    def end(self):
        """(seconds until it ended after SIGTERM or None, exit status)."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(DRAIN_S + 5)
            return time.monotonic() - begun, status
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None, self.process.wait()


def by_labels(samples, name, *labels):
    """{label values: value as text}."""
    return {tuple(dict(key).get(label, "") for label in labels): value for key, value in samples.get(name, {}).items()}


def millis(value):
    """A number of seconds as milliseconds; not rounded, so that a fraction of one is a difference."""
    return Decimal(value) * 1000


def spans(samples, floor, targets):
    """{agent: (epoch, observed, counted)} in milliseconds for every agent whose epoch and observed time are on the page.

    Counts go as far as an agent is observed, but for live states, which count nothing: with them, as far as its targets are known.
    """
    epochs = by_labels(samples, "cxone_target_epoch_timestamp_seconds", "target")
    marks = by_labels(samples, "cxone_target_watermark_timestamp_seconds", "target")
    observed = by_labels(samples, "cxone_agent_observed_timestamp_seconds", "agent")
    found = {}
    for agent in floor.agents:
        own = [name for name, (_, holds) in targets.items() if (name,) in epochs and holds(agent.id, agent.team)]
        if own and (agent.id,) in observed:
            seen = int(millis(observed[agent.id,]))
            known = max(int(millis(marks[name,])) for name in own) if isinstance(floor, platform_api.PlatformFloor) else seen
            found[agent.id] = (min(int(millis(epochs[name,])) for name in own), seen, known)
    return found


def counters(samples):
    """{(agent, state, skill): (entries, milliseconds)}."""
    entries = by_labels(samples, "cxone_agent_state_entries_total", "agent", "state", "skill")
    seconds = by_labels(samples, "cxone_agent_state_seconds_total", "agent", "state", "skill")
    return {key: (Decimal(entries.get(key, 0)), millis(seconds.get(key, 0))) for key in entries.keys() | seconds.keys()}


def compare(samples, floor, targets, options, final):
    """Differences from the true history: all of them at the end, only what is too high before."""
    differences, reported = [], counters(samples)
    for agent, (epoch, observed, known) in spans(samples, floor, targets).items():
        truth = floor.truth(epoch, known, agent)[agent]
        true = {(agent, one["state"], one["skill"]): (one["entries"], one["millis"]) for one in truth["sums"]}
        for key in sorted({key for key in reported if key[0] == agent} | true.keys()):
            for what, is_, was in zip(("entries", "ms"), reported.get(key, (0, 0)), true.get(key, (0, 0))):
                if what == "ms" and options.rows == "buckets":
                    continue
                exact = not options.revised and not (what == "ms" and options.rows == "events" and options.late)
                if (is_ > was and exact) or (final and is_ < was):
                    differences.append(f"{key}: {what} reported {is_}, actual {was}, in [{epoch}, {known})")
        if final and options.rows != "buckets":
            differences += compare_now(samples, agent, floor.truth(observed, observed, agent)[agent]["current"])
    if final:
        missing = {agent.id for agent in floor.agents} - spans(samples, floor, targets).keys()
        differences += [f"{agent}: no observed time or no epoch" for agent in sorted(missing)]
        strangers = {key[0] for key in reported} - {agent.id for agent in floor.agents}
        differences += [f"{agent!r}: an agent that does not exist" for agent in sorted(strangers)]
    return differences


def compare_now(samples, agent, current):
    starts = by_labels(samples, "cxone_agent_state_start_timestamp_seconds", "agent", "state", "skill")
    reported = {key[1:]: int(millis(value)) for key, value in starts.items() if key[0] == agent}
    # Of visits in different states that began at once, the alphabetically first is reported.
    state = min((one["state"] for one in current), default=None)
    true = {(one["state"], one["skill"]): one["start"] for one in current if one["state"] == state}
    return [] if reported == true else [f"{agent}: reported in {reported}, actually in {true}"]


def compare_sums(samples, options):
    """The counters over all agents, and the agents by state, against those of the single agents."""
    differences, sums = [], {}
    for (_, state, skill), (entries, ms) in counters(samples).items():
        old = sums.get((state, skill), (0, 0))
        sums[state, skill] = (old[0] + entries, old[1] + ms)
    entries = by_labels(samples, "cxone_state_entries_total", "state", "skill")
    seconds = by_labels(samples, "cxone_state_seconds_total", "state", "skill")
    for key in sorted(sums.keys() | entries.keys() | seconds.keys()):
        reported = (Decimal(entries.get(key, 0)), millis(seconds.get(key, 0)))
        if reported != sums.get(key, (0, 0)) and not options.revised:
            differences.append(f"all agents {key}: reported {reported}, their sum is {sums.get(key, (0, 0))}")
    now = {}
    for agent, state in {key[:2] for key in by_labels(samples, "cxone_agent_state_start_timestamp_seconds", "agent", "state", "skill")}:
        now.setdefault(state, set()).add(agent)
    for (state,), value in by_labels(samples, "cxone_agents", "state").items():
        if int(Decimal(value)) != len(now.get(state, ())):
            differences.append(f"cxone_agents {state}: reported {value}, {len(now.get(state, ()))} agents have a start there")
    return differences


def fallen(before, samples, types):
    """Counters that are lower than before, or missing; the current ones."""
    now = {
        (name, key): Decimal(value)
        for name, reported in samples.items()
        if types.get(name) == "counter"
        for key, value in reported.items()
    }
    worse = [f"{name} {dict(key)}: was {value}, is {now.get((name, key))}" for (name, key), value in before.items() if now.get((name, key), -1) < value]
    return worse, now


def judge_conduct(exporter, tenant, options, samples):
    """Quota, tokens, leaks: what the API saw."""
    stats, wrong = tenant.stats_report(), []
    print("the API saw:", json.dumps(stats))
    limit = REQUESTS if options.dialect == "platform" else QUOTA
    if stats["most_submits_in_60s"] > limit or stats["quota_violations"]:
        wrong.append(f"quota: {stats['most_submits_in_60s']} within 60 s, {limit} are allowed; {stats['quota_violations']} refused")
    wrong += [f"requests with a token that is {why}: {stats['token_' + why]}" for why in ("missing", "unknown", "expired") if stats["token_" + why]]
    if stats["most_token_requests_at_once"] > 1:
        wrong.append(f"{stats['most_token_requests_at_once']} token requests at once")
    wrong += [f"went to another origin: {leak}" for leak in stats["leaks"]]
    if stats.get("refused_422"):
        wrong.append(f"{stats['refused_422']} submits were not valid requests")
    if options.seconds > 2 * options.token_life and stats["tokens_issued"] < 3:
        wrong.append("the token was hardly ever renewed: the test would prove nothing")
    said = "\n".join([exporter.log.read_text("utf-8", "replace"), *exporter.said])
    if tenant.options.client_secret in said:
        wrong.append("the client secret is in the log, the metrics or the status page")
    if any(token in said for token in tenant.tokens):
        wrong.append("a token is in the log, the metrics or the status page")
    # A failed page is retried, so no window need fail.
    failures = "cxone_api_throttled_total" if options.dialect == "platform" else "cxone_report_job_failures_total"
    for name, fault in (("cxone_report_rows_rejected_total", options.bad_rows), (failures, options.faults)):
        # The counters of what was seen before the last kill are gone.
        if fault and not options.kills and not sum(Decimal(value) for value in samples.get(name, {}).values()):
            wrong.append(f"{name} is 0, but there were such faults")
    return wrong


def watch(exporter, tenant, targets, options):
    """Watches for `--seconds`: the text must be well-formed, no counter may fall, nothing may be above the true history."""
    wrong, before, end = [], {}, time.monotonic() + options.seconds
    chance = random.Random(f"kills {options.seed}")
    kills = 0
    while time.monotonic() < end and len(wrong) < 20:
        if options.kills:
            time.sleep(chance.uniform(0, 2 * options.seconds / options.kills))
            exporter.kill()
            kills += 1
            exporter.until(10, "/metrics answers again", lambda: exporter.page("/metrics") is not None)
            # The exporter's counters of itself begin anew; those of the contact centre must not.
            before = {key: value for key, value in before.items() if key[0].startswith(("cxone_agent_", "cxone_state_"))}
        else:
            time.sleep(min(5, max(0.1, end - time.monotonic())))
        samples, types = exporter.samples()
        worse, before = fallen(before, samples, types)
        wrong += [f"a counter fell: {one}" for one in worse]
        wrong += [f"too high while running: {one}" for one in compare(samples, tenant.floor, targets, options, final=False)]
    if kills:
        print(f"killed and started again {kills} times")
    return wrong


def settle(exporter, targets):
    """Waits until every target was polled after the faults ended, and backoff is over."""
    line = time.time() + 1

    def settled():
        marks = by_labels(exporter.samples()[0], "cxone_target_watermark_timestamp_seconds", "target")
        return all(float(marks.get((name,), 0)) > line for name in targets)

    exporter.until(SETTLING_S, "every target known past the end of the faults", settled)


def run(options, folder):
    targets = PLATFORM_TARGETS if options.dialect == "platform" else TARGETS
    arguments = ["--rows", options.rows, "--seed", options.seed, "--quota", str(QUOTA), "--token-life", str(options.token_life)]
    arguments += ["--client-secret", "secret-" + secrets.token_urlsafe(18), "--faults", str(options.faults)]
    arguments += ["--late", str(options.late), "--bad-rows", str(options.bad_rows)]
    if options.rows != "buckets":
        arguments += ["--repeated", "0.1"]
    if options.rows.startswith("intervals"):
        arguments += ["--short-ends", "0.1"]
    if options.revised:
        arguments += ["--revised-states", "0.1"]
    peer = (platform_api.Tenant, platform_api.Handler) if options.dialect == "platform" else (cxone_api.Tenant, cxone_api.Handler)
    tenant, (api, _) = cxone_api.start(cxone_api.parse_options(arguments), *peer)
    (folder / "client-secret").write_text(tenant.options.client_secret + "\n")
    (folder / "client-secret").chmod(0o600)
    (folder / "config.yml").write_text(configuration(options, f"http://127.0.0.1:{api.server_address[1]}", targets))
    exporter = Exporter(options.exporter, folder, free_port())
    wrong = []
    try:
        exporter.until(10, "/-/healthy answers", lambda: exporter.page("/-/healthy") is not None)
        exporter.until(90, "/-/ready answers 200", lambda: exporter.page("/-/ready") is not None)
        wrong += watch(exporter, tenant, targets, options)
        tenant.stop_faults()
        settle(exporter, targets)
        samples, _ = exporter.samples()
        wrong += compare(samples, tenant.floor, targets, options, final=True)
        wrong += compare_sums(samples, options)
        print(f"compared {len(counters(samples))} label sets of {len(spans(samples, tenant.floor, targets))} agents")
        exporter.page("/")
        if not exporter.page("/metrics", "application/openmetrics-text;version=1.0.0").endswith("\n# EOF\n"):
            wrong.append("OpenMetrics does not end in # EOF")
        took, status = exporter.end()
        if took is None or took > DRAIN_S or status != 0:
            wrong.append(f"SIGTERM: ended after {took} s with status {status}")
        wrong += judge_conduct(exporter, tenant, options, samples)
    except (RuntimeError, Malformed, OSError, HTTPException, UnicodeDecodeError) as error:
        wrong.append(f"{type(error).__name__}: {error}")
    finally:
        if exporter.process.poll() is None:
            exporter.process.kill()
            exporter.process.wait()
    return wrong


def main():
    parser = argparse.ArgumentParser(description="Compare the exporter's counters with the true history of a simulated API with faults.")
    parser.add_argument("--exporter", required=True, type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--rows", choices=("intervals-cut", "intervals-whole", "events", "buckets"), default="intervals-cut")
    parser.add_argument("--dialect", choices=("reports", "platform"), default="reports")
    parser.add_argument("--seconds", type=float, default=120, help="how long faults go on")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--interval", default="2s", help="poll.interval; by default the targets ask for more than the quota")
    parser.add_argument("--faults", type=float, default=0.03, help="probability of each kind of fault")
    parser.add_argument("--bad-rows", type=float, default=0.02)
    parser.add_argument("--late", type=float, help="seconds; 10, but 0 for events: there a late row shortens the row before it")
    parser.add_argument("--kills", type=int, default=0, help="SIGKILLs, about this many, at random moments of that time")
    parser.add_argument("--token-life", type=int, default=20)
    parser.add_argument("--revised", action="store_true", help="rows first reported in another state: counters may remain too high, never too low")
    parser.add_argument("--keep", type=Path, help="folder for configuration and log; by default one that is removed after success")
    options = parser.parse_args()
    if options.late is None:
        options.late = 0 if options.rows == "events" else 10
    folder = options.keep or Path(tempfile.mkdtemp(prefix="cxone-accept-"))
    folder.mkdir(parents=True, exist_ok=True)
    wrong = run(options, folder.resolve())
    for one in wrong[:60]:
        print("DIFFERS", one)
    if wrong:
        print(f"{len(wrong)} differences ({options.dialect}, rows {options.rows}, seed {options.seed}); configuration and log are in {folder}")
        sys.exit(1)
    if options.keep is None:
        for file in sorted(folder.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        folder.rmdir()
    print(f"no difference ({options.dialect}, rows {options.rows}, seed {options.seed})")


if __name__ == "__main__":
    main()
