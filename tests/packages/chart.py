"""Renders the Helm chart as users would and checks what comes out. Needs helm, kubernetes-validate and PyYAML; promtool for the rules."""

import json
import pathlib
import subprocess
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/cxone-exporter"
KUBERNETES = ["1.25", "1.31"]
EVERYTHING = {
    "serviceMonitor": {"enabled": True, "tenant": "acme", "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "runbookBase": "https://git.example.org/cxone-exporter/"},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "webConfig": {"tls_server_config": {"cert_file": "/etc/cxone-exporter/secrets/tls.crt", "key_file": "/etc/cxone-exporter/secrets/tls.key"}},
    "extraArgs": ["--log.format=json"],
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "registry"}],
    "persistence": {"storageClass": "fast"},
}


def helm(*arguments):
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        text = helm("template", "acme", str(CHART), "--namespace", "cxone", "--values", file.name)
    documents = [document for document in yaml.safe_load_all(text) if document]
    for document in documents:
        if not document["apiVersion"].startswith("monitoring.coreos.com/"):
            for version in KUBERNETES:
                kubernetes_validate.validate(document, version, strict=True)
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def only(documents, kind):
    [found] = [document for (of, _), document in documents.items() if of == kind]
    return found


def check_defaults():
    documents = rendered({})
    kinds = sorted(kind for kind, _ in documents)
    assert kinds == ["ConfigMap", "PodDisruptionBudget", "Service", "StatefulSet"], kinds
    pod = only(documents, "StatefulSet")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]["runAsNonRoot"]
    assert "volumes" in pod and only(documents, "StatefulSet")["spec"]["volumeClaimTemplates"]
    configuration = yaml.safe_load(only(documents, "ConfigMap")["data"]["cxone-exporter.yml"])
    assert configuration["api"]["client_secret_file"].startswith("/etc/cxone-exporter/secrets/")
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {"data", "configuration", "secrets"}, mounted


def check_everything():
    documents = rendered(EVERYTHING)
    pod = only(documents, "StatefulSet")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert "--web.config.file=/etc/cxone-exporter/web/web.yml" in container["args"] and "--log.format=json" in container["args"]
    assert only(documents, "ServiceMonitor")["spec"]["endpoints"][0]["scheme"] == "https"
    dashboards = {path.name: json.loads(path.read_text()) for path in (ROOT / "dashboards").glob("*.json")}
    shown = {}
    for (kind, _), document in documents.items():
        if kind == "ConfigMap":
            shown.update({name: json.loads(text) for name, text in document["data"].items() if name.endswith(".json")})
    assert shown == dashboards and dashboards
    rules = only(documents, "PrometheusRule")["spec"]
    ours = [group["name"] for path in sorted((ROOT / "alerts").glob("*.rules.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    assert ours and sorted(group["name"] for group in rules["groups"]) == sorted(ours), "the chart has not all of alerts/*.rules.yml"
    runbooks = [rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert runbooks and all(url.startswith("https://git.example.org/cxone-exporter/docs/runbooks/") for url in runbooks)
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": rules["groups"]}, file)
        file.flush()
        subprocess.run(["promtool", "check", "rules", file.name], check=True, stdout=subprocess.DEVNULL)


def check_without_a_volume():
    documents = rendered({"persistence": {"enabled": False}, "podDisruptionBudget": {"enabled": False}})
    stateful = only(documents, "StatefulSet")["spec"]
    assert "volumeClaimTemplates" not in stateful
    assert {"name": "data", "emptyDir": {}} in stateful["template"]["spec"]["volumes"]
    assert "PodDisruptionBudget" not in {kind for kind, _ in documents}


if __name__ == "__main__":
    helm("lint", "--strict", str(CHART))
    check_defaults()
    check_everything()
    check_without_a_volume()
    print("lint, three sets of values, Kubernetes", " and ".join(KUBERNETES))
