"""HTTP/1.1 on the hot path: a server and a client over httptools and asyncio Protocols, and nothing else."""
