#!/usr/bin/env python3
"""Third-party clients of the platform API against `cxone-exporter simulate`.

NicePy 1.0.0 signs in with the password grant, discovers the API and lists the agents' states and the agents;
tap-nice-incontact 0.3.1 signs in with the access key alone and reads the states. Both come from PyPI as they are and
speak to CXone's host names over TLS: a certificate authority made for this run, a proxy on loopback that ends TLS,
and a resolver that knows these names and no others. Nothing leaves the machine but pip's downloads.
"""

import argparse
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

KEY, SECRET = "simulated-key", "simulated-key-secret=="
CLIENT, CLIENT_SECRET = "simulated-client", "simulated-secret"
HOSTS = ["cxone.niceincontact.com", "na1.nice-incontact.com", "api-na1.nice-incontact.com"]

# Python runs this before a client does anything. Requests to port 443 of the hosts go to the proxy, all others nowhere.
RESOLVER = """
import socket

HOSTS, PORT = {hosts!r}, {port}
real = socket.getaddrinfo

def getaddrinfo(host, port, *rest, **named):
    name = host.decode() if isinstance(host, bytes) else host
    if name not in HOSTS or port != 443:
        raise socket.gaierror(socket.EAI_NONAME, f"{{name}}:{{port}} must not be resolved")
    return real("127.0.0.1", PORT, *rest, **named)

socket.getaddrinfo = getaddrinfo
"""

NICEPY = """
import json, NicePy
states = NicePy.Agents.GetAgentStates()
agents = NicePy.Agents.GetAgents()
print(json.dumps({"api": NicePy.Connection.GetTokenInfo()["api_endpoint"], "states": states, "agents": agents}))
"""

TAP = """
import json, logging
from tap_nice_incontact.client import NiceInContactClient
client = NiceInContactClient(api_key={key!r}, api_secret={secret!r}, api_cluster="na1", user_agent="test")
print(json.dumps({{"states": client.get("agents/states")["agentStates"]}}))
"""


class Proxy(BaseHTTPRequestHandler):
    """Forwards a request unchanged, and adds that it came over TLS."""

    protocol_version = "HTTP/1.1"
    simulator = None
    seen = []

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append(f"{self.command} {self.headers['Host']}{self.path}")
        connection = HTTPConnection("127.0.0.1", self.simulator, timeout=10)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "connection":
                connection.putheader(name, value)
        connection.putheader("X-Forwarded-Proto", "https")
        connection.endheaders(body or None)
        answer = connection.getresponse()
        text = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        connection.close()

    do_GET = do_POST = forward

    def log_message(self, *arguments):
        pass


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificates(folder):
    """A certificate authority, and a certificate of it for the hosts: the paths of both."""
    authority, key = folder / "authority.pem", folder / "authority.key"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority",
            "-addext", "keyUsage=critical,keyCertSign", "-keyout", key, "-out", authority)
    request, host_key, host = folder / "host.csr", folder / "host.key", folder / "host.pem"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOSTS[0]}", "-keyout", host_key, "-out", request)
    names = folder / "names"
    names.write_text("subjectAltName=" + ",".join(f"DNS:{host}" for host in HOSTS))
    openssl("x509", "-req", "-in", request, "-CA", authority, "-CAkey", key, "-CAcreateserial", "-days", "2",
            "-extfile", names, "-out", host)
    return authority, host, host_key


def start_proxy(simulator, certificate, key):
    Proxy.simulator = simulator
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def start_simulator(exporter):
    """The process, and its port."""
    arguments = [exporter, "simulate", "--web.listen-address", "127.0.0.1:0", "--agents", "60"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("address:"):
            port = int(line.rsplit(":", 1)[1])
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, port
    sys.exit("the simulator did not start")


def environment(folder, package):
    """The Python of a virtual environment with `package` in it; made once."""
    place = folder / package.replace("==", "-")
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", place], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], check=True)
        (place / "ready").touch()
    return python


def run(python, code, folder, authority):
    variables = {**os.environ, "PYTHONPATH": str(folder), "REQUESTS_CA_BUNDLE": str(authority)}
    done = subprocess.run([python, "-c", code], cwd=folder, env=variables, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"the client failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def live(port):
    """The simulator's current states, without any client."""
    base = f"http://127.0.0.1:{port}"
    body = json.dumps({"accessKeyId": KEY, "accessKeySecret": SECRET}).encode()
    ask = Request(f"{base}/authentication/v1/token/access-key", body, {"Content-Type": "application/json"})
    token = json.load(urlopen(ask, timeout=10))["access_token"]
    states = Request(f"{base}/incontactapi/services/v30.0/agents/states", headers={"Authorization": f"Bearer {token}"})
    return json.load(urlopen(states, timeout=10))["agentStates"]


def identity(row):
    return row["agentId"], row["agentStateId"], row["startDate"]


def compare(name, reported, before, after):
    """Every row is as before or after the client's request, and no agent is missing."""
    known = {identity(row) for row in before + after}
    wrong = [row for row in reported if identity(row) not in known]
    missing = {row["agentId"] for row in before if row in after} - {row["agentId"] for row in reported}
    if wrong or missing or not reported:
        sys.exit(f"{name}: wrong {wrong}, missing {sorted(missing)}, of {len(reported)}")


def asked(name, wanted):
    """Takes the requests through the proxy, in order."""
    seen, Proxy.seen[:] = list(Proxy.seen), []
    print(f"{name}:", *seen, sep="\n    ")
    missing = [part for part in wanted if not any(part in line for line in seen)]
    if missing:
        sys.exit(f"{name} did not request {missing}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exporter", default="target/debug/cxone-exporter", help="the program under test")
    parser.add_argument("--environments", default="target/peers", type=Path, help="where the clients are installed")
    options = parser.parse_args()
    environments = options.environments.resolve()
    nicepy, tap = environment(environments, "NicePy==1.0.0"), environment(environments, "tap-nice-incontact==0.3.1")
    simulator, port = start_simulator(options.exporter)
    try:
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder), port, nicepy, tap)
    finally:
        simulator.terminate()
        simulator.wait()
    print("both clients read the correct states")


def check(folder, port, nicepy, tap):
    authority, certificate, key = certificates(folder)
    server = start_proxy(port, certificate, key)
    (folder / "sitecustomize.py").write_text(RESOLVER.format(hosts=HOSTS, port=server.server_address[1]))
    keys = {"client_id": CLIENT, "client_secret": CLIENT_SECRET, "username": KEY, "password": SECRET}
    (folder / "nicepy_config.json").write_text(json.dumps(keys))

    before = live(port)
    reported = run(nicepy, NICEPY, folder, authority)
    time.sleep(0.1)
    present = [[row for row in rows if row["agentStateName"] != "LoggedOut"] for rows in (before, live(port))]
    compare("NicePy", reported["states"], *present)
    if reported["api"] != f"https://{HOSTS[0]}" or len(reported["agents"]) != 60:
        sys.exit(f"NicePy: {reported['api']}, {len(reported['agents'])} agents")
    asked("NicePy 1.0.0", ["POST cxone.niceincontact.com/auth/token", "/.well-known/openid-configuration",
                           "/.well-known/cxone-configuration?tenantId=", "/agents/states"])

    before = live(port)
    reported = run(tap, TAP.format(key=KEY, secret=SECRET), folder, authority)
    compare("tap-nice-incontact", reported["states"], before, live(port))
    asked("tap-nice-incontact 0.3.1", ["POST na1.nice-incontact.com/authentication/v1/token/access-key",
                                       "GET api-na1.nice-incontact.com/inContactAPI/services/v21.0/agents/states"])
    server.shutdown()


if __name__ == "__main__":
    main()
