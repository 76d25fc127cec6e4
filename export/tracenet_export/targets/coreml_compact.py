"""Says what a Core ML package says in fewer bytes: the same operators on the same weights.

coremltools gives each operator settings of its own under long names, which for a small program is
more than its weights are. What it has here is a form that is known to work on Apple's side:
Chromium's WebNN, which writes packages by itself, also keeps settings inside the operators that
they belong to and names constants alone.
"""

from __future__ import annotations

import itertools
import json
import struct
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
"""Within a package: the interface and the program."""

WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
"""Within a package: what of the program's numbers is not in `MODEL`."""

_DEBUG_MAP = "executorch_debug_handle_mapping.json"
_CONST_BYTES = 100
"""What a constant takes besides its value."""

# The file of weights: a header with the number of entries; then for each entry a record (its data's
# type, bytes and position, and where the data ends within a byte) and the data, all of it aligned.
_HEADER = struct.Struct("<II56x")
_RECORD = struct.Struct("<IIQQQ32x")
_ALIGNMENT = 64


def compact(path: Path, spec: Any) -> None:
    """Rewrite a package in place, so that equal programs become equal files.

    Args:
        path: the package.
        spec: its content, a coremltools ``Model`` with an ML Program of one plain function; to be
            changed and written.
    """
    block = _block(spec)
    _share_settings(block)
    _shorten_names(spec, block)
    if (path / WEIGHTS).exists():
        _share_weights(block, path / WEIGHTS)
    (path / MODEL).write_bytes(spec.SerializeToString(deterministic=True))
    _rewrite_manifest(path / "Manifest.json", path.stem)
    # coremltools adds a map for ExecuTorch's debugger, which is no part of the package, and gives
    # what comes out of its temporary folders to its owner alone.
    (path / _DEBUG_MAP).unlink(missing_ok=True)
    for part in path.rglob("*"):
        part.chmod(0o755 if part.is_dir() else 0o644)


def operator_counts(spec: Any) -> dict[str, int]:
    """MIL operator -> how often a model's program has it; constants are no operators."""
    types = (operation.type for operation in _block(spec).operations)
    return dict(sorted(Counter(kind for kind in types if kind != "const").items()))


def _block(spec: Any) -> Any:
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset]


def _bindings(block: Any) -> Iterator[Any]:
    """What the inputs of all operators are bound to: a value's name, or the value itself."""
    for operation in block.operations:
        for argument in operation.inputs.values():
            yield from argument.arguments


def _content(operation: Any) -> bytes:
    content: bytes = operation.attributes["val"].SerializeToString(deterministic=True)
    return content


def _share_settings(block: Any) -> None:
    """One constant for equal ones, or none where it is shorter inside the operators."""
    constants = {o.outputs[0].name: o for o in block.operations if o.type == "const"}
    contents = {name: _content(constant) for name, constant in constants.items()}
    first: dict[bytes, str] = {}
    for name, content in contents.items():
        first.setdefault(content, name)
    uses = Counter(contents[b.name] for b in _bindings(block) if b.name in constants)
    inside = {
        content
        for content, name in first.items()
        if constants[name].attributes["val"].WhichOneof("value") == "immediateValue"
        and uses[content] * len(content) < _CONST_BYTES + len(content)
    }
    for binding in _bindings(block):
        if binding.name in constants:
            content = contents[binding.name]
            if content in inside:
                binding.value.CopyFrom(constants[first[content]].attributes["val"])
            else:
                binding.name = first[content]
    kept = set(first.values()) - {first[content] for content in inside}
    _keep(block, [o for o in block.operations if o.type != "const" or o.outputs[0].name in kept])


def _keep(block: Any, operations: list[Any]) -> None:
    copies = [type(operation).FromString(operation.SerializeToString()) for operation in operations]
    del block.operations[:]
    block.operations.extend(copies)


def _shorten_names(spec: Any, block: Any) -> None:
    """Of everything but the inputs and outputs; Core ML asks for a name only from constants."""
    function = spec.mlProgram.functions["main"]
    names = {name: name for name in [*(i.name for i in function.inputs), *block.outputs]}
    kept = set(names)
    short = (f"v{index}" for index in itertools.count())
    unused = (name for name in short if name not in kept)
    for operation in block.operations:
        for output in operation.outputs:
            if output.name not in names:
                names[output.name] = next(unused)
            output.name = names[output.name]
        if operation.type.startswith("const"):  # and the likes of constexpr_affine_dequantize
            name = operation.attributes["name"].immediateValue.tensor.strings
            name.values[0] = operation.outputs[0].name
        else:
            operation.attributes.pop("name", None)
    for binding in _bindings(block):
        if binding.WhichOneof("binding") == "name":
            binding.name = names[binding.name]


def _share_weights(block: Any, path: Path) -> None:
    """One entry in the file of weights for equal ones: the zero points of int8 weights, above all.

    Operators give the position of an entry's record.
    """
    old = path.read_bytes()
    _, version = _HEADER.unpack_from(old)
    new = bytearray(_HEADER.size)
    positions: dict[tuple[Any, ...], int] = {}
    for operation in block.operations:
        for value in operation.attributes.values():
            if value.WhichOneof("value") != "blobFileValue":
                continue
            sentinel, kind, size, start, padding = _RECORD.unpack_from(
                old, value.blobFileValue.offset
            )
            entry = (sentinel, kind, padding, old[start : start + size])
            if entry not in positions:
                new += bytes(-len(new) % _ALIGNMENT)
                positions[entry] = len(new)
                start = len(new) + _RECORD.size
                new += _RECORD.pack(sentinel, kind, size, start, padding) + entry[-1]
            value.blobFileValue.offset = positions[entry]
    _HEADER.pack_into(new, 0, len(positions), version)
    path.write_bytes(new)


def _rewrite_manifest(path: Path, program: str) -> None:
    """The package's own list of contents, with identifiers that are the same every time.

    coremltools writes it anew whenever it opens a package, and a bundle's files must not change:
    hence its form to the byte.
    """
    manifest = json.loads(path.read_text())
    root = manifest["rootModelIdentifier"]
    identifiers = {
        old: str(uuid.uuid5(uuid.NAMESPACE_URL, f"tracenet:{program}/{item['path']}"))
        for old, item in manifest["itemInfoEntries"].items()
    }
    manifest["rootModelIdentifier"] = identifiers[root]
    manifest["itemInfoEntries"] = {
        identifiers[old]: item for old, item in manifest["itemInfoEntries"].items()
    }
    path.write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n")
