"""ElasticMQ, a server of SQS's protocol that keeps queues and messages on the disk.

Its database says by default that it has written what it writes half a second later: a server that is killed then has
lost messages that were accepted, and what was received. It is told to wait here, as SQS does.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.pollers.server_process import ServerProcess

_IMAGES = Path(__file__).parent.parent.parent / "e2e" / "images"
_FETCH = _IMAGES / "kafka" / "fetch_jars.py"
_LIST = _IMAGES / "elasticmq" / "jars.txt"
_JARS = Path.home() / ".cache" / "kubelambda" / "elasticmq"
_CONFIGURATION = """
include classpath("application.conf")
node-address {{ host = "127.0.0.1", port = {port} }}
rest-sqs {{ bind-hostname = "127.0.0.1", bind-port = {port} }}
rest-stats.enabled = false
aws {{ region = "us-east-1", accountId = "123456789012" }}
messages-storage {{ enabled = true, uri = "jdbc:h2:{folder}/messages;WRITE_DELAY=0" }}
"""


class ElasticMq(ServerProcess):
    """A server of queues."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if shutil.which("java") is None:
            pytest.fail("ElasticMQ needs a Java: install Debian's default-jre-headless")
        fetch = shutil.copy(_FETCH, folder)  # it takes the list that is beside it
        shutil.copy(_LIST, folder / "jars.txt")
        subprocess.run([sys.executable, fetch, str(_JARS)], check=True)
        (folder / "server.conf").write_text(_CONFIGURATION.format(port=self.port, folder=folder))

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> tuple[list[str], Mapping[str, str]]:
        java = ["java", "-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{_JARS}/*"]
        return [*java, f"-Dconfig.file={self.folder}/server.conf", "org.elasticmq.server.Main"], {}
