"""A sandbox on a socket that is handed over: what ``SandboxProcess`` starts."""

import socket
import sys
import threading

from kiva_pipeline.sandbox.app import create_app
from kiva_pipeline.sandbox.server import server_of

if __name__ == "__main__":
    path, descriptor = sys.argv[1:]
    server = server_of(create_app(path))

    def end_with_the_parent() -> None:
        """Its end of the pipe closes when it asks for the end, and also when it dies."""
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=end_with_the_parent, daemon=True).start()
    server.run(sockets=[socket.socket(fileno=int(descriptor))])
