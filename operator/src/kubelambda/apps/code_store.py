"""The embedded code store: archives by digest out of one folder."""

from pathlib import Path

from aiohttp import web

from kubelambda.apps import options
from kubelambda.store.code.code_store_server import CodeStoreServer


def main() -> None:
    """Serves until SIGTERM."""
    parser = options.parser(__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path("/var/lib/kubelambda/blobs"), help="where archives are kept"
    )
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    options.configure_logging(arguments.log_level)
    server = CodeStoreServer(arguments.folder, options.installation_key(arguments))
    web.run_app(server.application(), port=arguments.port, access_log=None, print=None)
