"""Checks the compose files: what they mount is there, and each mounted configuration is right. Needs PyYAML, promtool and amtool."""

import json
import pathlib
import subprocess

import yaml

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "deploy/compose"
# Beside compose.tenant.yml only once the user has put them there.
FROM_THE_USER = {"tenant"}


def services(name):
    return yaml.safe_load((FOLDER / name).read_text())


def check_mounts(document):
    volumes = set(document.get("volumes") or {})
    for name, service in document["services"].items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                path = (FOLDER / source).resolve()
                assert path.exists() or path.name in FROM_THE_USER, f"{name}: {source} is not there"
            else:
                assert source in volumes, f"{name}: the volume {source} is not declared"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is open to everybody"


def quietly(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    compose, tenant = services("compose.yml"), services("compose.tenant.yml")
    check_mounts(compose)
    check_mounts(tenant)
    assert set(tenant["services"]) <= set(compose["services"])
    prometheus = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    [job] = prometheus["scrape_configs"]
    host, port = job["static_configs"][0]["targets"][0].split(":")
    assert host in compose["services"] and any(listened.endswith(f":{port}") for listened in compose["services"][host]["ports"])
    # The paths are those in the container.
    mounted = dict(reversed(mount.split(":")[:2]) for mount in compose["services"]["prometheus"]["volumes"])
    ours = sorted(path.name for path in (FOLDER / "../../alerts").glob("*.rules.yml"))
    assert ours and sorted(prometheus["rule_files"]) == ours, f"{prometheus['rule_files']} are not all of alerts/*.rules.yml"
    for rules in prometheus["rule_files"]:
        quietly("promtool", "check", "rules", str(FOLDER / mounted[f"/etc/prometheus/{rules}"]))
    quietly("promtool", "check", "config", "--syntax-only", str(FOLDER / "prometheus.yml"))
    alertmanager = dict(reversed(mount.split(":")[:2]) for mount in compose["services"]["alertmanager"]["volumes"])
    quietly("amtool", "check-config", str(FOLDER / alertmanager["/etc/alertmanager/alertmanager.yml"]))
    [source] = yaml.safe_load((FOLDER / "grafana/datasource.yml").read_text())["datasources"]
    assert source["type"] == "prometheus" and source["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((FOLDER / "grafana/dashboards.yml").read_text())["providers"]
    assert any(mount.endswith(f":{provider['options']['path']}:ro") for mount in compose["services"]["grafana"]["volumes"])
    assert "../../dashboards:/dashboards:ro" in compose["services"]["grafana"]["volumes"], "not the whole folder of dashboards"
    assert [json.loads(path.read_text())["uid"] for path in (FOLDER / "../../dashboards").glob("*.json")]
    print("mounts, ports, and the configurations of Prometheus, Alertmanager and Grafana")
