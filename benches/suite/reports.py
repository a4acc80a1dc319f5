"""Reports of a floor of any size: what each agent did in a window, as the Reporting API reports it."""

import random
from time import gmtime, strftime

# Twenty series an agent: three for each of these, the start of the state that it is in, and up to when it is known.
LABELS = (
    ("Available", "Sales"),
    ("InboundContact", "Support English"),
    ("InboundContact", "Billing"),
    ("Wrap-up", "Sales"),
    ("Lunch", ""),
    ("Break", ""),
)
SERIES_OF_AN_AGENT = 20
NOISE_MS = 5_000


class Floor:
    """Agents with ids independent of their order, distributed over targets."""

    def __init__(self, agents, targets):
        rng = random.Random(f"{agents} agents")
        self.targets = targets
        self.agents = []
        for place in range(agents):
            bits = f"{rng.getrandbits(128):032x}"
            identity = f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}"
            self.agents.append((f'{{"userId":"{identity}","userName":"Agent {place:05}"', rng.randrange(NOISE_MS)))

    def report(self, window, target=None, rows=len(LABELS)):
        """The body of a finished job: a number of rows of each agent of one target, or of all, one behind the other in the window."""
        begin, end = window
        step = (end - begin - 2 * NOISE_MS) // rows
        if step < 2:
            raise ValueError(f"a window of {end - begin} ms has no room for {rows} rows an agent")
        agents = self.agents if target is None else self.agents[target :: self.targets]
        iso, parts = IsoTimes(), []
        for agent, noise in agents:
            start = begin + 1 + noise
            for row in range(rows):
                state, skill = LABELS[row % len(LABELS)]
                # A little longer or shorter, so that no two numbers on the page are alike for no reason.
                until = begin + 1 + noise + (row + 1) * step + (noise * (row + 3)) % (step // 2 + 1)
                last = row + 1 == rows
                parts.append(
                    f'{agent},"stateName":"{state}","stateId":"state-{row % len(LABELS):03}","skillName":"{skill}","count":1,'
                    f'"dateFrom":"{iso.text(start)}"' + ("}" if last else f',"dateTo":"{iso.text(until)}"}}')
                )
                start = until
        return ('{"id":"job","status":"COMPLETED","data":[' + ",".join(parts) + "]}").encode()


class IsoTimes:
    """Milliseconds as the API writes them; each second is worked out once."""

    def __init__(self):
        self.seconds = {}

    def text(self, millis):
        second, rest = divmod(millis, 1000)
        if second not in self.seconds:
            self.seconds[second] = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self.seconds[second]}.{rest:03}Z"
