"""Device profiles: phones in sourced figures, one TOML file each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracenet_runtime.errors import TraceNetError
from tracenet_runtime.text import read_text

APP_MEMORY_SHARE = 0.5
"""Of the phone's memory, what one app may take.

A convention of this benchmark. Android and iOS publish no limit for an app's native memory; both
end an app that takes too much for the others, and what that is depends on the phone and the moment.
"""

_FOLDERS = (Path(__file__).parent / "profiles", Path(__file__).parents[2] / "devices")
"""Where the shipped profiles are in an installed wheel, and in a source tree."""

_LANE_BITS = 32
_LARGEST = 10**18
_PROFILE_KEYS = {"description", "year", "memory", "bandwidth", "clusters", "sources"}
_CLUSTER_KEYS = {"core", "cores", "clock", "simd_bits", "fma_units"}
_SOURCE_KEYS = {"figures", "url"}


class ProfileError(TraceNetError):
    """There is no such device profile, or it is malformed."""


@dataclass(frozen=True)
class Cluster:
    """Equal cores at the same clock.

    Attributes:
        core: the name of the design, such as ``Cortex-A78``; another cluster may have it too.
        cores: how many.
        clock: hertz, at most.
        simd_bits: width of each unit that multiplies and adds; None where no source tells.
        fma_units: such units of a core, each a vector per cycle; None where no source tells.
    """

    core: str
    cores: int
    clock: float
    simd_bits: int | None
    fma_units: int | None

    @property
    def peak(self) -> float | None:
        """fp32 multiply-adds per second of one core."""
        if self.simd_bits is None or self.fma_units is None:
            return None
        return self.simd_bits // _LANE_BITS * self.fma_units * self.clock


@dataclass(frozen=True)
class Source:
    """Where figures were found: ``memory``, ``bandwidth``, ``year``, ``CORE.clock`` and so on.

    ``CORE`` stands for all clusters of that name.
    """

    figures: tuple[str, ...]
    url: str


@dataclass(frozen=True)
class Profile:
    """A phone.

    Attributes:
        name: that of its file.
        description: class, chip and a phone that is like that, in a line.
        year: in which such phones came out.
        memory: bytes of the phone.
        bandwidth: of its memory, bytes per second; None where no source tells.
        clusters: the cores that inference runs on, the fastest first: the large ones.
        sources: of every figure.
    """

    name: str
    description: str
    year: int
    memory: int
    bandwidth: float | None
    clusters: tuple[Cluster, ...]
    sources: tuple[Source, ...]

    @property
    def cores(self) -> int:
        """How many cores inference runs on."""
        return sum(cluster.cores for cluster in self.clusters)

    @property
    def app_memory(self) -> int:
        """Bytes that an app may take: ``APP_MEMORY_SHARE`` of the phone's."""
        return int(APP_MEMORY_SHARE * self.memory)

    def peak(self, threads: int) -> float | None:
        """fp32 multiply-adds per second of the ``threads`` fastest cores; None if not sourced."""
        peaks = [v.peak for v in self.clusters for _ in range(v.cores)]
        known = [peak for peak in peaks if peak is not None]
        return sum(sorted(known, reverse=True)[:threads]) if len(known) == len(peaks) else None


def shipped_profiles() -> tuple[str, ...]:
    """The names of the profiles that come with the benchmark."""
    return tuple(sorted(path.stem for path in _shipped_files()))


def load_profile(name_or_path: str) -> Profile:
    """A shipped profile by its name, or one of your own by the path of its ``.toml``.

    Raises:
        ProfileError: there is none, or it is malformed.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        found = [file for file in _shipped_files() if file.stem == name_or_path]
        if not found:
            raise ProfileError(
                f"There is no device profile {name_or_path!r}; name one of "
                f"{', '.join(shipped_profiles())}, or the path of a .toml file."
            )
        path = found[0]
    try:
        content = tomllib.loads(read_text(path))
    except OSError as error:
        raise ProfileError(
            f"The device profile {path} cannot be read: {error.strerror}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"The device profile {path} is not valid TOML: {error}.") from error
    return _profile(path.stem, _Table(content, f"The device profile {path}", _PROFILE_KEYS))


def _shipped_files() -> Iterator[Path]:
    for folder in _FOLDERS:
        yield from folder.glob("*.toml")


@dataclass(frozen=True)
class _Table:
    """A table of a profile, read key by key; ``where`` begins the sentence for a mistake."""

    content: Mapping[str, Any]
    where: str
    known: set[str]

    def __post_init__(self) -> None:
        for key in self.content:
            if key not in self.known:
                raise ProfileError(
                    f"{self.where} has the unknown key {key!r}; the keys are "
                    f"{', '.join(sorted(self.known))}."
                )

    def text(self, key: str) -> str:
        value = self._required(key)
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            self.refuse(key, "must be a line of text")
        return str(value)

    def whole(self, key: str) -> int:
        value = self._required(key)
        if type(value) is not int or not 1 <= value <= _LARGEST:
            self.refuse(key, f"must be a whole number above zero, at most {_LARGEST:.0e}")
        return int(value)

    def positive(self, key: str) -> float:
        value = self._required(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= _LARGEST:
            self.refuse(key, f"must be a number above zero, at most {_LARGEST:.0e}")
        return float(value)

    def tables(self, key: str, known: set[str]) -> list[_Table]:
        value = self._required(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
            self.refuse(key, f"must be tables, each begun with [[{key}]]")
        return [_Table(v, f"{self.where}, {key} number {i}", known) for i, v in enumerate(value, 1)]

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._required(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            self.refuse(key, "must be a list of texts")
        return tuple(value)

    def has(self, key: str) -> bool:
        return key in self.content

    def refuse(self, key: str, reason: str) -> None:
        raise ProfileError(f"{self.where}: {key!r} {reason}.")

    def _required(self, key: str) -> Any:
        if key not in self.content:
            raise ProfileError(f"{self.where} lacks {key!r}.")
        return self.content[key]


def _profile(name: str, table: _Table) -> Profile:
    profile = Profile(
        name=name,
        description=table.text("description"),
        year=table.whole("year"),
        memory=table.whole("memory"),
        bandwidth=table.positive("bandwidth") if table.has("bandwidth") else None,
        clusters=tuple(_cluster(v) for v in table.tables("clusters", _CLUSTER_KEYS)),
        sources=tuple(_source(v) for v in table.tables("sources", _SOURCE_KEYS)),
    )
    _check_sources(profile, table)
    return profile


def _cluster(table: _Table) -> Cluster:
    if table.has("simd_bits") != table.has("fma_units"):
        raise ProfileError(f"{table.where} needs both 'simd_bits' and 'fma_units', or neither.")
    simd_bits = table.whole("simd_bits") if table.has("simd_bits") else None
    if simd_bits is not None and simd_bits % _LANE_BITS:
        table.refuse("simd_bits", f"must be a multiple of {_LANE_BITS}")
    return Cluster(
        core=table.text("core"),
        cores=table.whole("cores"),
        clock=table.positive("clock"),
        simd_bits=simd_bits,
        fma_units=table.whole("fma_units") if table.has("fma_units") else None,
    )


def _source(table: _Table) -> Source:
    url = table.text("url")
    if not url.startswith(("http://", "https://")):
        table.refuse("url", "must begin with http:// or https://")
    return Source(table.texts("figures"), url)


def _check_sources(profile: Profile, table: _Table) -> None:
    figures = {"year", "memory"} | ({"bandwidth"} if profile.bandwidth is not None else set())
    for cluster in profile.clusters:
        of_core = ["cores", "clock"]
        of_core += ["simd_bits", "fma_units"] if cluster.simd_bits is not None else []
        figures.update(f"{cluster.core}.{figure}" for figure in of_core)
    if len({(v.core, v.clock) for v in profile.clusters}) < len(profile.clusters):
        raise ProfileError(
            f"{table.where} has two clusters of the same core at the same clock; write them as one."
        )
    sourced = {figure for source in profile.sources for figure in source.figures}
    for missing in sorted(figures - sourced):
        raise ProfileError(f"{table.where} has no source for {missing!r}; add its address.")
    for unknown in sorted(sourced - figures):
        raise ProfileError(f"{table.where} has a source for {unknown!r}, which it does not have.")
