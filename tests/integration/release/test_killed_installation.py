"""What `make install` finds when the one before was killed, with Helm and a real API server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.eventually import eventually
from tests.integration.control_plane import ADMIN_TOKEN, BINARIES, ControlPlane

ROOT = Path(__file__).parents[3]
STUCK = """
{{ if .Values.stuck }}
apiVersion: batch/v1
kind: Job
metadata: {name: never-done, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: none}]}}}
{{ end }}
"""


class Release:
    """One of a chart that waits for ever where it has a hook, since nobody runs it."""

    def __init__(self, helm: Path, namespace: str, kubeconfig: Path, chart: Path) -> None:
        self._helm = helm
        self._namespace = namespace
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HELM_CACHE_HOME": str(chart / "cache")}
        self._chart = chart
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text("{apiVersion: v2, name: demo, version: 0.1.0}")
        settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {is: '{{ .Values.is }}'}\n"
        (chart / "templates" / "settings.yaml").write_text(settings)
        (chart / "templates" / "job.yaml").write_text(STUCK)

    def _install(self, value: str, *, stuck: bool) -> list[str]:
        told = ["--namespace", self._namespace, "--set", f"is={value},stuck={str(stuck).lower()}", "--timeout", "10m"]
        return [str(self._helm), "upgrade", "--install", "demo", str(self._chart), *told]

    def install(self, value: str) -> subprocess.CompletedProcess[str]:
        """One that ends."""
        return self._run(*self._install(value, stuck=False))

    @contextmanager
    def installing(self, value: str) -> Iterator[subprocess.Popen[bytes]]:
        """One that waits."""
        with subprocess.Popen(
            self._install(value, stuck=True),
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def settle(self) -> None:
        """As `make install` does first."""
        settled = self._run(
            *(sys.executable, str(ROOT / "e2e" / "cluster"), "settle"),
            *("--helm", str(self._helm), "--namespace", self._namespace, "--release", "demo"),
        )
        assert settled.returncode == 0, settled.stderr

    def statuses(self) -> list[str]:
        """Of all revisions."""
        found = self._run(str(self._helm), "history", "demo", "--namespace", self._namespace, "--output", "json")
        return [each["status"] for each in json.loads(found.stdout)] if found.returncode == 0 else []

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)


async def test_an_installation_that_was_killed_is_undone_before_the_next(
    namespace: str, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """The first one and a later one; where none was killed, nothing happens."""
    release = Release(BINARIES / "helm", namespace, control_plane.kubeconfig(ADMIN_TOKEN), tmp_path / "chart")

    async def killed(value: str, status: str) -> None:
        with release.installing(value):

            async def is_pending() -> bool:
                return release.statuses()[-1:] == [status]

            await eventually(is_pending)

    release.settle()
    await killed("one", "pending-install")
    refused = release.install("one")
    assert "another operation" in refused.stderr
    release.settle()
    assert release.install("one").returncode == 0
    await killed("two", "pending-upgrade")
    release.settle()
    assert release.statuses()[-1] == "deployed"
    settled = release.statuses()
    release.settle()
    assert release.statuses() == settled
    assert release.install("two").returncode == 0
