"""``python -m validation.stub`` writes harness/__init__.pyi: the functions of ``harness`` as an editor reads them."""

from __future__ import annotations

import inspect
from pathlib import Path

import harness
from harness import commands

PATH = Path(harness.__file__).with_suffix(".pyi")


def stub() -> str:
    """The text of the stub, from the options of every command."""
    imports = sorted(harness.TYPES.items(), key=lambda item: item[::-1])
    lines = ['"""Made by `make readme` from the options of every command: edit those."""', ""]
    lines += ["from collections.abc import Sequence", "from pathlib import Path", ""]
    lines += [f"from {module} import {name} as {name}" for name, module in imports]
    lines += ["", "__version__: str", ""]
    for name in harness.COMMANDS:
        signature = inspect.signature(commands.function(name))
        parts, keyword = [], False
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                parts.append(f"*{parameter.name}: {parameter.annotation}")
            else:
                parts += [] if keyword or parts else ["*"]
                default = str(parameter.default) if isinstance(parameter.default, Path) else parameter.default
                shown = repr(default).replace("'", '"')
                parts.append(f"{parameter.name}: {parameter.annotation} = {shown}")
            keyword = True
        lines += [f"def {name}(", *(f"    {part}," for part in parts), f") -> {signature.return_annotation}: ..."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(stub())
