"""How we touch the world: protocols, the Google client code, and the embedded platform behind the same protocols."""

import os

# gRPC's own work in a forked child before it becomes another program: none is needed, and now and then it aborts the child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
