"""Several long pieces of work at once, one process each, with their progress heard here.

Processes, not threads: training is half Python. They end with the process that made them. Not a process pool: one of
CPython 3.11 does not notice the death of a worker that it started while it was waiting for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from firmware_py.children import tie_worker
from firmware_py.contracts.errors import ConversionError

Work = Callable[[Callable[[float], None]], None]  # takes what hears the share done

_CONTEXT = get_context("spawn")


@dataclass(frozen=True, slots=True)
class _Hand:
    process: SpawnProcess
    ear: Connection  # hears shares done, and what was raised


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
    waiting, hands = dict(works), dict[str, _Hand]()
    try:
        while waiting or hands:
            for name in list(waiting)[: workers - len(hands)]:
                hands[name] = _start(waiting.pop(name))
            connection.wait(
                [hand.ear for hand in hands.values()] + [hand.process.sentinel for hand in hands.values()]
            )
            for name, hand in list(hands.items()):
                ended = not hand.process.is_alive()  # asked first: what it said before its end is heard below
                _listen(hand.ear, partial(hear, name))
                if ended:
                    del hands[name]
                    _check(hand.process.exitcode)
                    yield name
    finally:
        for hand in hands.values():
            hand.process.terminate()
            hand.process.join()


def _start(work: Work) -> _Hand:
    ear, mouth = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_do, args=(work, mouth))
    process.start()
    mouth.close()  # so that its end is heard
    return _Hand(process, ear)


def _listen(ear: Connection, hear: Callable[[float], None]) -> None:
    """All that was said so far.

    Raises:
        Exception: what the work raised.
    """
    while ear.poll():
        try:
            said = ear.recv()
        except (EOFError, ConnectionError):  # its end, perhaps in the middle of a word
            return
        if isinstance(said, BaseException):
            raise said
        hear(said)


def _check(status: int | None) -> None:
    if status:
        msg = "a training process died (too little memory?)"
        raise ConversionError(msg)


def _do(work: Work, mouth: Connection) -> None:
    tie_worker()
    try:
        work(mouth.send)
    except Exception as error:  # noqa: BLE001 - raised again where the work was asked for
        mouth.send(error)
