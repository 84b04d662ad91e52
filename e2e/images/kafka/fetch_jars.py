"""Fetches Kafka's jars, by their digests, into a folder: `fetch_jars.py FOLDER`. What is there stays."""

import hashlib
import os
import sys
import time
import urllib.request
from pathlib import Path

REPOSITORY = os.environ.get("MAVEN_REPOSITORY", "https://repo1.maven.org/maven2")
ATTEMPTS = 4


def main() -> None:
    """Every jar of the list beside this file."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for line in Path(__file__).with_name("jars.txt").read_text().splitlines():
        digest, _, path = line.partition("  ")
        jar = folder / path.rpartition("/")[2]
        if not jar.exists():
            content = fetched(f"{REPOSITORY}/{path}")
            if hashlib.sha256(content).hexdigest() != digest:
                raise SystemExit(f"{path} is not what it was: its digest is another")
            new = jar.with_suffix(f".{os.getpid()}")
            new.write_bytes(content)
            new.rename(jar)


def fetched(url: str) -> bytes:
    """What is there, after some attempts."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                content: bytes = answer.read()
                return content
        except OSError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(2**attempt)
    raise AssertionError("no attempt was made")


if __name__ == "__main__":
    main()
