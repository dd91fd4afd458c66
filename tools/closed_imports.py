"""A contract for import-linter: these modules import nothing but what is listed.

import-linter can forbid imports by name. The parts that stand on a security
boundary, or that must start without a server, need the opposite: everything is
forbidden but a short list, so that a new dependency is a decision.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

ROOT_PACKAGE = "embedenv_jupyter"
"""May be imported anywhere (for its version): tests hold that it imports nothing itself."""


class ClosedImportsContract(Contract):
    """``modules`` and what is below them import the standard library and what the options add.

    Options: ``internal`` (modules of this project, with what is below them), ``external``
    (packages), ``without`` (modules of the standard library that are not allowed after all),
    ``single`` (lone exceptions, written ``importer -> imported``).
    """

    modules: Any = fields.SetField(subfield=fields.StringField())
    internal: Any = fields.SetField(subfield=fields.StringField(), required=False, default=frozenset())
    external: Any = fields.SetField(subfield=fields.StringField(), required=False, default=frozenset())
    without: Any = fields.SetField(subfield=fields.StringField(), required=False, default=frozenset())
    single: Any = fields.SetField(subfield=fields.StringField(), required=False, default=frozenset())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at the direct imports of each module; what they reach has a contract of its own."""
        strays = [
            (importer, imported, graph.get_import_details(importer=importer, imported=imported))
            for importer in sorted(self._members(graph))
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._allows(importer, imported)
        ]
        return ContractCheck(kept=not strays, metadata={"strays": strays})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported, details in check.metadata["strays"]:
            lines = ", ".join(f"l.{detail['line_number']}" for detail in details)
            output.print_error(f"{importer} is not allowed to import {imported} ({lines})", bold=False)
        output.new_line()

    def _members(self, graph: ImportGraph) -> Iterator[str]:
        for module in self.modules:
            if module not in graph.modules:
                raise ValueError(f"Module {module!r} does not exist.")
            yield module
            yield from graph.find_descendants(module)

    def _allows(self, importer: str, imported: str) -> bool:
        if f"{importer} -> {imported}" in self.single or imported == ROOT_PACKAGE:
            return True
        top = imported.partition(".")[0]
        if top == ROOT_PACKAGE:
            return _is_below(imported, self.modules | self.internal)
        if top in sys.stdlib_module_names:
            return top not in self.without
        return top in self.external


def _is_below(module: str, packages: frozenset[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)
