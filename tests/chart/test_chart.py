"""The chart: linted and rendered with Helm 3 and 4, compared with golden files (`UPDATE_GOLDEN=1` rewrites them)."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from kubelambda.api.settings import Settings
from kubelambda.autoscaler.scaling_metrics import ScalingMetrics
from kubelambda.events.event_metrics import EventMetrics
from kubelambda.frontend.dispatch.metrics import Metrics
from kubelambda.pollers.poller_metrics import PollerMetrics

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "charts" / "kubelambda"
GOLDEN = Path(__file__).parent / "golden"
BINARIES = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kubelambda" / "bin"
KEY = "key.existingSecret=golden"
NAME = re.compile(r"kubelambda_[a-z_]+")
ENDS = ("", "_total", "_bucket")

EVERYTHING = (
    "metrics.serviceMonitor.enabled=true",
    "metrics.dashboards.enabled=true",
    "metrics.rules.enabled=true",
    "pools.forecast=true",
    "frontend.public=false",
    "metrics.rules.labels.release=kube-prometheus-stack",
    "metrics.serviceMonitor.labels.release=kube-prometheus-stack",
    "codeStore.persistence.enabled=false",
    "environments.runtimeClassName=gvisor",
    "environments.userNamespaces=true",
    "endpointDomain=lambda.example.com",
    "functionUrls.domain=example.com",
    "functionUrls.scheme=https",
    "functionUrls.proxies=1",
    "functionUrls.ingress.enabled=true",
    "functionUrls.ingress.className=nginx",
    "functionUrls.ingress.tlsSecret=function-urls",
    "functionUrls.ingress.annotations.nginx\\.ingress\\.kubernetes\\.io/proxy-body-size=6m",
    "image.pullSecrets={registry}",
    "operator.nodeSelector.disk=fast",
    "autoscaling.prometheus.url=https://prometheus.monitoring.svc:9090",
    "autoscaling.prometheus.existingSecret=prometheus-access",
    "autoscaling.prometheus.tokenKey=token",
    "autoscaling.prometheus.caKey=ca.crt",
    "runtimes.provided\\.al2023.enabled=false",
)


def helm(*arguments: str, program: str = "helm") -> subprocess.CompletedProcess[str]:
    """Runs one of the two Helms."""
    return subprocess.run([BINARIES / program, *arguments], capture_output=True, text=True, check=False)


def render(*values: str, program: str = "helm") -> str:
    """The chart with `values`, as for a recent Kubernetes."""
    sets = [argument for value in values for argument in ("--set", value)]
    command = ["template", "kubelambda", str(CHART), "--namespace", "kubelambda-system", "--kube-version", "1.36.0"]
    finished = helm(*command, *sets, program=program)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def manifests(text: str) -> list[dict[str, Any]]:
    """Rendered objects."""
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


@pytest.mark.parametrize("program", ["helm", "helm4"])
def test_the_chart_passes_lint(program: str) -> None:
    """Strictly, with both Helms."""
    finished = helm("lint", str(CHART), "--strict", "--kube-version", "1.36.0", program=program)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize(("name", "values"), [("default", (KEY,)), ("everything", (KEY, *EVERYTHING))])
def test_the_rendered_chart_is_the_golden_file(name: str, values: tuple[str, ...]) -> None:
    """A change of the output is a change that somebody reviews."""
    golden = GOLDEN / f"{name}.yaml"
    # A digest of what is in the file already would only make every change of a value a change of many lines.
    rendered = re.sub(r"(checksum/settings: )[0-9a-f]{64}", r"\1<sha256>", render(*values))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(rendered)
    assert rendered == golden.read_text()


def test_helm_4_renders_the_same_objects() -> None:
    """Whatever the order, the objects are equal."""

    def by_name(text: str) -> dict[tuple[str, str], Any]:
        return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests(text)}

    assert by_name(render(KEY, program="helm4")) == by_name(render(KEY))


@pytest.mark.parametrize("values", [(KEY,), (KEY, *EVERYTHING)])
def test_the_rendered_settings_are_what_our_processes_read(values: tuple[str, ...]) -> None:
    """The model accepts every field that the chart writes."""
    for manifest in manifests(render(*values)):
        if manifest["kind"] == "ConfigMap" and "settings.json" in manifest["data"]:
            Settings.model_validate_json(manifest["data"]["settings.json"])
            return
    pytest.fail("the chart renders no settings")


@pytest.mark.parametrize(("policy", "verbs"), [("true", ["get", "patch"]), ("false", ["get"])])
def test_claims_of_users_are_changed_only_under_the_admission_policy(policy: str, verbs: list[str]) -> None:
    """A role cannot say that only a finalizer may be changed; where nothing else does, there is no such right."""
    found = manifests(render(KEY, f"admissionPolicy.enabled={policy}"))
    rules = [rule for each in found if each["kind"] == "ClusterRole" for rule in each["rules"]]
    assert [rule["verbs"] for rule in rules if "persistentvolumeclaims" in rule["resources"]] == [verbs]
    (text,) = [each["data"]["settings.json"] for each in found if "settings.json" in each.get("data", {})]
    assert Settings.model_validate_json(text).file_systems.hold_claims == (policy == "true")


@pytest.mark.parametrize(
    "value",
    [
        "frontend.replicas=none",
        "frontend.connections.idleSeconds=1",
        "image.pullPolicy=Sometimes",
        "environments.cpuRequestRatio=1.5",
        "operator.unknown=1",
        "defaultNamespace=Shop_1",
    ],
)
def test_wrong_values_are_refused(value: str) -> None:
    """values.schema.json names the field."""
    finished = helm("template", "x", str(CHART), "--kube-version", "1.36.0", "--set", value)
    assert finished.returncode != 0
    assert value.split("=", maxsplit=1)[0].rsplit(".", maxsplit=1)[-1] in finished.stderr


def test_every_pod_is_restricted_and_has_meaningful_probes() -> None:
    """No container runs as root, writes its image, or keeps a capability."""
    pods = [m["spec"]["template"]["spec"] for m in manifests(render(KEY)) if "template" in m.get("spec", {})]
    assert len(pods) == 8
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((), "kubelambda"),
        (("priorityClass.name=vip",), "vip"),
        (("priorityClass.create=false", "priorityClass.name=vip"), "vip"),
        (("priorityClass.create=false",), None),
    ],
)
def test_our_own_pods_come_before_environments(values: tuple[str, ...], name: str | None) -> None:
    """With the class that the chart makes, or with one that is there already, or with none."""
    found = manifests(render(KEY, *values))
    made = [each["metadata"]["name"] for each in found if each["kind"] == "PriorityClass"]
    assert made == ([] if "priorityClass.create=false" in values else [name])
    workloads = [each["spec"]["template"]["spec"] for each in found if each["kind"] in ("Deployment", "StatefulSet")]
    assert [pod.get("priorityClassName") for pod in workloads] == [name] * 7


def test_roles_name_verbs_and_resources_one_by_one() -> None:
    """Nothing is granted with an asterisk, and Secrets can be read by name only."""
    for manifest in manifests(render(KEY)):
        for rule in manifest.get("rules") or []:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            if "secrets" in rule["resources"]:
                keys = rule.get("resourceNames") == ["kubelambda-access-keys"]
                assert rule["verbs"] == (["list", "watch"] if keys else ["get"])


def test_events_in_jetstream_have_no_volume_and_one_of_the_pods_leads() -> None:
    """Several pods, a lease that they may take, and nothing without servers."""
    shared = (
        "events.engine=jetstream",
        "events.jetstream.servers={nats://a:4222,nats://b:4222}",
        "events.jetstream.existingSecret=nats",
    )
    found = {(each["kind"], each["metadata"]["name"]): each for each in manifests(render(KEY, *shared))}
    pods = found["StatefulSet", "kubelambda-events-jetstream"]["spec"]
    assert (pods["replicas"], "volumeClaimTemplates" in pods) == (2, False)
    arguments = pods["template"]["spec"]["containers"][0]["args"]
    assert {"--servers=nats://a:4222,nats://b:4222", "--stream-bytes=1073741824"} <= set(arguments)
    secret = pods["template"]["spec"]["containers"][0]["env"][1]
    assert secret["valueFrom"] == {"secretKeyRef": {"name": "nats", "key": "password"}}
    role = found["Role", "kubelambda-events"]["rules"]
    assert [rule["verbs"] for rule in role] == [["create"], ["get", "patch"]]
    assert ("StatefulSet", "kubelambda-events") not in found
    finished = helm("template", "x", str(CHART), "--kube-version", "1.36.0", "--set", shared[0])
    assert "needs events.jetstream.servers" in finished.stderr


def test_what_an_installation_that_follows_needs_stays_when_this_one_goes() -> None:
    """The key that layer versions and uploaded code are good for, the only copy of that code, and events that wait."""
    documents = [each for each in yaml.safe_load_all(render()) if each]
    (key,) = (each for each in documents if each["kind"] == "Secret")
    assert key["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    stores = [each["spec"] for each in documents if each["kind"] == "StatefulSet"]
    assert [each["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] for each in stores] == ["Retain", "Retain"]


def test_who_speaks_to_strangers_has_no_part_of_the_key_but_its_own() -> None:
    """Of these components only a container that is over before they start sees the installation's key."""
    found = {each["metadata"]["name"]: each for each in manifests(render(KEY)) if each["kind"] == "Deployment"}
    for component in ("awsapi", "pollers", "code-fetcher"):
        pod = found[f"kubelambda-{component}"]["spec"]["template"]["spec"]
        assert [mount["name"] for each in pod["containers"] for mount in each["volumeMounts"]].count("key") == 0
        assert [mount["name"] for each in pod["initContainers"] for mount in each["volumeMounts"]].count("key") == 1


@pytest.mark.parametrize("mode", ["none", "sigv4", "token", "any"])
def test_a_service_that_asks_nobody_says_so(mode: str, tmp_path: Path) -> None:
    """At the Service, and in the notes of the release, which are rendered here as a manifest."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    notes = chart / "templates" / "NOTES.txt"
    lines = "".join(f"    {line}\n" for line in notes.read_text().splitlines())
    notes.with_name("notes.yaml").write_text(f"kind: Notes\nmetadata:\n  name: notes\n  text: |\n{lines}")
    command = ["template", "kubelambda", str(chart), "--kube-version", "1.36.0", "--set", f"auth.mode={mode},{KEY}"]
    shown = helm(*command).stdout
    assert ("WARNING: auth.mode is none" in shown) == (mode == "none")
    assert ("# Callers are not authenticated (auth.mode)" in shown) == (mode == "none")
    assert ("kubelambda-access-keys --from-literal" in shown) == (mode in ("sigv4", "any"))
    assert ("create rolebinding invokers" in shown) == (mode in ("token", "any"))


def test_kube_prometheus_gets_what_it_selects_and_keeps_our_namespaces() -> None:
    """Monitors and rules with the labels that it looks for; the namespace in a series is the function's, not ours."""
    found = [each for each in manifests(render(KEY, *EVERYTHING)) if each["apiVersion"] == "monitoring.coreos.com/v1"]
    assert {each["kind"] for each in found} == {"ServiceMonitor", "PrometheusRule"}
    for each in found:
        assert each["metadata"]["labels"]["release"] == "kube-prometheus-stack"
        assert all(endpoint["honorLabels"] for endpoint in each["spec"].get("endpoints", []))


def test_dashboards_and_alerts_ask_only_for_series_that_there_are() -> None:
    """By the names under which the components have them."""
    registry = CollectorRegistry()
    ScalingMetrics(registry)
    families = [*registry.collect(), *Metrics().registry.collect()]
    families += [*EventMetrics().registry.collect(), *PollerMetrics().registry.collect()]
    names = {f"{family.name}{end}" for family in families for end in ENDS}
    asked: set[str] = set()
    for each in manifests(render(KEY, *EVERYTHING)):
        if each["kind"] == "PrometheusRule":
            rules = [rule for group in each["spec"]["groups"] for rule in group["rules"]]
            asked.update(*(NAME.findall(rule["expr"]) for rule in rules))
            assert {"KubelambdaSpillover", "KubelambdaScalingFrozen", "KubelambdaProvisioningFailed"} <= {
                rule["alert"] for rule in rules
            }
        elif each["metadata"]["name"].endswith("-dashboards"):
            panels = [panel for text in each["data"].values() for panel in json.loads(text)["panels"]]
            asked.update(*(NAME.findall(target["expr"]) for panel in panels for target in panel.get("targets", [])))
    assert asked <= names
    units = ("utilization", "allocated", "available", "executing", "failed")
    others = ("provisioned_invocations_total", "spillover_invocations_total", "scaling_active")
    accounts = ("claimed_account_concurrency", "unreserved_concurrent_executions")
    shown = {f"kubelambda_provisioned_concurrency_{name}" for name in units}
    assert shown | {f"kubelambda_{name}" for name in (*others, *accounts)} <= asked, "nobody would see these"


def test_who_tolerates_the_loss_of_a_node_by_a_word_of_their_own_decides() -> None:
    """Half a minute is for those who say nothing of it; a key that is not named is every key."""
    lost = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")

    def seconds(*values: str) -> list[tuple[str | None, int | None]]:
        text = render("key.existingSecret=golden", *values)
        (found,) = [
            each
            for each in manifests(text)
            if each["kind"] == "Deployment" and each["metadata"]["name"] == "kubelambda-operator"
        ]
        tolerations = found["spec"]["template"]["spec"]["tolerations"]
        return [(each.get("key"), each.get("tolerationSeconds")) for each in tolerations]

    assert seconds() == [(key, 30) for key in lost]
    own = (f"operator.tolerations[0].key={lost[1]}", "operator.tolerations[0].operator=Exists")
    assert seconds(*own, "operator.tolerations[0].tolerationSeconds=5") == [(lost[1], 5), (lost[0], 30)]
    every = "operator.tolerations[0].operator=Exists"
    assert seconds(every) == [(None, None)]
    assert seconds(every, "operator.tolerations[0].effect=NoExecute") == [(None, None)]
    begins = seconds(every, "operator.tolerations[0].effect=NoSchedule")
    assert begins == [(None, None), *((key, 30) for key in lost)], "it says where pods begin, not how long they stay"
