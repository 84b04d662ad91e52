"""Prints the URL of the frontend's Service as reachable from this machine.

A node of our own shares its network with the machine, so the cluster IP answers. For kind, whose node has a network of
its own, a port-forward is kept running in the background.
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

FORWARD_PORT = 19080


def answers(url: str) -> bool:
    """Whether a frontend answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, OSError):
        return False


def cluster_url(namespace: str, service: str) -> str:
    """URL of the Service's cluster IP."""
    command = ["kubectl", "--namespace", namespace, "get", "service", service, "--output", "json"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(f"endpoint: the chart is not installed: {found.stderr.strip()}\nInstall it with: make install")
    spec = json.loads(found.stdout)["spec"]
    return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"


def forwarded_url(namespace: str, service: str) -> str:
    """URL of a port-forward, started unless it runs already."""
    url = f"http://127.0.0.1:{FORWARD_PORT}"
    if not answers(url):
        kubectl = shutil.which("kubectl") or "kubectl"
        command = [kubectl, "--namespace", namespace, "port-forward", f"service/{service}", f"{FORWARD_PORT}:80"]
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", FORWARD_PORT)) == 0:
                    break
            time.sleep(0.1)
    return url


def main() -> None:
    """Prints the first URL that answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--service", required=True)
    arguments = parser.parse_args()
    url = cluster_url(arguments.namespace, arguments.service)
    print(url if answers(url) else forwarded_url(arguments.namespace, arguments.service))


if __name__ == "__main__":
    main()
