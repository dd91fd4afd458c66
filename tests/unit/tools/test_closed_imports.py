"""The contract that lists what may be imported instead of what may not."""

from __future__ import annotations

from typing import Any

import grimp
import pytest

from tools.closed_imports import ClosedImportsContract


def graph(*imports: tuple[str, str]) -> grimp.ImportGraph:
    made = grimp.ImportGraph()
    for module in ("", ".pure", ".pure.part", ".other", ".ground"):
        made.add_module("embedenv_jupyter" + module)
    for importer, imported in imports:
        if imported not in made.modules:
            made.add_module(imported, is_squashed=True)
        made.add_import(
            importer=f"embedenv_jupyter.{importer}", imported=imported, line_number=7, line_contents="import"
        )
    return made


def strays(*imports: tuple[str, str], **options: Any) -> list[tuple[str, str]]:
    """Check ``embedenv_jupyter.pure`` and name the imports that the contract refuses."""
    options = {"modules": ["embedenv_jupyter.pure"], **options}
    contract = ClosedImportsContract("closed", session_options={}, contract_options=options)
    check = contract.check(graph(*imports), verbose=False)
    assert check.kept == (not check.metadata["strays"])
    return [(importer, imported) for importer, imported, _ in check.metadata["strays"]]


def test_the_standard_library_and_the_modules_themselves_are_free() -> None:
    assert (
        strays(("pure", "json"), ("pure", "embedenv_jupyter.pure.part"), ("pure", "embedenv_jupyter")) == []
    )


def test_a_package_that_is_not_listed_is_refused_also_below_the_module() -> None:
    assert strays(("pure.part", "tornado")) == [("embedenv_jupyter.pure.part", "tornado")]


def test_what_is_listed_is_allowed() -> None:
    imports = [("pure", "msgspec"), ("pure", "embedenv_jupyter.ground")]
    assert strays(*imports, external=["msgspec"], internal=["embedenv_jupyter.ground"]) == []


def test_another_part_of_the_project_is_refused() -> None:
    assert strays(("pure", "embedenv_jupyter.other")) == [("embedenv_jupyter.pure", "embedenv_jupyter.other")]


def test_parts_of_the_standard_library_can_be_taken_out() -> None:
    imports = [("pure", "json"), ("pure", "socket")]
    assert strays(*imports, without=["socket"]) == [("embedenv_jupyter.pure", "socket")]


def test_a_lone_exception_holds_for_its_importer_only() -> None:
    exception = ["embedenv_jupyter.pure.part -> ipykernel"]
    assert strays(("pure.part", "ipykernel"), ("pure", "ipykernel"), single=exception) == [
        ("embedenv_jupyter.pure", "ipykernel")
    ]


def test_a_module_that_does_not_exist_is_a_mistake_in_the_contract() -> None:
    with pytest.raises(ValueError, match="does not exist"):
        strays(modules=["embedenv_jupyter.gone"])
