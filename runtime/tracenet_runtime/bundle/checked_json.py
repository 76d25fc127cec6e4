"""JSON from an untrusted file, read key by key with the type and range each value must have."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from tracenet_runtime.errors import BundleError

_T = TypeVar("_T")


@dataclass(frozen=True)
class JsonValue:
    """A value and where it stands (``manifest.json, levels[0].name``), for the error message.

    Every method raises ``BundleError`` when the value is not what the method is named after.
    """

    value: Any
    where: str

    def __getitem__(self, key: str) -> "JsonValue":
        """The value of a required key of an object; unknown keys are never looked at."""
        members = self._object()
        if key not in members:
            raise BundleError(f"{self.where} lacks the key {key!r}; export the bundle again.")
        return self._at(key, members[key])

    def members(self) -> Iterator[tuple[str, "JsonValue"]]:
        """The keys and values of an object."""
        for key, value in self._object().items():
            yield key, self._at(key, value)

    def elements(self, minimum: int = 0, maximum: int | None = None) -> list["JsonValue"]:
        """The elements of an array with at least ``minimum`` and at most ``maximum`` of them."""
        if not isinstance(self.value, list):
            self.refuse("must be an array")
        if len(self.value) < minimum:
            self.refuse(f"must have at least {minimum} element(s)")
        if maximum is not None and len(self.value) > maximum:
            self.refuse(f"must have at most {maximum} element(s)")
        return [JsonValue(v, f"{self.where}[{i}]") for i, v in enumerate(self.value)]

    def tuple_of(self, count: int) -> list["JsonValue"]:
        """The elements of an array with exactly ``count`` of them."""
        elements = self.elements()
        if len(elements) != count:
            self.refuse(f"must have {count} elements")
        return elements

    def prose(self) -> str:
        """A string with at least one character, any character."""
        if not isinstance(self.value, str) or not self.value:
            self.refuse("must be a non-empty string")
        return self.value

    def text(self) -> str:
        """A string that can be printed on one line: not empty, no control characters."""
        text = self.prose()
        if not text.isprintable():
            self.refuse("must have printable characters only")
        return text

    def text_among(self, *allowed: str) -> str:
        """One of the strings that this reader knows."""
        text = self.text()
        if text not in allowed:
            self.refuse(f"must be {' or '.join(map(repr, allowed))}")
        return text

    def integer(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self.refuse("must be a whole number")
        if not low <= self.value <= high:
            self.refuse(f"must be from {low} to {high}")
        return self.value

    def truth(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.refuse("must be true or false")
        return self.value

    def number(self) -> float:
        """A finite number."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            self.refuse("must be a number")
        try:
            number = float(self.value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.refuse("must be a finite number")
        return number

    def positive_number(self) -> float:
        """A finite number above zero."""
        number = self.number()
        if number <= 0:
            self.refuse("must be above zero")
        return number

    def share(self) -> float:
        """A number from 0 to 1."""
        number = self.number()
        if not 0 <= number <= 1:
            self.refuse("must be from 0 to 1")
        return number

    def must_have(self, described: Mapping[str, Any]) -> None:
        """An object that says of itself what this reader takes for granted, key by key."""
        for key, value in described.items():
            if self[key].value != value:
                self[key].refuse(f"must be {json.dumps(value)}, as this reader has it")

    def optional(self, read: Callable[["JsonValue"], _T]) -> _T | None:
        """What ``read`` makes of it; None for null."""
        return None if self.value is None else read(self)

    def of_kind(self, kinds: Mapping[str, Callable[["JsonValue"], _T]]) -> _T:
        """An object with a ``kind``, read by the reader of that."""
        return kinds[self["kind"].text_among(*kinds)](self)

    def refuse(self, reason: str) -> NoReturn:
        """Raise ``BundleError``: this value ``reason`` (a phrase such as "must be a number")."""
        raise BundleError(f"{self.where} {reason}; export the bundle again.")

    def _object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            self.refuse("must be an object")
        return self.value

    def _at(self, key: str, value: Any) -> "JsonValue":
        separator = "." if "," in self.where else ", "
        shown = key[:40] if key.isprintable() else ascii(key[:40])
        return JsonValue(value, f"{self.where}{separator}{shown}")


def parse_json(data: bytes, file_name: str) -> JsonValue:
    """Parse a JSON text; ``BundleError`` when it is not one (NaN and Infinity are not JSON)."""

    def refuse_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(data, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{file_name} is not valid JSON ({error}); export the bundle again."
        ) from error
    return JsonValue(value, file_name)
