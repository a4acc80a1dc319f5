"""Renders the Helm chart as users would, and checks what comes out; the configurations by the exporter itself: chart.py EXPORTER.

Needs helm, kubernetes-validate and PyYAML; promtool for the rules."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/cxone-exporter"
KUBERNETES = ["1.25", "1.31"]
SECRETS = "/etc/cxone-exporter/secrets/"
README = (CHART / "README.md").read_text()
# Every block of YAML in the chart's README. The first two are whole, one for each dialect; the others add to them.
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.S)]
REPORTS, PLATFORM = EXAMPLES[0], EXAMPLES[1]
EVERYTHING = {
    "serviceMonitor": {"enabled": True, "tenant": "acme", "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "runbookBase": "https://git.example.org/cxone-exporter/"},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "webConfig": {"tls_server_config": {"cert_file": SECRETS + "tls.crt", "key_file": SECRETS + "tls.key"}},
    "image": {"digest": "sha256:" + "0" * 64},
    "fullnameOverride": "floor",
    "commonLabels": {"team": "contact-centre", "app.kubernetes.io/managed-by": "somebody else"},
    "extraArgs": ["--log.format=json"],
    "extraEnv": [{"name": "NO_PROXY", "value": "10.0.0.0/8"}],
    "extraVolumes": [{"name": "more", "configMap": {"name": "more"}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "imagePullSecrets": [{"name": "registry"}],
    "persistence": {"storageClass": "fast"},
    "service": {"port": 9999, "annotations": {"e": "f"}},
    "serviceAccount": {"create": True, "annotations": {"g": "h"}},
    "resources": {"limits": {"memory": "1Gi"}},
}


def helm(*arguments):
    return subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False)


def template(values, release="acme"):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return helm("template", release, str(CHART), "--namespace", "cxone", "--values", file.name)


def rendered(*parts, **options):
    """The objects by kind and name, of values of which later ones win."""
    values = {}
    for part in parts:
        values.update(part)
    done = template(values, **options)
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    for document in documents:
        if not document["apiVersion"].startswith("monitoring.coreos.com/"):
            for version in KUBERNETES:
                kubernetes_validate.validate(document, version, strict=True)
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def only(documents, kind):
    [found] = [document for (of, _), document in documents.items() if of == kind]
    return found


def pod_of(documents):
    return only(documents, "StatefulSet")["spec"]["template"]["spec"]


def configuration_of(documents):
    [text] = [document["data"]["cxone-exporter.yml"] for document in documents.values() if "cxone-exporter.yml" in document.get("data", {})]
    return text


def check_the_configuration(exporter, documents):
    """As the test pod does, with the same variables and the Secret's files."""
    variables = {one["name"]: one.get("value", "s3cret") for one in pod_of(documents)["containers"][0].get("env", [])}
    arguments = only(documents, "Pod")["spec"]["containers"][0]["args"]
    with tempfile.TemporaryDirectory() as folder:
        for secret in ("client-secret", "access-key-secret"):
            path = pathlib.Path(folder, secret)
            path.write_text("s3cret")
            path.chmod(0o600)
        file = pathlib.Path(folder, "cxone-exporter.yml")
        file.write_text(configuration_of(documents).replace(SECRETS, f"{folder}/"))
        command = [exporter, *(argument.replace("/etc/cxone-exporter/config", folder) for argument in arguments)]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "warning" not in done.stderr, (done.returncode, done.stdout + done.stderr, configuration_of(documents))


def check_defaults():
    documents = rendered(REPORTS)
    kinds = sorted(kind for kind, _ in documents)
    assert kinds == ["ConfigMap", "Pod", "PodDisruptionBudget", "Service", "StatefulSet"], kinds
    pod = pod_of(documents)
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]["runAsNonRoot"]
    assert container["image"].startswith("registry.example.org/cxone-exporter:")
    assert "volumes" in pod and only(documents, "StatefulSet")["spec"]["volumeClaimTemplates"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {"data", "configuration", "secrets"}, mounted
    exporter, test = (only(documents, kind)["spec"] for kind in ("Service", "Pod"))
    labels = only(documents, "Pod")["metadata"]["labels"]
    assert not exporter["selector"].items() <= labels.items(), "the Service takes the test for the exporter"
    assert test["containers"][1]["args"] == ["check", "--healthy=http://acme-cxone-exporter.cxone:10962"]


def check_that_the_configuration_is_the_users_alone(exporter):
    for values in (REPORTS, PLATFORM):
        documents = rendered(values)
        assert yaml.safe_load(configuration_of(documents)) == values["config"]
        check_the_configuration(exporter, documents)
    large = json.loads(json.dumps(PLATFORM))
    large["config"]["metrics"] = {"max_series": 10_000_000}
    check_the_configuration(exporter, rendered(large))
    for values in ({}, {"config": {}}, {"config": None}):
        done = template(values)
        assert done.returncode != 0 and "config is empty" in done.stderr, done.stderr


def check_the_examples(exporter):
    for example in EXAMPLES[2:]:
        for whole in (REPORTS, PLATFORM):
            documents = rendered(whole, example)
            if not example.get("existingSecret", "some"):
                assert "secrets" not in {volume["name"] for volume in pod_of(documents)["volumes"]}
                continue
            check_the_configuration(exporter, documents)
    [variable] = [example for example in EXAMPLES if "existingSecret" in example]
    values = json.loads(json.dumps(REPORTS))
    del values["config"]["api"]["client_secret_file"]
    check_the_configuration(exporter, rendered(values, variable))
    [openshift] = [example for example in EXAMPLES if "podSecurityContext" in example]
    context = pod_of(rendered(REPORTS, openshift))["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}, context


def check_everything():
    documents = rendered(REPORTS, EVERYTHING)
    stateful = only(documents, "StatefulSet")
    pod = pod_of(documents)
    [container] = pod["containers"]
    assert container["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert "--web.config.file=/etc/cxone-exporter/web/web.yml" in container["args"] and "--log.format=json" in container["args"]
    assert "--web.listen-address=:9999" in container["args"]
    assert only(documents, "ServiceMonitor")["spec"]["endpoints"][0]["scheme"] == "https"
    assert container["image"] == "cxone-exporter@sha256:" + "0" * 64
    assert container["env"] == EVERYTHING["extraEnv"]
    assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"] and EVERYTHING["extraVolumes"][0] in pod["volumes"]
    assert pod["serviceAccountName"] == only(documents, "ServiceAccount")["metadata"]["name"] == "floor"
    for key in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "imagePullSecrets"):
        assert pod[key] == EVERYTHING[key], key
    for (kind, name), document in documents.items():
        labels = document["metadata"]["labels"]
        assert name.startswith("floor") and labels["team"] == "contact-centre", (kind, name, labels)
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
    labels = stateful["spec"]["template"]["metadata"]["labels"]
    assert labels["c"] == "d" and labels["team"] == "contact-centre"
    assert stateful["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert [test["name"] for test in only(documents, "Pod")["spec"]["containers"]] == ["configuration"]
    tests = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "cxone-exporter-test", "app.kubernetes.io/instance": "acme"}}}
    assert tests in only(documents, "NetworkPolicy")["spec"]["ingress"][0]["from"]
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


def check_the_paths():
    for arguments, prefix, metrics in (
        ([], "", "/metrics"),
        (["--web.external-url=https://example.org/cxone/"], "/cxone", "/cxone/metrics"),
        (["--log.format=json", "--web.external-url", "/a/b"], "/a/b", "/a/b/metrics"),
        (["--web.external-url=https://example.org:8443/"], "", "/metrics"),
        (["--web.external-url=https://example.org/cxone/", "--web.route-prefix=/"], "", "/metrics"),
        (["--web.route-prefix=tenants/acme/", "--web.telemetry-path=/m"], "/tenants/acme", "/tenants/acme/m"),
    ):
        documents = rendered(REPORTS, {"extraArgs": arguments, "serviceMonitor": {"enabled": True}})
        [container] = pod_of(documents)["containers"]
        paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert paths == {f"{prefix}/-/healthy"}, (arguments, paths)
        asked = only(documents, "Pod")["spec"]["containers"][1]["args"][1]
        assert asked == f"--healthy=http://acme-cxone-exporter.cxone:10962{prefix}", (arguments, asked)
        path = only(documents, "ServiceMonitor")["spec"]["endpoints"][0]["path"]
        assert path == metrics, (arguments, path)


def check_volumes():
    documents = rendered(REPORTS, {"persistence": {"enabled": False}, "podDisruptionBudget": {"enabled": False}})
    assert "volumeClaimTemplates" not in only(documents, "StatefulSet")["spec"]
    assert {"name": "data", "emptyDir": {}} in pod_of(documents)["volumes"]
    assert "PodDisruptionBudget" not in {kind for kind, _ in documents}
    documents = rendered(REPORTS, {"persistence": {"existingClaim": "old"}})
    assert "volumeClaimTemplates" not in only(documents, "StatefulSet")["spec"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "old"}} in pod_of(documents)["volumes"]


def check_names():
    def name(release="acme", **values):
        return only(rendered(REPORTS, values, release=release), "StatefulSet")["metadata"]["name"]

    assert name() == "acme-cxone-exporter" and name("cxone-exporter") == "cxone-exporter"
    assert name(nameOverride="states") == "acme-states" and name(fullnameOverride="states") == "states"


def keys(values, prefix=""):
    """Every key of the chart's own; what Kubernetes says goes into the others."""
    for key, value in values.items():
        yield prefix + key
        if not prefix and isinstance(value, dict) and key not in ("resources", "podSecurityContext", "securityContext"):
            yield from keys(value, f"{key}.")


def check_the_schema():
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = set()
    for key, of in schema["properties"].items():
        known |= {key, *(f"{key}.{inner}" for inner in of.get("properties", {}))}
    ours = {key for key in keys(defaults) if key != "dashboards.labels.grafana_dashboard"}
    assert known - {"global"} == ours, known.symmetric_difference(ours)
    rows = " ".join(re.findall(r"^\| (`[^|]*`) \|", README, re.M))
    assert set(re.findall(r"`([^`]+)`", rows)) == set(defaults), set(re.findall(r"`([^`]+)`", rows)).symmetric_difference(defaults)
    for wrong in ({"extraEnvs": []}, {"image": {"digset": "x"}}, {"service": {"port": "x"}}, {"image": {"digest": "latest"}}, {"config": []}):
        done = template({**REPORTS, **wrong})
        assert done.returncode != 0 and next(iter(wrong)) in done.stderr, (wrong, done.stderr)


if __name__ == "__main__":
    [program] = sys.argv[1:]
    program = str(pathlib.Path(program).resolve())
    for values in ({}, REPORTS, PLATFORM):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(values, file)
            file.flush()
            done = helm("lint", "--strict", str(CHART), "--values", file.name)
            assert done.returncode == 0, done.stdout + done.stderr
    check_defaults()
    check_that_the_configuration_is_the_users_alone(program)
    check_the_examples(program)
    check_everything()
    check_the_paths()
    check_volumes()
    check_names()
    check_the_schema()
    print("lint, schema, README, the configurations by the exporter, Kubernetes", " and ".join(KUBERNETES))
