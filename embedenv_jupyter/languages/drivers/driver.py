"""Python cells in one namespace; the value of a last expression is shown.

This is what rooms without kernels keep sessions in.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import os
import sys
import traceback
import types
from typing import Any


def evaluate(name: str, source: str, namespace: dict[str, Any]) -> None:
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    tree = ast.parse(source, name)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    exec(compile(tree, name, "exec"), namespace)
    if isinstance(last, ast.Expr):
        sys.displayhook(eval(compile(ast.Expression(last.value), name, "eval"), namespace))


def succeeds(name: str, path: str, namespace: dict[str, Any]) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            evaluate(name, file.read(), namespace)
    except SystemExit as exit:
        if isinstance(exit.code, str):
            print(exit.code, file=sys.stderr)
        return not exit.code
    except BaseException as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_frame.f_code.co_filename == __file__:
            frame = frame.tb_next
        traceback.print_exception(type(error), error, frame)
        return False
    return True


def serve() -> None:
    with open(os.environ["CELL_IN"]) as cells, open(os.environ["CELL_OUT"], "w", buffering=1) as answers:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        sys.argv = [""]
        sys.path[0] = os.getcwd()
        answers.write("ready\n")
        for number, line in enumerate(iter(cells.readline, ""), 1):
            is_good = succeeds(f"<cell {number}>", line.rstrip("\n"), main.__dict__)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):  # a cell has closed it
                    stream.flush()
            answers.write("ok\n" if is_good else "error\n")


serve()
