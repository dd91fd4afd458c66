"""The Engine protocol (docs/protocols/engine.md): code goes out, what it printed comes back.

:mod:`.frames` has what both sides write, :mod:`.server` is a gateway's side of one
connection, :mod:`.streams` a client's side of one session over any number of connections,
and :mod:`.client` speaks the published part with anybody's gateway.
"""
