from __future__ import annotations

from pathlib import Path

import pytest

from embedenv_jupyter.images import sources
from embedenv_jupyter.images.errors import ImageBuildError

DEB822 = """\
# how it was made
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb deb-src
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://switched-off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://vendor.example/apt
Suites: stable
Components: main
"""

ONE_LINE = """\
# deb http://comment.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/archive.gpg] http://list.example/debian bookworm main contrib #
deb-src http://list.example/debian bookworm main
deb http://vendor.example/apt cloud-sdk-bookworm main
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_sources_of_the_release_are_taken_and_no_others(apt: Path) -> None:
    (apt / "sources.list").write_text(ONE_LINE)
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    (apt / "sources.list.d/old.sources.disabled").write_text(DEB822.replace("mirror", "disabled"))
    found = sources.apt_sources("bookworm", apt)
    assert [line for line in found.splitlines() if line.startswith("URIs")] == [
        "URIs: http://list.example/debian",
        "URIs: http://mirror.example/debian",
        "URIs: http://mirror.example/security",
    ]
    assert found.startswith(
        "Types: deb\nURIs: http://list.example/debian\nSuites: bookworm\nComponents: main contrib\n"
        "Architectures: amd64\nSigned-By: /usr/share/keyrings/archive.gpg\n"
    )
    assert "\n\nTypes: deb\nURIs: http://mirror.example/debian" in found


def test_machine_without_sources_of_the_release_is_told(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(DEB822)
    with pytest.raises(ImageBuildError, match="no sources of the release trixie") as caught:
        sources.apt_sources("trixie", apt)
    assert "--sources" in str(caught.value)


def test_release_is_what_the_machine_runs() -> None:
    assert sources.release_name("ID=debian\nVERSION_CODENAME=bookworm\n") == "bookworm"
    assert sources.release_name('VERSION_CODENAME="noble"\nID=ubuntu\n') == "noble"
    with pytest.raises(ImageBuildError, match="names no release"):
        sources.release_name("ID=alpine\nVERSION_ID=3.20\n")


def test_settings_of_pip_and_npm_go_along_without_paths_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        "pip": "global.index-url='https://index.example/simple'\n"
        "global.extra-index-url='file:///srv/wheels https://more.example/simple'\n"
        ":env:.find-links='/srv/wheels'\nglobal.constraint='/etc/constraints.txt'\n:env:.timeout='7'\n",
        "npm": '{"registry": "https://npm.example/", "proxy": null, "noproxy": ["", "localhost"],'
        ' "strict-ssl": false, "cafile": "/etc/ca.crt", "//npm.example/:_authToken": "secret"}',
    }
    monkeypatch.setattr(sources, "_output", lambda *command: said["npm" if command[0] == "npm" else "pip"])
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sources, "host_certificates", lambda environ: None)
    assert sources.environment({"https_proxy": "http://proxy.example", "HOME": "/root"}) == {
        "https_proxy": "http://proxy.example",
        "PIP_INDEX_URL": "https://index.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://more.example/simple",
        "PIP_TIMEOUT": "7",
        "npm_config_registry": "https://npm.example/",
        "npm_config_noproxy": "localhost",
        "npm_config_strict_ssl": "false",
    }


def test_certificates_of_the_host_are_trusted_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_output", lambda *command: "")
    bundle = tmp_path / "ca.crt"
    bundle.touch()
    found = sources.environment({"SSL_CERT_FILE": str(bundle)})
    assert found["PIP_CERT"] == found["NODE_EXTRA_CA_CERTS"] == sources.CERTIFICATES
    assert sources.host_certificates({"SSL_CERT_FILE": str(bundle)}) == bundle
