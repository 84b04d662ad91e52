"""The program of a Python runtime process; `/var/runtime/bootstrap.py` in the image, as on Lambda."""

import os
import sys

_PACKAGES = os.path.realpath(__file__).rpartition("/kubelambda/")[0]


def main() -> None:
    """Serves the function that the process environment names, until the environment ends."""
    sys.path[0] = _PACKAGES
    from kubelambda.agent.python_client import startup  # noqa: PLC0415 - not found before the line above

    startup.prepare()
    startup.forget_modules()
    startup.run()


if __name__ == "__main__":
    main()
