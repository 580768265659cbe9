"""Several long pieces of work at once, one process each, with their progress heard here.

Processes, not threads: training is half Python. They end with the process that made them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from typing import Any

from conversion.children import tie_worker
from firmware_py.contracts.errors import ConversionError

Work = Callable[[Callable[[float], None]], None]  # takes what hears the share done
Heard = tuple[str, float]  # a piece's name and the share of it that is done

_LISTEN_S = 0.5
_said: Any = None  # the worker's end of the queue


def at_once(works: Mapping[str, Work], workers: int, hear: Callable[[str, float], None]) -> Iterator[str]:
    """Do the works in processes, and yield the name of each when it is done.

    Args:
        works: by name; they and what they hold must be picklable.
        workers: processes at a time.
        hear: takes a name and the share done, on the calling thread.

    Raises:
        ConversionError: a process died.
        Exception: what a work raised; those that run are ended, those that are done stay so.
    """
    context = get_context("spawn")
    queue: SimpleQueue[Heard] = context.SimpleQueue()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_enter, initargs=(queue,)) as pool:
        jobs = {pool.submit(_do, name, work): name for name, work in works.items()}
        try:
            yield from _as_they_end(jobs, queue, hear)
        except BrokenProcessPool as error:
            msg = "a training process died (too little memory?)"
            raise ConversionError(msg) from error
        finally:
            _end(pool, jobs)


def _as_they_end(
    jobs: Mapping[Future[None], str], queue: SimpleQueue[Heard], hear: Callable[[str, float], None]
) -> Iterator[str]:
    left = set(jobs)
    while left:
        ended, left = wait(left, _LISTEN_S, FIRST_COMPLETED)
        while not queue.empty():
            hear(*queue.get())
        for job in ended:
            job.result()
            yield jobs[job]


def _end(pool: ProcessPoolExecutor, jobs: Mapping[Future[None], str]) -> None:
    """End what still runs: leaving the pool would wait for it, an hour for nothing."""
    for job in jobs:
        job.cancel()
    if not all(job.done() for job in jobs):
        for process in list(pool._processes.values()):  # noqa: SLF001 - no public way before Python 3.14
            process.terminate()


def _enter(queue: SimpleQueue[Heard]) -> None:
    global _said  # noqa: PLW0603 - a pool hands its queue to workers in no other way
    tie_worker()
    _said = queue


def _do(name: str, work: Work) -> None:
    work(lambda share: _said.put((name, share)))
