"""Command line options that every component has, and its log."""

import argparse
import json
import logging
import sys
from pathlib import Path

from kubelambda.core.environment import tokens

SETTINGS_PATH = Path("/etc/kubelambda/settings.json")
KEY_PATH = Path("/etc/kubelambda-key/key")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(level: str) -> None:
    """JSON lines to standard output; kopf and aiohttp only when something is wrong."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("kopf", "aiohttp.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every component has."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--settings", type=Path, default=SETTINGS_PATH, help="file of the settings (JSON)")
    found.add_argument("--key-file", type=Path, default=KEY_PATH, help="file of the installation's key")
    found.add_argument("--kubeconfig", help="kubeconfig to use instead of the pod's service account")
    found.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    return found


def installation_key(arguments: argparse.Namespace) -> bytes:
    """The installation's key, from the file that the command line names. Raises `InvalidKey` or `OSError`."""
    path: Path = arguments.key_file
    return tokens.installation_key(path.read_bytes())
