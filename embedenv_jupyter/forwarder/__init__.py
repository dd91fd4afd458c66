"""The forwarder: the process that Jupyter starts when a notebook selects "Embedenv".

It binds the sockets of a kernel and carries everything to a kernel in a room,
wherever that is. Needs pyzmq, websockets and msgspec, and no server.
"""
