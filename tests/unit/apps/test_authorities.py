"""Which components read all of the system's certificate authorities when they start."""

import os
import sys
from types import SimpleNamespace

import pytest

from kubelambda.apps import __main__ as apps


@pytest.mark.parametrize(
    ("component", "given", "expected"),
    [
        ("frontend", None, os.devnull),
        ("frontend", "/etc/ours.pem", "/etc/ours.pem"),
        ("operator", None, None),
        ("events", None, None),
    ],
)
def test_only_who_speaks_to_the_world_reads_its_authorities(
    monkeypatch: pytest.MonkeyPatch, component: str, given: str | None, expected: str | None
) -> None:
    """A frontend knows its API server's; whoever runs it may still name a file."""
    monkeypatch.setattr(os, "environ", {} if given is None else {"SSL_CERT_FILE": given})
    monkeypatch.setattr(sys, "argv", ["apps", component])
    seen: list[str | None] = []
    main = SimpleNamespace(main=lambda: seen.append(os.environ.get("SSL_CERT_FILE")))
    monkeypatch.setattr(apps, "import_module", lambda _: main)
    apps.main()
    assert seen == [expected]
