"""Python cells in one namespace; the value of a last expression is shown.

This is what rooms without kernels keep sessions in.
"""

import ast
import linecache
import os
import sys
import traceback
import types


def evaluate(name, source, namespace):
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)
    if last is not None:
        sys.displayhook(eval(compile(ast.Expression(last.value), name, "eval"), namespace))


def succeeds(name, path, namespace):
    try:
        with open(path, encoding="utf-8") as file:
            evaluate(name, file.read(), namespace)
    except SystemExit as exit:
        if isinstance(exit.code, str):
            print(exit.code, file=sys.stderr)
        return not exit.code
    except BaseException as error:
        inner = error.__traceback__ and error.__traceback__.tb_next
        traceback.print_exception(type(error), error, None if isinstance(error, SyntaxError) else inner)
        return False
    return True


def serve():
    with open(os.environ["CELL_IN"]) as cells, open(os.environ["CELL_OUT"], "w", buffering=1) as answers:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        sys.argv = [""]
        sys.path[0] = os.getcwd()
        answers.write("ready\n")
        for number, line in enumerate(iter(cells.readline, ""), 1):
            is_good = succeeds("<cell %d>" % number, line.rstrip("\n"), main.__dict__)
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except (OSError, ValueError):
                    pass
            answers.write("ok\n" if is_good else "error\n")


serve()
