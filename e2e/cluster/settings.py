"""Every address, version and folder of the test cluster."""

import os
from pathlib import Path

CLUSTER = "kubelambda"
"""Name of the node, of the CNI network and of the kind cluster."""

KUBERNETES = "v1.36.3"
COREDNS = "v1.15.0"
HELM3 = "v3.22.0"
NATS = "v2.15.2"
HELM4 = "v4.3.1"
KIND = "v0.33.0"

NODE_IP = "10.89.0.1"
"""On a bridge of its own, so that the cluster does not depend on the machine's network."""
PUBLIC_IP = "203.0.113.1"
"""A second address of the node that is in no private range, for tests of ways to the internet; nobody else has it."""
NODE_BRIDGE = "k8s-node"
POD_CIDR = "10.244.0.0/16"
FIRST_POD_CIDR = "10.244.0.0/17"
SECOND_POD_CIDR = "10.244.128.0/24"
"""The part of it that the second node has, while there is one."""
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
TEST_REGISTRY = f"{NODE_IP}:5005"
"""A registry of images that tests run on this machine, without TLS."""
API_PORT = 6443
ETCD_PORT = 12379
"""Not etcd's own port: Debian's package may have started an etcd there."""

IMAGE_REPOSITORY = "localhost/kubelambda"
PAUSE_IMAGE = f"{IMAGE_REPOSITORY}/pause:1"
COREDNS_IMAGE = f"{IMAGE_REPOSITORY}/coredns:{COREDNS}"

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubelambda"
"""What is worth keeping between clusters: built binaries and images."""
BINARIES = CACHE / "bin"
AWS_CLI = CACHE / "aws-cli-2"
"""What Debian's packages of version 2 have: `usr/bin/aws`, and what it imports in `usr/lib/python3/dist-packages`."""
STATE = Path("/var/lib/kubelambda-cluster")
"""Everything on disk that belongs to the running cluster; `down` removes it."""
RUN = Path("/run/kubelambda-cluster")
"""Sockets and mounts of the running cluster."""
CERTIFICATES = STATE / "certificates"
CONFIGURATION = STATE / "configuration"
LOGS = STATE / "logs"
KUBECONFIG = STATE / "kubeconfig"
CNI_NETWORK = "kubelambda"
