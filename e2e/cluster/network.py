"""The node's address, its routes to pods, and what pods need to leave the machine."""

import json
from pathlib import Path

from mounts import remove_if_empty
from node_identity import FIRST, Node
from progress import step
from settings import CNI_NETWORK, NODE_BRIDGE, NODE_IP, POD_CIDR, PUBLIC_IP, STATE
from shell import run, succeeds

MASQUERADE_TABLE = "kubelambda-masquerade"
POLICY_TABLE = "kubelambda-networkpolicy"
_LOST_TABLE = "kubelambda-lost"
_TRIAL_DEVICE = "kubelambda-ifb"
_CNI_CACHE = Path("/var/lib/cni")
_ORIGINAL_SYSCTLS = STATE / "sysctls.json"
_SYSCTLS = {"net/ipv4/ip_forward": 1, "fs/inotify/max_user_instances": 8192, "fs/inotify/max_user_watches": 524288}
"""Least values: 250 pods watch more files than a desktop's defaults allow."""
_PROXY_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
_PORT_MAPPING_CHAINS = ("CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-MASQ", "CNI-HOSTPORT-SETMARK")

_MASQUERADE = f"""
table ip {MASQUERADE_TABLE} {{}}
delete table ip {MASQUERADE_TABLE}
table ip {MASQUERADE_TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat + 5; policy accept;
    ip saddr {POD_CIDR} ip daddr != {POD_CIDR} ip daddr != {NODE_IP} masquerade
  }}
}}
"""


def set_up() -> None:
    """Bridge with the node's address, forwarding, masquerading and the CNI configuration."""
    with step("network of the node"):
        _raise_sysctls()
        if not succeeds("ip", "link", "show", NODE_BRIDGE):
            run("ip", "link", "add", NODE_BRIDGE, "type", "bridge")
        for address in (NODE_IP, PUBLIC_IP):
            run("ip", "address", "replace", f"{address}/32", "dev", NODE_BRIDGE)
        run("ip", "link", "set", NODE_BRIDGE, "up")
        run("nft", "-f", "-", stdin=_MASQUERADE)
        _write_cni_configuration(FIRST)


def cni_folder(node: Node) -> Path:
    """Where a node's containerd finds how pods get their network."""
    return node.configuration / "cni"


def add_node(node: Node) -> None:
    """The address of a further node, and a network for its pods; packets reach it, if it was lost before."""
    run("ip", "address", "replace", f"{node.ip}/32", "dev", NODE_BRIDGE)
    _write_cni_configuration(node)
    succeeds("nft", "delete", "table", "ip", _LOST_TABLE)


def lose_node(node: Node) -> None:
    """Swallows what is sent to a node, to its pods, and by them: nothing says that they are gone, no reset either."""
    ours = f"{{ {node.ip}, {node.pods} }}"
    # Once names of Services have become addresses of pods, whoever sent it.
    to = f"type filter hook postrouting priority filter; policy accept; ip daddr {ours} drop"
    by = f"type filter hook prerouting priority raw; policy accept; ip saddr {node.pods} drop"
    table = f"table ip {_LOST_TABLE}"
    content = f"{table} {{\n  chain to {{ {to}; }}\n  chain by {{ {by}; }}\n}}\n"
    run("nft", "-f", "-", stdin=f"{table} {{}}\ndelete {table}\n{content}")


def remove_node(node: Node) -> None:
    """Takes its address away, and what was there because it was lost."""
    succeeds("ip", "address", "delete", f"{node.ip}/32", "dev", NODE_BRIDGE)
    succeeds("nft", "delete", "table", "ip", _LOST_TABLE)


def _write_cni_configuration(node: Node) -> None:
    cni_folder(node).mkdir(parents=True, exist_ok=True)
    content = json.dumps(_cni_configuration(node), indent=2)
    (cni_folder(node) / "10-kubelambda.conflist").write_text(content)


def tear_down() -> None:
    """Removes all of it, and what kube-proxy, the policy enforcer and the CNI plugins left behind."""
    if succeeds("ip", "link", "show", NODE_BRIDGE):
        run("ip", "link", "delete", NODE_BRIDGE)
    ours = (("ip", name) for name in (MASQUERADE_TABLE, POLICY_TABLE, _LOST_TABLE))
    for family, table in (*_PROXY_TABLES, *ours, ("ip6", POLICY_TABLE)):
        succeeds("nft", "delete", "table", family, table)
    _remove_port_mappings()
    _remove_cached_results()
    if _ORIGINAL_SYSCTLS.exists():
        for name, value in json.loads(_ORIGINAL_SYSCTLS.read_text()).items():
            Path("/proc/sys", name).write_text(value)


def _cni_configuration(node: Node) -> dict[str, object]:
    """`ptp`: every packet between pods is routed, which is where network policies are enforced."""
    addresses = {
        "type": "host-local",
        "dataDir": str(node.state / "cni"),
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    pods = {"type": "ptp", "ipMasq": False, "mtu": _mtu(), "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    plugins = [pods, ports]
    if _devices_for_bandwidth():
        plugins.append({"type": "bandwidth", "capabilities": {"bandwidth": True}})
    return {"cniVersion": "0.4.0", "name": CNI_NETWORK, "plugins": plugins}


def _devices_for_bandwidth() -> bool:
    """Whether the kernel has what the plugin limits pods with."""
    made = succeeds("ip", "link", "add", _TRIAL_DEVICE, "type", "ifb")
    if made:
        run("ip", "link", "delete", _TRIAL_DEVICE)
    return made


def _mtu() -> int:
    """That of the default route, so that pods need no path discovery to leave the machine."""
    words = run("ip", "route", "show", "default").split()
    if "dev" not in words:
        return 1500
    return int(Path("/sys/class/net", words[words.index("dev") + 1], "mtu").read_text())


def _raise_sysctls() -> None:
    originals = json.loads(_ORIGINAL_SYSCTLS.read_text()) if _ORIGINAL_SYSCTLS.exists() else {}
    for name, least in _SYSCTLS.items():
        setting = Path("/proc/sys", name)
        current = setting.read_text().strip()
        if int(current) < least:
            originals.setdefault(name, current)
            _ORIGINAL_SYSCTLS.write_text(json.dumps(originals))
            setting.write_text(str(least))


def _remove_port_mappings() -> None:
    """The chains that the portmap plugin makes on first use and keeps."""
    rules = ("-m", "addrtype", "--dst-type", "LOCAL", "-j", "CNI-HOSTPORT-DNAT")
    for hook in ("PREROUTING", "OUTPUT"):
        while succeeds("iptables", "-t", "nat", "-D", hook, *rules):
            pass
    while succeeds("iptables", "-t", "nat", "-D", "POSTROUTING", "-j", "CNI-HOSTPORT-MASQ"):
        pass
    listed = run("iptables", "-t", "nat", "-S") if succeeds("iptables", "-t", "nat", "-S") else ""
    names = [line.split()[1] for line in listed.splitlines() if line.startswith("-N CNI-")]
    for name in names:
        succeeds("iptables", "-t", "nat", "-F", name)
    for name in names:
        succeeds("iptables", "-t", "nat", "-X", name)


def _remove_cached_results() -> None:
    """What the CNI library remembers of pods that were killed; those of our network tell which sandboxes were ours."""
    results = _CNI_CACHE / "results"
    for ours in list(results.glob(f"{CNI_NETWORK}-*")):
        sandbox = ours.name.removeprefix(f"{CNI_NETWORK}-").partition("-")[0]
        for result in results.glob(f"*-{sandbox}-*"):
            result.unlink()
    remove_if_empty(results, _CNI_CACHE)
