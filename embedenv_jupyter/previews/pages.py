"""The small pages that stand where a preview shows nothing."""

from __future__ import annotations

from html import escape

from embedenv_jupyter.errors import PreviewError

RETRY_S = 2
CONTENT_SECURITY_POLICY = "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'"
"""A page that may run scripts may come back by itself; there are none, nor would they run."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">{refresh}
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 sans-serif; margin: 15vh auto; max-width: 32em; padding: 0 1em }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{hint}</p>
</body>
</html>
"""

_HINTS = {
    400: "The program was not asked.",
    404: "Check the address: it is long, and every letter counts.",
    410: "Ask somebody in the room for a new address.",
    502: "Look in the room at what the program says.",
    503: "The room may be paused, or about to end.",
    504: "The program may be busy or hang, or the room may be paused.",
}


def page_of(error: PreviewError) -> str:
    """Write the page that says what is wrong; it comes back by itself where a program may still start."""
    hint = "This page tries again by itself." if error.may_come else _HINTS.get(error.status, "")
    refresh = f'\n<meta http-equiv="refresh" content="{RETRY_S}">' if error.may_come else ""
    return _PAGE.format(title=escape(error.message), hint=hint, refresh=refresh)
