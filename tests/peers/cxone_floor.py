"""A contact centre whose true history is known: what its agents did, and what reports contain of it.

Written from the description of the Reporting API alone, so that it can contradict the exporter's own simulator.
All times are whole milliseconds since 1970, UTC.
"""

import random
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone

SKILLS = ("English Support", "Billing", 'Español "VIP" \\ 1')
BREAKS = ("Lunch", "Meeting", "Break", "Training", "Coaching", "Project", "Email", "Away")
WRAP_UP_NAMES = ("Wrap-up", "ACW", "After Contact Work")
PREHISTORY_MS = 20 * 60 * 1000


def utc_text(ms):
    """`YYYY-MM-DDTHH:MM:SS.mmmZ`."""
    seconds, millis = divmod(ms, 1000)
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + f"{millis:03d}Z"


@dataclass
class Revision:
    """How the report of one row changes: all in milliseconds after the visit's start."""

    late: int = 0  # not reported before
    short_end: int = 0  # reported to end here until `corrected`; 0: correct from the start
    other_state: str = ""  # reported as this state until `corrected`
    corrected: int = 0


@dataclass
class Visit:
    """One visit to a state, on one or more skills at once."""

    start: int
    end: int
    state: str
    skills: tuple
    revisions: tuple
    with_end: bool = True  # whether an events row of it has its end
    extra: int = 0  # a random number for the other properties of its rows


@dataclass
class Agent:
    """An agent and the part of the history that has been made up so far."""

    id: str
    name: str
    team: str
    wrap_up: str
    rng: random.Random
    until: int
    visits: list = field(default_factory=list)


class Floor:
    """Agents whose history goes on for as long as somebody asks; the same for the same options, seed and beginning."""

    def __init__(self, options, now):
        self.options = options
        self.lock = threading.Lock()
        self.truthful_from = None  # from then on, rows are neither late nor wrong
        self.frozen_at = None
        begin = now - PREHISTORY_MS
        self.agents = [
            Agent(
                id=f"user-{n:03d}",
                name=f"Agent {n:03d}",
                team=f"team-{1 + n % 3}",
                wrap_up=WRAP_UP_NAMES[n % 5] if n % 5 < 3 else "Wrap-up",
                rng=random.Random(f"{options.seed}/{n}"),
                until=begin + 37 * n,
            )
            for n in range(options.agents)
        ]

    def select(self, filter_):
        """The agents that a report's filter means; None when the filter makes no sense."""
        kind, wanted = filter_.get("type"), filter_.get("id")
        if kind == "all":
            return list(self.agents)
        if kind == "user" and isinstance(wanted, str):
            return [agent for agent in self.agents if agent.id == wanted]
        if kind == "team" and isinstance(wanted, str):
            return [agent for agent in self.agents if agent.team == wanted]
        return None

    # The true history

    def history(self, agent, until):
        """The agent's visits, at least up to `until`."""
        with self.lock:
            while agent.until <= until:
                self._go_on(agent)
            return list(agent.visits)

    def _go_on(self, agent):
        rng, options = agent.rng, self.options
        last = agent.visits[-1] if agent.visits else None
        # Open events last to the agent's next row in another state, so there a state has no neighbour of its own with other skills,
        # and no agent is away.
        plain = options.rows == "events"
        state, skills = self._next_state(agent, last, rng)
        length = 0 if rng.random() < options.zero_length else rng.randint(2_000, 40_000)
        start = agent.until
        if plain and last is not None and last.state == state:
            skills = last.skills
        # Two visits with the same start, state and skill could not be distinguished.
        taken = {visit.state for visit in agent.visits[-8:] if visit.start == start}
        if state in taken:
            state, skills = next(one for one in BREAKS if one not in taken), ()
        revisions = tuple(self._revision(rng, state, length) for _ in (skills or ("",)))
        with_end = length == 0 or rng.random() < 0.5
        agent.visits.append(Visit(start, start + length, state, skills, revisions, with_end, rng.getrandbits(30)))
        agent.until = start + length
        if state == "Logout" and not plain and rng.random() < 0.5:
            agent.until += rng.randint(5_000, 70_000)

    @staticmethod
    def _next_state(agent, last, rng):
        on_call = tuple(rng.sample(SKILLS, 1))
        some = tuple(sorted(rng.sample(SKILLS, rng.choice((1, 1, 2, 3)))))
        if last is None or last.state == "Logout":
            return "Login", ()
        draw = rng.random()
        if draw < 0.12:
            return last.state, last.skills if rng.random() < 0.5 or not last.skills else some
        if last.state == "Ready":
            return ("Inbound Call", on_call) if draw < 0.75 else ("Lunch", ()) if draw < 0.9 else ("Logout", ())
        if last.state == "Inbound Call":
            return agent.wrap_up, last.skills
        return "Ready", some

    def _revision(self, rng, state, length):
        draws = [rng.random() for _ in range(4)]
        options, revision = self.options, Revision()
        if draws[0] < options.late_share:
            revision.late = int(draws[1] * options.late * 1000)
        if draws[2] < options.short_ends and length > 1_500 and options.late:
            revision.short_end = 200 + int(draws[3] * 800)
        if options.revised_states and draws[3] < options.revised_states and options.late:
            revision.other_state = "Ready" if state != "Ready" else "Meeting"
        if revision.short_end or revision.other_state:
            revision.corrected = max(revision.short_end, int(draws[1] * options.late * 1000))
        return revision

    def truth(self, begin, end, agent_id=None):
        """What every agent really did in [begin, end): entries and milliseconds by state and skill, and where it is at the end."""
        answer = {}
        for agent in self.agents:
            if agent_id is not None and agent.id != agent_id:
                continue
            sums, current = {}, []
            for visit in self.history(agent, end):
                if visit.start >= end:
                    continue
                state = "Wrap-up" if visit.state in WRAP_UP_NAMES else visit.state
                millis = max(0, min(visit.end, end) - max(visit.start, begin))
                entries = 1 if visit.start >= begin else 0
                for skill in visit.skills or ("",):
                    if visit.end >= end:
                        current.append({"state": state, "skill": skill, "start": visit.start})
                    if entries or millis:
                        old = sums.get((state, skill), (0, 0))
                        sums[state, skill] = (old[0] + entries, old[1] + millis)
            newest = max((one["start"] for one in current), default=None)
            answer[agent.id] = {
                "team": agent.team,
                "sums": [{"state": s, "skill": k, "entries": e, "millis": m} for (s, k), (e, m) in sorted(sums.items())],
                "current": [one for one in current if one["start"] == newest],
            }
        return answer

    # What reports contain

    def rows(self, agents, begin, end, asked, rng):
        """The rows of a report about [begin, end) as they are known at `asked`."""
        known = asked if self.frozen_at is None else min(asked, self.frozen_at)
        truthful = self.truthful_from is not None and asked >= self.truthful_from
        reported = []
        for agent in agents:
            for visit in self.history(agent, max(end, known)):
                if visit.start >= end or visit.start > known:
                    break
                for skill, revision in zip(visit.skills or ("",), visit.revisions):
                    row = self._reported(visit, skill, revision, known, truthful)
                    if row is not None:
                        reported.append((agent, visit, *row))
        if self.options.rows == "buckets":
            return self._buckets(reported, begin, end, rng)
        rows = []
        for agent, visit, state, skill, start, stop in reported:
            if self.options.rows == "events":
                inside = begin <= start < end
                stop = stop if visit.with_end else None
            else:
                inside = stop is None or stop > begin or (stop == start and start >= begin)
                if self.options.rows == "intervals-cut":
                    start = max(start, begin)
                    stop = end if stop is not None and stop > end else stop
                    if stop is None and visit.extra % 3 == 0:
                        stop = end
            if inside:
                rows.append(self._row(agent, visit, state, skill, start, stop))
        if self.options.repeated:
            rows += [dict(row) for row in rows if rng.random() < self.options.repeated]
        rng.shuffle(rows)
        return rows

    @staticmethod
    def _reported(visit, skill, revision, known, truthful):
        """(state, skill, start, end or None) as reported at `known`; None if it is not reported yet."""
        age = known - visit.start
        stop = visit.end if visit.end <= known else None
        if truthful:
            return visit.state, skill, visit.start, stop
        if age < revision.late:
            return None
        state = visit.state
        if age < revision.corrected:
            state = revision.other_state or state
            if revision.short_end and age > revision.short_end:
                stop = visit.start + revision.short_end
        return state, skill, visit.start, stop

    def _row(self, agent, visit, state, skill, start, stop):
        row = {
            "userId": agent.id,
            "userName": agent.name,
            "stateName": state,
            "stateId": "state-" + state.lower().replace(" ", "-"),
            "skillName": skill,
            "count": 1,
            "dateFrom": utc_text(start),
            "dateTo": None if stop is None else utc_text(stop),
        }
        if stop is None and visit.extra % 2:
            del row["dateTo"]
        if not skill and visit.extra & 4:
            del row["skillName"]
        if visit.extra & 8:
            del row["count"]
        if visit.extra & 16:
            row["contact"] = {"id": visit.extra, "tags": ["a", None, {"dateFrom": "never"}]}
        return row

    @staticmethod
    def _buckets(reported, begin, end, rng):
        sums = {}
        for agent, visit, state, skill, start, _ in reported:
            if begin <= start < end:
                key = (agent.id, state, skill)
                sums[key] = (agent, visit, state, skill, sums[key][4] + 1 if key in sums else 1)
        rows = [
            {
                "userId": agent.id,
                "userName": agent.name,
                "stateName": state,
                "skillName": skill,
                "count": count,
                "dateFrom": utc_text(begin),
                "dateTo": utc_text(end),
            }
            for agent, _, state, skill, count in sums.values()
        ]
        rng.shuffle(rows)
        return rows


def bad_row(agent, begin, end, rng):
    """An invalid row, which must change nothing."""
    row = {
        "userId": agent.id,
        "userName": agent.name,
        "stateName": "Nonsense",
        "skillName": "Nonsense",
        "count": 1,
        "dateFrom": utc_text(begin + 1),
        "dateTo": utc_text(end),
    }
    return rng.choice(
        (
            {**row, "dateFrom": utc_text(end - 1), "dateTo": utc_text(begin)},
            {**row, "dateFrom": begin + 1},
            {**row, "dateFrom": "yesterday"},
            {**row, "dateTo": 17},
            {**row, "count": -1},
            {**row, "count": 1.5},
            {key: value for key, value in row.items() if key != "userId"},
            {**row, "stateName": ""},
            {key: value for key, value in row.items() if key != "dateFrom"},
            ["no", "object"],
            42,
            None,
        )
    )
