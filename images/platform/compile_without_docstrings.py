"""Compiles every module of some folders without its docstrings, which no process of ours reads and each has in memory.

Assertions stay, unlike with `python -OO`. Modules below KEPT are as they are: `kubelambda crds` makes the descriptions of
the definitions out of theirs, and `--help` its texts.
"""

import ast
import compileall
import re
import sys
from importlib.machinery import SourceFileLoader
from py_compile import PycInvalidationMode

KEPT = re.compile(r"/kubelambda/(api|apps|cli|resources)/")
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

_compiled = SourceFileLoader.source_to_code


def _without_docstrings(self, data, path, *, _optimize=-1):
    if KEPT.search(str(path)):
        return _compiled(self, data, path, _optimize=_optimize)
    tree = ast.parse(data, path)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body.pop(0)
            if not node.body:
                node.body.append(ast.copy_location(ast.Pass(), first))
    return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)


def main():
    """Exits with 1 when a module cannot be compiled, as `python -m compileall` does."""
    SourceFileLoader.source_to_code = _without_docstrings
    mode = PycInvalidationMode.UNCHECKED_HASH
    done = [compileall.compile_dir(folder, quiet=1, force=True, invalidation_mode=mode) for folder in sys.argv[1:]]
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
