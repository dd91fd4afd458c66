"""The magics of notebooks, interpreted by the gateway: ``%embedenv``, ``%%room`` and ``%%lang``.

:mod:`.lines` reads them, :mod:`.queue` gives each its turn among the cells of a kernel,
:mod:`.interpreter` does what they say, with :mod:`.visits` for other rooms and
:mod:`.programs` for other languages. Only what a client sends as a cell comes
here; programs of the room have no way to it. docs/magics.md is for users.
"""
