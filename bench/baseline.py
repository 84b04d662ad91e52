"""What a user could pick instead: the same function behind a plain HTTP server in a pod, through a Service."""

from bench.cluster import NAMESPACE, RELEASE, SYSTEM_NAMESPACE, apply, kubectl, kubectl_json, service_address

SERVER = """
import json
from aiohttp import web

def handler(event, context):
    return {"hello": event.get("name", "world")}

async def invoke(request):
    return web.json_response(handler(json.loads(await request.read()), None))

app = web.Application()
app.router.add_post("/", invoke)
web.run_app(app, port=8080, access_log=None)
"""


def start() -> tuple[str, int]:
    """Starts the server with the CPU of the function that it is compared with, and returns its Service's address."""
    deployment = kubectl_json("--namespace", SYSTEM_NAMESPACE, "get", "deployment", f"{RELEASE}-frontend")
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    labels = {"app": "baseline"}
    container = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/bin/python3", "-c", SERVER],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "baseline"}, "spec": spec})
    ports = [{"port": 80, "targetPort": 8080}]
    service = {"selector": labels, "ports": ports}
    apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "baseline"}, "spec": service})
    kubectl("--namespace", NAMESPACE, "rollout", "status", "deployment/baseline", "--timeout=120s")
    return service_address("baseline", NAMESPACE)
