"""Sizes of our images as the node holds them."""

from bench.cluster import kubectl_json


def sizes_mb() -> dict[str, float]:
    """Size in MB of every kubelambda image on the first node, by name."""
    found: dict[str, float] = {}
    for image in kubectl_json("get", "nodes")["items"][0]["status"].get("images", []):
        for name in image.get("names") or []:
            if "/kubelambda/" in name and "@" not in name:
                found[name.rpartition("/")[2].partition(":")[0]] = image["sizeBytes"] / 1e6
    return dict(sorted(found.items()))
