"""The test cluster: `python3 e2e/cluster --help`."""

import argparse
import sys
from pathlib import Path

import binaries
import debian
import helm_release
import image_builds
import image_engines
import kind_cluster
import second_node
import single_node
from progress import ClusterError
from settings import AWS_CLI, STATE


def main() -> int:
    """Runs one command; errors that people can do something about come without a traceback."""
    parser = argparse.ArgumentParser(prog="e2e/cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="bring the cluster up, or repair it")
    commands.add_parser("down", help="remove the cluster and everything it made")
    commands.add_parser("status", help="show what runs")
    commands.add_parser("kubeconfig", help="print the path of the cluster's kubeconfig")
    built = commands.add_parser("binaries", help="build the programs into the cache folder, without a cluster")
    built.add_argument(
        "--etcd",
        action="store_true",
        help="a NATS server too, and Debian's etcd, Prometheus and registry, unless they are there",
    )
    commands.add_parser(
        "brokers", help="install Debian's RabbitMQ and ActiveMQ, which tests start, unless they are there"
    )
    commands.add_parser("aws-cli", help="version 2 of the aws cli, from Debian, into the cache folder")
    images = commands.add_parser("images", help="build the images that changed and import them")
    images.add_argument("names", metavar="NAME", nargs="*", help="these alone, those of further runtimes for instance")
    images.add_argument("--all", action="store_true", help="those of every runtime too")
    images.add_argument("--build-only", action="store_true", help="leave the cluster alone")
    images.add_argument("--for-tests", metavar="NAME", help="the same for one of e2e/images")
    for action in ("pause", "resume"):
        told = f"{action} one component: it is there, and does nothing" if action == "pause" else "let it go on"
        commands.add_parser(action, help=told).add_argument("component")
    endpoint = commands.add_parser("endpoint", help="print the URL of a Service as reachable from this machine")
    endpoint.add_argument("--namespace", required=True)
    endpoint.add_argument("--service", required=True)
    settled = commands.add_parser("settle", help="undo an installation of the chart that was killed")
    settled.add_argument("--helm", required=True, type=Path)
    settled.add_argument("--namespace", required=True)
    settled.add_argument("--release", required=True)
    commands.add_parser("restart", help="restart one component, such as apiserver").add_argument("component")
    further = commands.add_parser("node", help="a second node, in another zone: only beside a node of our own")
    further.add_argument("action", choices=["add", "lose", "forget", "remove"])
    further.add_argument("names", metavar="IMAGE", nargs="*", help="the images that it has")
    arguments = parser.parse_args()
    try:
        return _run(arguments)
    except ClusterError as error:
        print(f"e2e/cluster: {error}", file=sys.stderr)
        return 1


def _build(*, etcd: bool) -> None:
    binaries.build_kubernetes()
    binaries.install_tools(binaries.HELM_TOOLS)
    if etcd:
        binaries.install_tools((binaries.NATS_TOOL,))
        servers = {"prometheus": "prometheus", "docker-registry": "docker-registry"}
        debian.install({"etcd-server": debian.NODE_PACKAGES["etcd-server"], **servers})


def _beside_clusters(arguments: argparse.Namespace) -> bool:
    """Runs a command that is the same whatever the cluster is, or for one kind of it only; False for the others."""
    match arguments.command:
        case "brokers":
            debian.install(debian.BROKER_PACKAGES)
        case "aws-cli":
            debian.unpack(debian.AWS_CLI_PACKAGES, AWS_CLI)
        case "binaries":
            _build(etcd=arguments.etcd)
        case "settle":
            helm_release.settle(arguments.helm, arguments.release, arguments.namespace)
        case "node":
            _second_node(arguments.action, arguments.names)
        case _:
            return False
    return True


def _is_kind() -> bool:
    """A node of our own that is already there stays the cluster, even if Docker was started since."""
    return not STATE.exists() and kind_cluster.available()


def _run(arguments: argparse.Namespace) -> int:
    if _beside_clusters(arguments):
        return 0
    kind = _is_kind()
    backend = kind_cluster if kind else single_node
    match arguments.command:
        case "up":
            backend.up()
        case "down":
            backend.down()
        case "status":
            return 0 if backend.status() else 1
        case "kubeconfig":
            print(backend.KUBECONFIG)
        case "images":
            built = _built(arguments, kind=kind)
            if not arguments.build_only:
                backend.load(built)
        case "pause" | "resume" | "restart" as action:
            getattr(backend, action)(arguments.component)
        case "endpoint":
            print(backend.endpoint(arguments.namespace, arguments.service))
    return 0


def _built(arguments: argparse.Namespace, *, kind: bool) -> list[Path]:
    builder = image_engines.Docker() if kind else image_engines.Buildah()
    names = [*arguments.names, *([arguments.for_tests] if arguments.for_tests else [])]
    return image_builds.build_images(builder, names, everything=arguments.all)


def _second_node(action: str, names: list[str]) -> None:
    if _is_kind():
        raise ClusterError("a second node is added to a node of our own only, and this cluster is kind's")
    if action == "add":
        second_node.add(image_builds.build_images(image_engines.Buildah(), names))
    else:
        {"lose": second_node.lose, "forget": second_node.forget, "remove": second_node.remove}[action]()


if __name__ == "__main__":
    sys.exit(main())
