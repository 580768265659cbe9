"""`ciuic node run`, `ciuic ask` and `ciuic broker`."""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

from firmware_py.contracts.written import spread
from firmware_py.keeper import end_with_keeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_py.contracts.node_state import Lifecycle
    from firmware_py.contracts.reply import Reply
    from mqtt_bridge.compose import MeshNode
    from mqtt_bridge.node.stop import StopSignals
    from mqtt_bridge.transport.address import BrokerAddress

_NOT_ANSWERED = ("refused", "failed")
_BROKER_CHECK_S = 0.5


def configure_node(parser: argparse.ArgumentParser) -> None:
    """`ciuic node run`: both tables' flags."""
    from firmware_py.config import AGENT, add_flags
    from firmware_py.keeper import BARE_FLAG
    from mqtt_bridge.compose import BRIDGE

    verbs = parser.add_subparsers(dest="node_verb", required=True, metavar="VERB")
    run = verbs.add_parser("run", help="serve until SIGTERM or Ctrl-C", conflict_handler="resolve")
    add_flags(run, (*AGENT, *BRIDGE))
    run.add_argument("--id", dest="node", metavar="TEXT", help="another spelling of --node")
    run.add_argument(
        "--simulate",
        action="store_true",
        help="run as a simulated board (the profile `simulated`, unless --profile names another)",
    )
    run.add_argument(
        BARE_FLAG,
        action="store_true",
        help="run in one process: a native crash (in a driver or a delegate) then ends the node instead of restarting it",
    )


def run_node(args: argparse.Namespace) -> int:
    """Serve until a signal, then leave cleanly; one that comes during the start ends that.

    Raises:
        CiuicError: the node cannot be built; its code says why.
        NameTakenError: another one was there first.
    """
    # Read once, when numpy loads: the heads' products are small, and waking a second BLAS thread costs
    # more than it computes; each thread also holds its own buffer.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    end_with_keeper()
    faulthandler.enable(2)  # a native crash leaves its stack in the log, and no text of anybody
    from firmware_py.compose import board_of, build_node, profile_values
    from firmware_py.config import AGENT, AgentConfig, from_args
    from firmware_py.contracts.errors import ConfigError
    from mqtt_bridge.compose import BRIDGE, BridgeConfig, build_mesh_node
    from mqtt_bridge.node.stop import Stopped, StopSignals

    if args.simulate and args.profile is None:
        args.profile = "simulated"
    values = from_args(args, (*AGENT, *BRIDGE), profile_values)
    if args.simulate and not board_of(values["profile"])[1]:
        msg = f"this machine is the board {values['profile']}; it is not simulated on itself"
        raise ConfigError(msg, hint="Leave --simulate out, or name another --profile.")
    bridge = BridgeConfig.of(values)
    _keep_to(bridge.core)
    with StopSignals() as stop:
        try:
            with stop.at_once():
                agent = build_node(AgentConfig.of(values))
        except Stopped:
            return 0
        try:
            node = build_mesh_node(bridge, agent)
        except BaseException:
            agent.close()
            raise
        settle()
        _serve(node, bridge.mesh, stop)
    return 0


def _serve(node: MeshNode, mesh: str, stop: StopSignals) -> None:
    """Run a node until a signal to stop.

    Raises:
        NameTakenError: the broker says that another client had the name first.
    """
    from firmware_py.contracts.errors import NameTakenError

    taken: list[BrokerAddress] = []

    def give_way(broker: BrokerAddress) -> None:
        taken.append(broker)
        stop.end()

    node.watch(_told_once(lambda state: _serves(node, mesh) if state == "ready" else _not_ready(node)))
    node.when_name_taken(give_way)
    with node:
        stop.wait()
    if taken:
        msg = f"another client is connected to {taken[0]} as {node.agent.name}"
        raise NameTakenError(msg)


def _serves(node: MeshNode, mesh: str) -> str:
    tasks = ", ".join(task.name for task in node.agent.tasks())
    return f"node {node.agent.name}: serves {tasks} in mesh {mesh} on {node.transport.broker}"


def _told_once(line_of: Callable[[Lifecycle], str]) -> Callable[[Lifecycle], None]:
    """Prints a line at the first `ready`, for from then on a request is answered, and at the first `init`."""
    left: set[Lifecycle] = {"init", "ready"}

    def watch(state: Lifecycle) -> None:
        if state in left:
            left.remove(state)
            print(line_of(state), flush=True)

    return watch


def _not_ready(node: MeshNode) -> str:
    from mqtt_bridge.transport.base import REFUSED_HINT

    refused = ", ".join(node.endpoint.refused())
    return f"node {node.agent.name}: not ready: the broker refuses the subscription {refused}: {REFUSED_HINT}"


def _keep_to(core: int) -> None:
    """Before any thread starts, so that all of them stay on the core.

    Raises:
        ConfigError: this machine has no such core.
    """
    from firmware_py.contracts.errors import ConfigError

    if core < 0:
        return
    try:
        os.sched_setaffinity(0, {core})
    except (OSError, AttributeError, OverflowError) as error:
        msg = f"the node cannot be kept on core {core}"
        raise ConfigError(msg, hint="`nproc` counts the cores; the first is 0.") from error


def settle() -> None:
    """What start-up made stays for good: the collector need not walk it while requests run.

    Nor now: its garbage is some 1,000 objects (0.4 MB), and to find them costs 20 to 40 ms of the first answer's time.
    """
    import gc

    gc.freeze()
    gc.enable()  # the command switched it off
    gc.set_threshold(20_000, 20, 100)  # a request leaves no cycles behind; look for them rarely


def configure_broker(parser: argparse.ArgumentParser) -> None:
    """`ciuic broker`."""
    from mqtt_bridge.broker.process import KINDS
    from mqtt_bridge.wire.topics import DEFAULT_MESH

    parser.add_argument(
        "--port",
        type=int,
        default=1883,
        help="port on 127.0.0.1 to listen on; 0: a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--kind",
        choices=tuple(KINDS),
        help="the broker to start (default: mosquitto if it is installed, else iotcore)",
    )
    parser.add_argument(
        "--acl",
        action="append",
        metavar="USER",
        help="start nothing: print the access list (`acl_file`) for a mosquitto of yours where nodes log in as USER; "
        "may be repeated",
    )
    parser.add_argument(
        "--mesh", default=DEFAULT_MESH, help="the mesh that --acl is written for (default: %(default)s)"
    )


def run_broker(args: argparse.Namespace) -> int:
    """Run a broker on loopback until a signal, or print an access list for another one.

    Raises:
        ConfigError: the port cannot be had, or the access list cannot be written for such a user or mesh.
        ToolMissingError: there is no broker of this kind.
        BrokerUnreachableError: it does not come up, or ended by itself.
    """
    from mqtt_bridge.broker.process import start_broker
    from mqtt_bridge.node.stop import StopSignals

    if args.acl:
        from mqtt_bridge.broker.mosquitto import acl_lines

        print("\n".join(acl_lines(args.mesh, tuple(args.acl))))
        return 0
    with StopSignals() as stop, start_broker(args.kind, args.port) as broker:
        apart = "" if broker.url_v311 == broker.url else f"  (MQTT 3.1.1: {broker.url_v311})"
        print(f"broker {broker.kind.name}: serves on {broker.url}{apart}", flush=True)
        while stop.wait(_BROKER_CHECK_S) is None:
            broker.check()
    return 0


def configure_ask(parser: argparse.ArgumentParser) -> None:
    """`ciuic ask`."""
    from firmware_py.config import add_flags
    from mqtt_bridge.compose import BRIDGE

    parser.add_argument("text", nargs="+", help="what to ask")
    parser.add_argument("--task", default="home", help="the task to ask (default: %(default)s)")
    parser.add_argument("--lang", help="language of the text, such as en")
    parser.add_argument(
        "--deadline",
        type=float,
        metavar="SECONDS",
        help="seconds after which an answer is of no use any more (default: 2)",
    )
    parser.add_argument(
        "--accuracy",
        metavar="RULE",
        help="exit rule: thrifty, balanced or careful stop at a confidence of 0.7, 0.8 or 0.9; with risk-1 or risk-2, stopping "
        "early harms at most 1 or 2 %% of sentences (default: the model's own rule)",
    )
    parser.add_argument(
        "--energy",
        type=float,
        metavar="JOULES",
        help="upper bound on the predicted joules; the first exit answers even if it costs more",
    )
    parser.add_argument("--to", metavar="NODE", help="ask this node only")
    parser.add_argument(
        "--json", action="store_true", help="print the reply as it came, and round_trip_s (seconds)"
    )
    add_flags(parser, [setting for setting in BRIDGE if setting.key in ("broker", "mesh", "protocol")])


def run_ask(args: argparse.Namespace) -> int:
    """Ask once and print the answer; status 1 when it was refused or failed.

    Raises:
        BrokerUnreachableError: no broker answers.
        NoReplyError: no node did.
        UnknownTaskError: nobody heard, for no node that is up serves the task.
        ConfigError: a flag is out of range.
        ReplyInvalidError: what came is no answer that can be said in words.
    """
    from firmware_py.config import AGENT, from_args
    from firmware_py.contracts.clock import SystemClock
    from firmware_py.contracts.errors import ConfigError, NoReplyError, SchemaError
    from firmware_py.contracts.request import Qos, Request, parse_request
    from mqtt_bridge.compose import BRIDGE, BridgeConfig, build_link, fresh_client
    from mqtt_bridge.node.roll import look_around, why_absent, why_silent
    from mqtt_bridge.transport.rpc import Client, ClientOptions, new_id

    config = BridgeConfig.of(from_args(args, (*AGENT, *BRIDGE)))  # one file may serve both
    name = fresh_client("ask")
    inputs = {"text": _utf8(" ".join(args.text))} | ({"lang": args.lang} if args.lang else {})
    qos = Qos(deadline_s=args.deadline, energy_j=args.energy, accuracy=args.accuracy)
    request = Request(new_id(), args.task, inputs, qos)
    try:
        parse_request(request.to_dict())  # what no node takes is told here: it may not even fit MQTT's fields
    except SchemaError as error:
        hint = "`ciuic ask --help` lists what --task, --deadline, --energy and --accuracy take."
        raise ConfigError(error.message, hint=hint) from None
    clock = SystemClock()
    link = build_link(config, name)
    client = Client(link, ClientOptions(name, config.mesh))
    with link:
        link.wait_up(5.0)
        begin_s = clock.now_s()
        try:
            reply = client.ask(request, node=args.to)
        except NoReplyError as silence:
            up = look_around(link, config.mesh)
            if up is None:
                raise
            if args.to is not None:
                raise why_absent(silence, args.to, config.mesh, up) from None
            raise why_silent(silence, args.task, config.mesh, up) from None
        round_trip_s = clock.now_s() - begin_s
    if args.json:
        print(_shown(_json(reply, round_trip_s)))
    elif reply.error is not None:
        print(_shown(f"error: {reply.error.message} [{reply.error.code}]"), file=sys.stderr)
        print(_shown(f"hint: {reply.error.hint}"), file=sys.stderr)
    else:
        print("\n".join(map(_shown, spoken(reply, round_trip_s))))
    return 1 if reply.status in _NOT_ANSWERED else 0


def _utf8(text: str) -> str:
    """The text as it was typed.

    Raises:
        EncodingError: its bytes were no UTF-8, which Python hands on as half surrogate pairs.
    """
    from firmware_py.contracts.errors import EncodingError

    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        msg = "the text is not UTF-8"
        raise EncodingError(
            msg, hint="Say the text in UTF-8; `locale` shows what this terminal speaks."
        ) from None
    return text


def _json(reply: Reply, round_trip_s: float) -> str:
    """A reply for programs.

    Raises:
        ReplyInvalidError: it came in msgpack and has values that JSON has no form for.
    """
    from firmware_py.contracts.errors import ReplyInvalidError

    told = reply.to_dict() | {"round_trip_s": round_trip_s}
    try:
        return json.dumps(told, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        msg = "the reply has a value that JSON has no form for"
        raise ReplyInvalidError(msg) from None


def _shown(line: str) -> str:
    """A line without what a terminal would obey or reorder, written as JSON's escapes: a node may say anything."""
    unsafe = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(_escape(char) if unicodedata.category(char) in unsafe else char for char in line)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _check_result(reply: Reply) -> None:
    """Raise ReplyInvalidError where it cannot be said in words."""
    from firmware_py.contracts.check import Fields
    from firmware_py.contracts.errors import ReplyInvalidError

    top = Fields({"result": reply.result}, "reply", ReplyInvalidError)
    if reply.status in _NOT_ANSWERED:
        top.fail(f"the reply is {reply.status} and has no error")
    if reply.status != "ok":
        return
    result = Fields(top.object("result"), "reply.result", ReplyInvalidError)
    result.text("label")
    result.number("confidence")
    for entry in result.array("slots", ()):
        slot = Fields(entry, "reply.result.slots", ReplyInvalidError)
        slot.text("name")
        if not isinstance(entry.get("value"), str | int | float):
            slot.fail("reply.result.slots.value is no text and no number")
        for candidate in slot.array("candidates", ()):
            Fields(candidate, "reply.result.slots.candidates", ReplyInvalidError)


def _named(slot: dict[str, Any]) -> str:
    """A slot's value with what it names in the house, where the node knows."""
    if "id" in slot:
        return f"{slot['value']}  ({slot.get('kind')} {slot['id']})"
    several = [str(found.get("id")) for found in slot.get("candidates", ())]
    return f"{slot['value']}  (one of {', '.join(several)})" if several else str(slot["value"])


def spoken(reply: Reply, round_trip_s: float) -> list[str]:
    """A reply in lines for people.

    Raises:
        ReplyInvalidError: its result is not what the wire format says.
    """
    _check_result(reply)
    route, energy = reply.route, reply.energy
    result: dict[str, Any] = dict(reply.result or {})
    if reply.status == "ok":
        lines = [f"{result.get('label')}  (confidence {result.get('confidence', 0.0):.2f})"]
        lines += [f"  {slot['name']} = {_named(slot)}" for slot in result.get("slots", ())]
    else:
        lines = ["out of scope: no intent of this task fits"]
    simulated = ", simulated board" if route.simulated else ""
    cached = ", from its cache" if route.cache == "hit" else ""
    run = "" if reply.time.run_s is None else f", {reply.time.run_s * 1e3:.2f} ms on the node"
    lines.append(
        f"exit {route.exit} of {route.exits} on {route.node} ({route.delegate}{simulated}{cached})"
        f"{run}, {round_trip_s * 1e3:.2f} ms in all"
    )
    if energy.energy_j is None:
        lines.append("energy unknown: no figure for this board")
    else:
        words = [energy.method, "" if energy.source == "none" else energy.source]
        source = ", ".join(filter(None, [*words, "simulated" if energy.simulated else ""]))
        lines.append(f"{spread(energy.energy_j, energy.u95_j, 'J')} above idle ({source})")
    if route.over_budget:
        lines.append(
            "over the energy budget: this answer is expected to cost more than you allowed (the first exit always answers)"
        )
    if route.fallback:
        lines.append(f"fell back: {route.fallback}")
    if route.truncated_tokens:
        lines.append(f"the text was long: its last {route.truncated_tokens} tokens were not read")
    return lines
