"""What an image is made of, and in which steps: plain data, made from the languages' own.

Each step is recorded when it is done, so a build that was interrupted continues with
the next one. A step that belongs to one language may fail: the image then goes
without that language, and says so.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from embedenv_jupyter.languages import installing
from embedenv_jupyter.languages.installing import VENV
from embedenv_jupyter.languages.language import Language
from embedenv_jupyter.languages.registry import Languages
from embedenv_jupyter.sandbox.image import PACKAGE

FORMAT = 1
"""Changes when trees are made in another way, so that an unfinished one is not continued in the new."""

CORE, ALL = "core", "all"

BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
"""What every image has besides what is essential: Python for supervisor and kernels."""

KERNEL_PACKAGES = ("ipykernel>=7", "ipywidgets>=8")
"""What makes kernels of the image's Python; rooms that are loaded into an engine need it, too."""

LANGUAGES_INSIDE = f"{PACKAGE}/embedenv_jupyter/languages"
"""Where wrappers and drivers are while a tree is built, and in the rooms that stand on it."""

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
"""What an image may be called: also a tag of docker."""

RESERVED = ("trees", "building")


class ImageNameError(ValueError):
    """A name that no image may have."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name!r:.80} is no name for an image: up to 63 small letters, digits, '.', '_' and '-', "
            f"not beginning with a sign, and none of {', '.join(RESERVED)}."
        )


def check_name(name: str) -> str:
    """Return a name that an image may have.

    Raises:
        ImageNameError: it may not.
    """
    if NAME.match(name) is None or name in RESERVED:
        raise ImageNameError(name)
    return name


@dataclass(frozen=True)
class Step:
    """One shell script that is run inside the tree; ``language`` is whose it is, empty for everybody's.

    Without an ``essential`` one the language can still be had.
    """

    id: str
    title: str
    script: str
    language: str = ""
    env: tuple[tuple[str, str], ...] = ()
    essential: bool = True


@dataclass(frozen=True)
class Plan:
    """Everything that is done inside the tree once its base is there."""

    name: str
    languages: tuple[str, ...]
    apt: tuple[tuple[str, tuple[str, ...]], ...]
    """Debian's packages, by language: those of languages that cannot have all of theirs are left out."""
    steps: tuple[Step, ...]

    def fingerprint(self, circumstances: str) -> str:
        """Return what is the same only for builds that may continue one another."""
        text = json.dumps([FORMAT, asdict(self), circumstances], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def select(wanted: Sequence[str], languages: Languages) -> tuple[Language, ...]:
    """Return the languages of ``core``, of ``all``, or the named ones, in the order of the file.

    Raises:
        UnknownLanguageError: there is no language of such a name.
    """
    chosen = {
        language.id
        for name in wanted
        for language in (
            languages if name == ALL
            else (known for known in languages if known.tier == CORE) if name == CORE
            else (languages.named(name),)
        )
    }  # fmt: skip
    return tuple(language for language in languages if language.id in chosen)


def name_for(wanted: Sequence[str], languages: Iterable[Language]) -> str:
    """Return what an image is called whose name nobody has given.

    Raises:
        ImageNameError: there are too many languages for that.
    """
    return check_name(wanted[0] if len(wanted) == 1 else "-".join(language.id for language in languages))


def make_plan(name: str, languages: Sequence[Language]) -> Plan:
    """Say how to make an image with these languages."""
    apt = tuple((language.id, language.all_packages["apt"]) for language in languages)
    return Plan(name, tuple(language.id for language in languages), apt, tuple(_steps(languages)))


def _steps(languages: Sequence[Language]) -> Iterator[Step]:
    pip = f"{VENV}/bin/pip install {shlex.join(KERNEL_PACKAGES)}"
    yield Step("python", "Python for kernels", f"[ -e {VENV} ] || /usr/bin/python3 -m venv {VENV}\n{pip}")
    for language in languages:
        # What comes by apt is installed for all languages at once, and the environment is there.
        present = frozenset((*BASE_PACKAGES, *language.all_packages["apt"]))
        found = installing.steps([language], ours=LANGUAGES_INSIDE, present=present)
        for number, step in enumerate(found):
            if step.title != installing.VENV_TITLE:
                env = tuple(step.env.items())
                yield Step(
                    f"{language.id}:{number}", step.title, step.line, language.id, env,
                    essential=not _is_driver(step.line, language),
                )  # fmt: skip


def _is_driver(line: str, language: Language) -> bool:
    build = language.session.build if language.session is not None else ""
    return bool(build) and line.endswith(build)
