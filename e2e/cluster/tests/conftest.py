"""Tests of the test cluster itself; they need a cluster that is up, its images, and KUBECONFIG."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
