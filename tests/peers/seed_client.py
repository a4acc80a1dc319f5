#!/usr/bin/env python3
"""The calls of the document that the project started from, one after the other: token, submit, poll, print.

    seed_client.py BASE_URL CLIENT_ID USER_ID [--hours 24]     the secret comes from CXONE_CLIENT_SECRET

Its purpose is to try a simulated API with a client that shares no code with the exporter. Python's standard library only.
"""

import argparse
import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

TRIES = 30
PAUSE_S = 2


class Failure(Exception):
    """An error message for the user."""


def call(request, meanings):
    """The JSON answer to a request; `meanings` gives words for the HTTP statuses that have one here."""
    try:
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except HTTPError as error:
        text = error.read().decode("utf-8", "replace")[:300]
        raise Failure(f"{error.code}: {meanings.get(error.code, text)}") from error


def token_of(base, client_id, secret):
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    request = Request(f"{base}/oauth/token", urlencode(form).encode())
    return call(request, {401: "client id or secret is wrong", 403: "the client lacks a permission or is disabled"})["access_token"]


def submit(base, token, user, begin, end):
    query = {
        "reportType": "agent-state-history",
        "dateFrom": begin.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "dateTo": end.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "filter": {"type": "user", "id": user},
        "groupBy": ["userId", "stateName", "skillName"],
        "metrics": ["count"],
    }
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    meanings = {401: "the token is not accepted", 403: "the scope reports:read is missing", 429: "too many report jobs"}
    job = call(Request(f"{base}/api/v2/reports", json.dumps(query).encode(), headers), meanings).get("id")
    if not job:
        raise Failure("the answer to the submit has no job id")
    return job


def rows_of(base, token, job):
    request = Request(f"{base}/api/v2/reports/{job}", headers={"Authorization": f"Bearer {token}"})
    for _ in range(TRIES):
        try:
            report = call(request, {404: f"job {job} is gone"})
        except Failure as failure:
            if not str(failure).startswith("429"):
                raise
            time.sleep(2 * PAUSE_S)
            continue
        status = report.get("status")
        if status == "COMPLETED":
            return report.get("data", [])
        if status == "FAILED":
            raise Failure(f"the job failed: {report.get('errorMessage', 'no reason given')}")
        if status not in ("PENDING", "RUNNING"):
            raise Failure(f"unknown status {status!r}")
        time.sleep(PAUSE_S)
    raise Failure(f"job {job} was not ready after {TRIES * PAUSE_S} s")


def main():
    parser = argparse.ArgumentParser(description="Fetch one agent's state history: token, submit, poll, print.")
    parser.add_argument("base")
    parser.add_argument("client_id")
    parser.add_argument("user")
    parser.add_argument("--hours", type=float, default=24)
    options = parser.parse_args()
    end = datetime.now(timezone.utc)
    try:
        token = token_of(options.base, options.client_id, os.environ.get("CXONE_CLIENT_SECRET", ""))
        job = submit(options.base, token, options.user, end - timedelta(hours=options.hours), end)
        rows = rows_of(options.base, token, job)
    except (Failure, OSError, ValueError) as error:
        sys.exit(f"seed_client: {error}")
    for row in rows:
        print(json.dumps(row, ensure_ascii=False))
    print(f"{len(rows)} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
