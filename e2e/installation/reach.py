"""What user code finds when it tries to reach something: source to put before a handler."""

REACH = """
import socket

def reach(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return "reached"
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "blocked"
"""
