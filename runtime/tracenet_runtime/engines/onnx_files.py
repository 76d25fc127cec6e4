"""Which other files an ONNX model asks for, read without the onnx package.

An ONNX file is a protobuf message; a tensor in it may say that its data lie in another file. The
walk below follows only the fields that lead to tensors.
"""

from collections.abc import Iterator

# Message -> field number -> message. Numbers from onnx.proto3.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse_tensor",
        23: "sparse_tensor",
    },
    "sparse_tensor": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external_data"},
}
_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5


def external_locations(model: bytes) -> set[str]:
    """The values of every ``location`` of external data; ``ValueError`` for broken protobuf."""
    locations = set()
    to_visit = [("model", memoryview(model))]
    while to_visit:
        message, data = to_visit.pop()
        if message == "external_data":
            entry = dict(_length_delimited(data))
            if bytes(entry.get(1, b"")) == b"location":
                locations.add(bytes(entry.get(2, b"")).decode())
            continue
        for field, value in _length_delimited(data):
            if field in _FIELDS[message]:
                to_visit.append((_FIELDS[message][field], value))
    return locations


def _length_delimited(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The (field number, content) of every length-delimited field of a message."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        tag &= 0xFFFFFFFF  # as protobuf's own parsers do
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            position += 4 if kind == _FIXED32 else 8
        elif kind == _LENGTH_DELIMITED:
            length, position = _varint(data, position)
            if position + length > len(data):
                raise ValueError("a field ends beyond the file")
            yield tag >> 3, data[position : position + length]
            position += length
        else:
            raise ValueError("it has a field of unknown kind")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("it ends inside a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("it has a number of more than ten bytes")
