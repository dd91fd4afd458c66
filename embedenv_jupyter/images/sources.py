"""Where packages come from: what this machine itself is set up with, and nothing else.

Apt's sources are those of the host's own release, without what somebody has added from
elsewhere. pip and npm get the settings of the host's pip and npm that say where to ask
and how to get there; paths on the host mean nothing inside and are left out, except for
the host's certificates, which are put there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedenv_jupyter.images.errors import ImageBuildError

_PIP_KEYS = ("index-url", "extra-index-url", "proxy", "trusted-host", "timeout", "retries")
_NPM_KEYS = ("registry", "proxy", "https-proxy", "noproxy")
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

CERTIFICATES = "/tmp/embedenv-certificates.crt"  # noqa: S108 - inside the tree, and only while it is built
"""Where the host's certificates are during a build, seen from inside."""


def release_name(os_release: str | None = None) -> str:
    """Return what apt calls the release that this machine runs.

    Raises:
        ImageBuildError: this machine has no such release.
    """
    text = Path("/etc/os-release").read_text("utf-8") if os_release is None else os_release
    found = re.search(r'^VERSION_CODENAME="?([a-z0-9-]+)"?$', text, re.MULTILINE)
    if found is None:
        raise ImageBuildError(
            "This machine's /etc/os-release names no release of Debian or of one like it.",
            ("Name another one's: --suite NAME --sources FILE (a list of sources as apt has them).",),
        )
    return found.group(1)


def apt_sources(suite: str, folder: Path = Path("/etc/apt")) -> str:
    """Return the host's sources of the release ``suite`` and its updates, in apt's deb822 format.

    Raises:
        ImageBuildError: there is none.
    """
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    stanzas: list[str] = []
    for file in files:
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        text = file.read_text("utf-8", errors="replace")
        stanzas += _deb822(text) if file.suffix == ".sources" else _one_line(text)
    ours = [stanza for stanza in stanzas if _is_of(stanza, suite)]
    if not ours:
        raise ImageBuildError(
            f"apt on this machine has no sources of the release {suite}.",
            ("Give some: --sources FILE (a list of sources as apt has them).",),
        )
    return "\n".join(ours)


def _deb822(text: str) -> Iterator[str]:
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        if stanza.strip() and not re.search(r"^enabled:\s*no\b", stanza, re.MULTILINE | re.IGNORECASE):
            yield stanza.strip() + "\n"


def _one_line(text: str) -> Iterator[str]:
    """Read lines as sources.list(5) has them: ``deb [options] uri suite component…``."""
    for line in text.splitlines():
        found = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)([^#]*)", line.strip())
        if found is None:
            continue
        options, uri, suite, components = found.groups()
        fields = [f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {' '.join(components.split())}"]
        for option in (options or "").split():
            key, _, value = option.partition("=")
            if key in ("signed-by", "arch", "trusted"):
                name = {"signed-by": "Signed-By", "arch": "Architectures", "trusted": "Trusted"}[key]
                fields.append(f"{name}: {value.replace(',', ' ')}")
        yield "\n".join(fields) + "\n"


def _is_of(stanza: str, suite: str) -> bool:
    types = re.search(r"^types:(.*)$", stanza, re.MULTILINE | re.IGNORECASE)
    suites = re.search(r"^suites:(.*)$", stanza, re.MULTILINE | re.IGNORECASE)
    if types is None or suites is None or "deb" not in types.group(1).split():
        return False
    return all(name == suite or name.startswith(f"{suite}-") for name in suites.group(1).split())


def apt_options() -> tuple[str, ...]:
    """Return how the host's apt reaches its sources: proxies, as options of apt."""
    dump = _output("apt-config", "dump")
    return tuple(line for line in dump.splitlines() if re.match(r"Acquire::\S*proxy", line, re.IGNORECASE))


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the host's pip and npm are set up with, as environment of those inside."""
    found = {name: environ[name] for name in _PASSED_ON if name in environ}
    for key, value in _pip_settings():
        found[f"PIP_{key.upper().replace('-', '_')}"] = value
    for key, value in _npm_settings():
        found[f"npm_config_{key.replace('-', '_')}"] = value
    if host_certificates(environ) is not None:
        names = (
            "PIP_CERT",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "npm_config_cafile",
        )
        found.update(dict.fromkeys(names, CERTIFICATES))
    return found


def host_certificates(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the host's bundle of certificates, which may hold some of its own."""
    paths = (environ.get("SSL_CERT_FILE", ""), *_BUNDLES)
    return next((Path(path) for path in paths if path and Path(path).is_file()), None)


def _pip_settings() -> Iterator[tuple[str, str]]:
    for line in _output(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        value = value.strip("'\"")
        remote = " ".join(part for part in value.split() if not part.startswith(("/", "file:")))
        if key in _PIP_KEYS and remote:
            yield key, remote


def _npm_settings() -> Iterator[tuple[str, str]]:
    if shutil.which("npm") is None:
        return
    try:
        settings = json.loads(_output("npm", "config", "list", "--json"))
    except ValueError:
        return
    for key in _NPM_KEYS:
        value = settings.get(key)
        text = ",".join(filter(None, value)) if isinstance(value, list) else str(value or "")
        if text:
            yield key, text
    if settings.get("strict-ssl") is False:
        yield "strict-ssl", "false"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                              check=False, errors="replace")  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
