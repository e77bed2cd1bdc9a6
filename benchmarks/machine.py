"""What the machine did beside the measurement: a figure from a busy machine must say so."""

import os
from dataclasses import dataclass
from time import perf_counter
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class Load:
    """Processor use during one measurement, in cores (1.0 = one core all the time)."""

    cores: int
    load_average_before: float
    """Of the last minute, as the system counts it."""
    busy: float
    """Everything on the machine."""
    ours: float
    """Servers, publisher and the side that was measured."""

    @property
    def others(self) -> float:
        """Programs that have nothing to do with the benchmark."""
        return max(self.busy - self.ours, 0.0)

    def core_microseconds(self, events_per_second: float) -> float:
        """Of all cores, by the side and the servers, for one event: what a busy machine disturbs least."""
        return 1e6 * self.ours / events_per_second


class Meter:
    """Measures from `start` to `stop`."""

    def __init__(self) -> None:
        self._at = self._idle = self._load = 0.0
        self._used: dict[int, float] = {}

    def start(self) -> Self:
        """Begins. A process that runs later than this counts from its beginning."""
        self._load = os.getloadavg()[0]
        self._at, self._idle, self._used = perf_counter(), _idle_seconds(), _used_seconds()
        return self

    def stop(self) -> Load:
        """What was used since `start`. What processes used that ended meanwhile is counted to others."""
        seconds = max(perf_counter() - self._at, 1e-9)
        cores = psutil.cpu_count() or 1
        ours = sum(used - self._used.get(pid, 0.0) for pid, used in _used_seconds().items())
        busy = cores - (_idle_seconds() - self._idle) / seconds
        return Load(cores, self._load, busy, ours / seconds)


def _idle_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))


def _used_seconds() -> dict[int, float]:
    me = psutil.Process()
    used = {}
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[process.pid] = float(times.user + times.system)
    return used


def description() -> dict[str, object]:
    """The machine, as far as a reader of the figures must know it."""
    return {"cores": psutil.cpu_count() or 1, "memory_gib": round(psutil.virtual_memory().total / 2**30)}
