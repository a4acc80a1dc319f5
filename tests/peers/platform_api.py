"""The platform API with agents whose true history is known, and with faults on request. Python's standard library only.

Written from NICE's public documentation alone, so that it can contradict the exporter's own simulator; it shares agents, tokens and faults
with `cxone_api.py`.
"""

import base64
import json
import random
import time
from collections import deque
from urllib.parse import parse_qs, parse_qsl, urlsplit

import cxone_api
from cxone_api import WINDOW_S, now_ms
from cxone_floor import BREAKS, WRAP_UP_NAMES, Floor, utc_text

TENANT = "7d1c9c5e-0000-4000-8000-000000000017"
BASE = "/incontactapi/services/v30.0"
KEY_ID = "ACCESSKEY=="
PAGE = 40
STATES = {"Logout": (0, "LoggedOut"), "Ready": (1, "Available"), "Inbound Call": (3, "InboundContact"), "Login": (8, "LoggedIn")}
CODES = {name: 100 + place for place, name in enumerate((*BREAKS, *WRAP_UP_NAMES))}


def label(state):
    """What a state of the floor counts as."""
    if state in WRAP_UP_NAMES:
        return "Wrap-up"
    return "Unavailable" if state in BREAKS else STATES[state][1]


class PlatformFloor(Floor):
    """The same agents as the platform knows them: each in one state at a time, on one skill at most, with a number as id."""

    def __init__(self, options, now):
        super().__init__(options, now)
        for place, agent in enumerate(self.agents):
            agent.id = str(300_001 + place)

    def _go_on(self, agent):
        super()._go_on(agent)
        visit, before = agent.visits[-1], agent.visits[-9:-1]
        visit.skills, visit.revisions = visit.skills[:1], visit.revisions[:1]
        # Two visits with the same start, state and skill could not be distinguished.
        if any((one.start, label(one.state), one.skills) == (visit.start, label(visit.state), visit.skills) for one in before):
            before[-1].end += 1
            visit.start += 1
            visit.end += 1
            agent.until += 1
        # After a logout an agent is logged out until the next login.
        agent.until = visit.end

    def truth(self, begin, end, agent_id=None):
        """As of the floor, by the platform's names."""
        answer = super().truth(begin, end, agent_id)
        for reported in answer.values():
            sums = {}
            for one in reported["sums"]:
                key = (label(one["state"]), one["skill"])
                old = sums.get(key, (0, 0))
                sums[key] = (old[0] + one["entries"], old[1] + one["millis"])
            reported["sums"] = [{"state": s, "skill": k, "entries": e, "millis": m} for (s, k), (e, m) in sorted(sums.items())]
            for one in reported["current"]:
                one["state"] = label(one["state"])
        return answer

    def past(self, agents, begin, end, asked):
        """The rows of the visits that touch [begin, end), as they are known at `asked`, in an order into which only new ones come."""
        truthful = self.truthful_from is not None and asked >= self.truthful_from
        rows = []
        for place, agent in agents:
            for index, visit in enumerate(self.history(agent, max(end, asked))):
                if visit.start >= end or visit.start > asked:
                    break
                skill = visit.skills[0] if visit.skills else ""
                reported = self._reported(visit, skill, visit.revisions[0], asked, truthful)
                if reported is None or (reported[3] is not None and reported[3] < begin):
                    continue
                state, _, start, stop = reported
                rows.append(((start, place, index, 0), self._past_row(agent, index, state, skill, start, stop, visit.extra)))
                # Pages continue by position, so repeated and invalid rows keep theirs.
                if visit.extra % 1000 < 1000 * self.options.repeated:
                    rows.append(((start, place, index, 1), rows[-1][1]))
                if visit.extra // 1000 % 1000 < 1000 * self.options.bad_rows:
                    rows.append(((start, place, index, 2), bad_row(agent, start, random.Random(visit.extra))))
        rows.sort(key=lambda row: row[0])
        return [row for _, row in rows]

    @staticmethod
    def _past_row(agent, index, state, skill, start, stop, extra):
        millis = None if stop is None else stop - start
        minutes, rest = divmod(millis or 0, 60_000)
        text = f"PT{minutes}M{rest / 1000:.3f}S" if minutes else f"PT{rest / 1000:.3f}S"
        row = {
            "agentSessionId": 4_000_000 + extra % 7,
            "stateIndex": index,
            "agentId": int(agent.id),
            "startDate": utc_text(start),
            **state_fields(state, skill, extra),
            "duration": None if stop is None else (text if extra % 3 else millis / 1000),
        }
        if stop is None and extra % 2:
            del row["duration"]
        return row

    def now(self, agents, asked):
        """(since, row) of where each agent is in the millisecond before `asked`."""
        rows = []
        for _, agent in agents:
            visit = next(one for one in reversed(self.history(agent, asked)) if one.start < asked <= one.end)
            row = {
                "agentId": int(agent.id),
                "firstName": "Agent",
                "lastName": agent.name,
                "teamId": 1,
                "teamName": agent.team,
                "startDate": utc_text(visit.start),
                "isACW": visit.state in WRAP_UP_NAMES,
                **state_fields(visit.state, visit.skills[0] if visit.skills else "", visit.extra),
            }
            rows.append((visit.start, row))
        return rows


def state_fields(state, skill, extra):
    """What live rows and history rows have in common."""
    number, name = STATES.get(state, (2, "Unavailable"))
    fields = {"agentStateId": number, "agentStateName": name if extra % 4 else None, "skillId": 1 if skill else None, "skillName": skill or None}
    if state in CODES:
        fields |= {"outStateId": CODES[state], "outStateDescription": state}
    elif extra % 2:
        fields["outStateId"] = 0
    return fields


def bad_row(agent, begin, rng):
    """An invalid row of the history, which must change nothing."""
    row = {"agentId": int(agent.id), "agentStateId": 1, "agentStateName": "Nonsense", "startDate": utc_text(begin + 1), "duration": 1}
    return rng.choice(
        (
            {**row, "startDate": "yesterday"},
            {**row, "startDate": None},
            {**row, "duration": "long"},
            {**row, "duration": -1},
            {**row, "agentId": None},
            {**row, "agentStateId": 4711, "agentStateName": ""},
            ["no", "object"],
            42,
            None,
        )
    )


def dressed(answer, rng):
    """The same with keys in another case, or numbers and booleans as strings."""
    keys = rng.choice((str, str, str.lower, lambda key: key[:1].upper() + key[1:]))
    strings = rng.random() < 0.3

    def dress(value):
        if isinstance(value, dict):
            return {keys(key): dress(one) for key, one in value.items()}
        if isinstance(value, list):
            return [dress(one) for one in value]
        return str(value) if strings and isinstance(value, (bool, int, float)) else value

    return dress(answer)


class Tenant(cxone_api.Tenant):
    """Everything behind the handlers. All requests count, those for tokens and discovery too."""

    def __init__(self, options):
        super().__init__(options)
        self.floor = PlatformFloor(options, now_ms())
        self.asked = deque()

    def note_request(self, what):
        with self.lock:
            now = time.monotonic()
            self.asked.append(now)
            while self.asked[0] <= now - WINDOW_S:
                self.asked.popleft()
            self.most_in_a_minute = max(self.most_in_a_minute, len(self.asked))
            self.stats[f"asked_{what}"] += 1

    def rng_of_request(self):
        with self.lock:
            return random.Random(self.rng.getrandbits(60))

    def codes(self):
        return [
            {"id": number, "name": name, "isActive": True, "isACW": name in WRAP_UP_NAMES, "agentTimeout": 60} for name, number in CODES.items()
        ]


class Handler(cxone_api.Handler):
    """The API itself."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.tenant.note_request("token")
        if self.path != "/auth/token":
            return self.give(404, {"error": "no such path"})
        return self.token(body)

    def refuse_token(self, form):
        options = self.tenant.options
        wanted = {
            "grant_type": "password",
            "username": KEY_ID,
            "password": options.client_secret,
            "client_id": options.client_id,
            "client_secret": options.client_secret,
        }
        return None if form == wanted else (401, {"error": "invalid_grant", "error_description": "wrong credentials"})

    def granted(self):
        claims = base64.urlsafe_b64encode(json.dumps({"tenantId": TENANT, "area": "na1"}).encode()).rstrip(b"=").decode()
        life = self.tenant.options.token_life
        return {"access_token": self.tenant.new_token(), "expires_in": life, "id_token": f"e30.{claims}.c2ln", "refresh_token": "refresh"}

    def give(self, status, answer, headers=()):
        if status not in (204, 304):
            return super().give(status, answer, headers)
        self.send_response(status)
        self.end_headers()

    def here(self):
        return f"http://{self.headers.get('Host', '')}"

    def do_GET(self):
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        if url.path.startswith("/__"):
            return self.control(url.path, parse_qs(url.query))
        path = url.path.removeprefix(BASE)
        self.tenant.note_request(path.rsplit("/", 1)[-1])
        if path == "/.well-known/openid-configuration":
            return self.fault() or self.give(200, {"token_endpoint": self.here() + "/auth/token", "issuer": self.here()})
        if path == "/.well-known/cxone-configuration":
            known = query.get("tenantId") == TENANT
            return self.fault() or self.give(*((200, {"api_endpoint": self.here(), "area": "na1"}) if known else (404, {})))
        if not self.authorized() or self.fault():
            return None
        return self.read(path, query, self.tenant.rng_of_request())

    def read(self, path, query, rng):
        """A call of the API, by who may make it."""
        floor, asked = self.tenant.floor, now_ms()
        everyone = list(enumerate(floor.agents))
        if path == "/unavailable-codes":
            return self.page("unavailableCodes", self.tenant.codes(), query, rng)
        if path == "/skills/activity":
            return self.page("skillActivity", [{"skillId": 1, "skillName": "Billing", "queueCount": 2, "agentsACW": 0}], query, rng)
        if path == "/agents/states":
            since = cxone_api.parse_date(query["updatedSince"]) if "updatedSince" in query else 0
            rows = [row for start, row in floor.now(everyone, asked) if start >= since]
            if not rows and rng.random() < 0.5:
                return self.give(304, b"")
            return self.page("agentStates", rows, query, rng, {"lastPollTime": utc_text(asked)})
        agent = path.removeprefix("/agents/").removesuffix("/state-history")
        some = [(place, one) for place, one in everyone if one.id == agent]
        if path == "/agents/state-history" or some:
            return self.history(some or everyone, query, asked, rng)
        return self.give(404, {"error": "no such path"})

    def history(self, agents, query, asked, rng):
        begin, end = cxone_api.parse_date(query.get("startDate")), cxone_api.parse_date(query.get("endDate"))
        if begin is None or end is None or begin >= end:
            self.tenant.count("refused_422")
            return self.give(400, {"error": "dates"})
        rows = self.tenant.floor.past(agents, begin, end, asked)
        return self.page("agentStateHistory", rows, query, rng)

    def page(self, name, rows, query, rng, beside=None):
        """The rows from `skip` on, a random number of them, sometimes with a link to what follows."""
        tenant, skip = self.tenant, int(query.get("skip", 0))
        most = min(PAGE, int(query.get("top", PAGE)))
        page = rows[skip : skip + rng.randint(max(1, most // 4), most)]
        if not page and rng.random() < 0.5:
            return self.give(204, b"")
        more = skip + len(page) < len(rows)
        tenant.count_rows(len(page))
        answer = {"businessUnitId": 1, name: page, **(beside or {})}
        # The history may have no link to what follows.
        reported = rng.randrange(4) if name == "agentStateHistory" else rng.randrange(3)
        if reported in (0, 1):
            answer["_links"] = {"self": "x", "next": "https://elsewhere.example/" if more else None}
        if reported in (0, 2):
            answer["totalRecords"] = len(rows)
        return self.give(200, dressed(answer, rng))
