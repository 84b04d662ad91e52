"""What a replica of the operator finds out at its start, and not once it leads."""

import argparse
import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port

from kubelambda.apps import operator, options
from kubelambda.apps.start_check import CheckFailed, StartCheck
from kubelambda.kube.kube_client import KubeClient

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # of other tests' threads
SETTINGS = b'{"system_namespace": "platform"}'


class Client:
    """An API server that nobody asks anything."""

    async def close(self) -> None:
        """Nothing is open."""


class TakenLease:
    """A lease that another replica has."""

    age = None
    held = False
    contact = 0.0

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    async def acquire(self) -> None:
        """Waits for ever."""
        await asyncio.Event().wait()


def test_wrong_settings_end_a_replica_that_only_waits() -> None:
    """At its start, where whoever installs it sees it, and not when it is needed; the child does nothing else."""
    code = (
        "from kubelambda.apps.start_check import StartCheck\n"
        "try:\n    StartCheck.begin(b'{\"region\": 5}', 'json')\n"
        "finally:\n    print('ended')\n"
    )
    found = subprocess.run([sys.executable, "-P", "-c", code], check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "ended\n")
    assert "region" in found.stderr


async def test_what_cannot_be_imported_ends_a_replica_that_only_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A release with a broken module stops at its first pod, with the traceback, while the old replica leads."""
    (tmp_path / "broken_release.py").write_text("from kubelambda.apps import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)

    async def connect(_: str | None) -> Client:
        return Client()

    monkeypatch.setattr(KubeClient, "connect", connect)
    monkeypatch.setattr(operator, "LeaderLease", TakenLease)
    monkeypatch.setattr(options, "installation_key", lambda _: b"k" * 32)
    arguments = argparse.Namespace(kubeconfig=None, lease_name="operator", health_port=free_port())
    check = StartCheck.begin(SETTINGS, "broken_release")
    with pytest.RaisesGroup(CheckFailed):
        await asyncio.wait_for(operator._run(arguments, b"", check), 60)
    assert "nothing_of_this_name" in capfd.readouterr().err


async def test_what_can_be_imported_is_known_and_costs_no_memory_here() -> None:
    """The child has ended when it is known, and took what it imported with it."""
    module = "kubelambda.apps.leading_operator"
    known = module in sys.modules
    check = StartCheck.begin(SETTINGS, module)
    assert (check.namespace, check.done) == ("platform", False)
    await asyncio.wait_for(check.passed(), 60)
    assert check.done
    assert (module in sys.modules) == known
    with pytest.raises(ChildProcessError):
        os.waitpid(check._child, os.WNOHANG)  # noqa: ASYNC222 - it is not there to be waited for


async def test_who_leads_at_once_does_not_import_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is ended in the middle of its import, which says nothing then."""
    (tmp_path / "endless_release.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.syspath_prepend(tmp_path)
    check = StartCheck.begin(SETTINGS, "endless_release")
    checking = asyncio.ensure_future(check.passed())
    await asyncio.sleep(0)
    check.end()
    await asyncio.wait_for(checking, 60)
    assert check.done
    check.end()
