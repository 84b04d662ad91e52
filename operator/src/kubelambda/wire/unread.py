"""What was sent to a client that it has not taken yet: the only sign of one that reads slowly, or not at all."""

import socket
import sys
from typing import Final

from kubelambda.wire.flow import Transport

_SIOCOUTQ: Final = 0x5411
_UNSENT_MAX_BYTES: Final = 131_072


def unread(transport: Transport) -> int:
    """Bytes that the client's system has not acknowledged, with those that are still here.

    A system acknowledges what it has room for, which grows as its program reads.
    """
    import fcntl  # noqa: PLC0415 - hardly any agent has a slow caller

    kept = transport.get_write_buffer_size()
    found = transport.get_extra_info("socket")
    try:
        sent = fcntl.ioctl(found.fileno(), _SIOCOUTQ, bytes(4))
    except (AttributeError, OSError, ValueError):  # it has just ended, or is no socket
        return kept
    return kept + int.from_bytes(sent, sys.byteorder)


def bound_unsent(listening: socket.socket) -> None:
    """Lets the system keep little of what the clients of a listening socket cannot take now.

    It would keep megabytes for each, and take no more until a third of them were read: for minutes, nobody up the way
    could tell a client that reads slowly from one that does not read.
    """
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_MAX_BYTES)
