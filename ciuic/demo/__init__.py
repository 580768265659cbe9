"""`ciuic demo`: a broker, three nodes on simulated boards, 200 sentences, one node killed on the way.

Everything is real but the boards: the broker, the processes, the model, MQTT 5 and 3.1.1. The exit
status is 0 only if every request was answered, and again only where it was sent again, at most 1 % were
late, refused or failed, and the intents were right often enough (`summary.checks`).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ciuic.demo.nodes import NodeLatch, Nodes
    from ciuic.demo.sentences import Question
    from ciuic.demo.summary import Answered, Played
    from mqtt_bridge.broker.process import BrokerProcess
    from mqtt_bridge.transport.base import Transport

_ROOT = Path(__file__).resolve().parents[2]
_MESH = "demo"
_READY_TIMEOUT_S = 30.0
_METER_S = 8.0
_LOOK_S = 0.1
_COUNT = 200
_LEGACY = 20
_KILL_AT = 120
_VICTIM = "pi5"


def configure_demo(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "--model",
        type=Path,
        default=_ROOT / "models" / "home-en.bundle",
        help="bundle to serve (default: models/home-en.bundle)",
    )
    parser.add_argument(
        "--trust",
        type=Path,
        default=_ROOT / "models" / "trust",
        help="folder of trusted keys (default: models/trust)",
    )
    parser.add_argument(
        "--sentences",
        type=Path,
        default=_ROOT / "examples" / "home_en.jsonl",
        help="file of sentences to ask (default: examples/home_en.jsonl)",
    )
    parser.add_argument("--count", type=_count, default=_COUNT, help="how many to ask (default: %(default)s)")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the choice and order of the sentences (default: %(default)s)",
    )
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=0.03,
        metavar="S",
        help="seconds between requests (default: %(default)s)",
    )
    parser.add_argument(
        "--meter-wait",
        type=_seconds,
        default=_METER_S,
        metavar="S",
        help="seconds to wait at most until the meters have learned what an answer costs (default: %(default)s)",
    )
    parser.add_argument(
        "--broker",
        choices=("mosquitto", "iotcore"),
        help="the broker to start (default: mosquitto if it is installed, else iotcore)",
    )
    parser.add_argument("--json", action="store_true", help="print only the summary, as JSON")


def run_demo(args: argparse.Namespace) -> int:
    """Play the demo; 0 if every check holds, else 1.

    Raises:
        CiuicError: something it needs is missing, or a node does not come up.
    """
    from ciuic.demo.screen import fold, summary_lines
    from ciuic.demo.sentences import load_sentences, plan_questions
    from ciuic.demo.summary import checks, summarise
    from mqtt_bridge.broker.process import start_broker

    _check_bundle(args.model, args.trust)
    legacy = args.count * _LEGACY // _COUNT
    questions = plan_questions(load_sentences(args.sentences), args.count, legacy, args.seed)
    say = _mute if args.json else _print
    with start_broker(args.broker) as broker:
        say(f"broker       {broker.kind.name} on {broker.url} (loopback only)")
        figures = summarise(_play(args, broker, questions, say))
    verdicts = checks(figures)
    for line in summary_lines(figures, verdicts):
        say(fold(line, _width()))
    if args.json:
        table = [asdict(check) | {"ok": check.ok} for check in verdicts]
        print(json.dumps(figures | {"broker": broker.kind.name, "checks": table}, indent=1))
    return 0 if all(check.ok for check in verdicts) else 1


def _play(
    args: argparse.Namespace, broker: BrokerProcess, questions: Sequence[Question], say: Callable[[str], None]
) -> Played:
    """Start the nodes, ask everything, kill one node."""
    from ciuic.demo.nodes import BOARDS, NodeLatch, Nodes
    from ciuic.demo.play import Asker, Pace
    from ciuic.demo.screen import answer_line, header
    from ciuic.demo.summary import Killed, Played

    kill_at = max(1, _KILL_AT * args.count // _COUNT)
    answers: list[Answered] = []
    killed: list[Killed] = []
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ciuic-demo-")))
        transports = {5: _link(broker, "demo-v5", 5), 4: _link(broker, "demo-v311", 4)}
        names = [board.node for board in BOARDS]
        ready = NodeLatch(transports[5], "state", _MESH, names)
        metered = NodeLatch(transports[5], "heartbeat", _MESH, names)
        for transport in transports.values():
            stack.enter_context(transport)
        options = [
            "--mesh",
            _MESH,
            "--broker",
            broker.url,
            "--model",
            str(args.model),
            "--trust",
            str(args.trust),
        ]
        nodes = stack.enter_context(Nodes(BOARDS, options, logs))
        for board in BOARDS:
            say(f"node         {board.node}: {board.title}, simulated, a process of its own")
        _wait_ready(ready, nodes)
        for transport in transports.values():
            transport.wait_up(_READY_TIMEOUT_S)
        _calibrate(metered, args.meter_wait)
        width = _width()
        say(f"\n{header(width)}")

        def kill() -> None:
            pid, by = nodes.kill(_VICTIM)
            killed.append(Killed(_VICTIM, by, kill_at))
            line = f" request {kill_at}: node {_VICTIM} (process {pid}) killed with {by} "
            say(line.center(min(width, 120), "-"))

        asker = Asker(transports, _MESH, qos=0 if broker.kind.delayed_qos1 else 1)
        for answer in asker.play(questions, Pace(args.interval, kill_at, kill)):
            answers.append(answer)
            say(answer_line(answer, width))
        end = killed[0] if killed else None
        return Played(len(questions), answers, asker.repeats, asker.unexplained, end)


def _check_bundle(bundle: Path, trust: Path) -> None:
    """What every node would refuse, and what no node would answer, is told before any is started.

    Raises:
        CiuicError: the bundle or the trust folder is absent, or the bundle is refused.
        ConfigError: it serves another task than the demo's.
    """
    from ciuic.demo.play import TASK
    from firmware_py.bundles.read import read_bundle
    from firmware_py.compose import trust_of
    from firmware_py.config import AgentConfig
    from firmware_py.contracts.errors import ConfigError

    task = read_bundle(bundle, trust_of(AgentConfig(trust=str(trust)))).manifest.task.name
    if task != TASK:
        msg = f"{bundle} serves the task {task}, and the demo asks {TASK}"
        raise ConfigError(
            msg, hint=f"Give --model a bundle of the task {TASK}, such as models/home-en.bundle."
        )


def _wait_ready(ready: NodeLatch, nodes: Nodes) -> None:
    """Until every node is, as long as none of them ends.

    Raises:
        CiuicError: a node ended by itself.
        NoReplyError: one is not ready in time.
    """
    from firmware_py.contracts.errors import NoReplyError

    for _ in range(round(_READY_TIMEOUT_S / _LOOK_S)):
        if ready.wait(_LOOK_S):
            return
        nodes.check()
    msg = f"not ready within {_READY_TIMEOUT_S:g} s: {', '.join(ready.missing)} ({nodes.last_words()})"
    raise NoReplyError(msg)


def _calibrate(metered: NodeLatch, most_s: float) -> None:
    """Give each node's meter time to learn what an answer costs; the demo goes on without it, too."""
    from ciuic.progress import Progress

    looks = round(most_s / _LOOK_S)
    with Progress("metering what an answer costs", looks) as show:
        for look in range(looks):
            if metered.wait(_LOOK_S):
                break
            show(look)


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        msg = "at least 1"
        raise argparse.ArgumentTypeError(msg)
    return count


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds < math.inf:  # nor nan
        msg = f"{text} is not seconds from 0 on"
        raise argparse.ArgumentTypeError(msg)
    return seconds


def _width() -> int:
    """Columns of the terminal; wide where there is none."""
    from ciuic.demo.screen import WIDE

    return shutil.get_terminal_size((WIDE, 0)).columns


def _print(line: str) -> None:
    print(line, flush=True)


def _mute(_line: str) -> None:
    """With `--json` the document alone goes to standard output."""


def _link(broker: BrokerProcess, client_id: str, protocol: int) -> Transport:
    from mqtt_bridge.transport.base import LinkOptions
    from mqtt_bridge.transport.mqtt import MqttTransport

    if protocol == 5:
        return MqttTransport(LinkOptions(client_id, (broker.url,)))
    return MqttTransport(LinkOptions(client_id, (broker.url_v311,), protocol="3.1.1"))
