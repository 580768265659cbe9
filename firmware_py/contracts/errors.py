"""The one error tree: a branch per party at fault, a stable code on every leaf.

    CiuicError
    ├── RequestError   the asker: nothing ran, asking again unchanged will not help
    ├── BusyError      the moment: nothing ran, asking again later may help (`retry_after_s`)
    ├── BundleError    the model file: refused before anything of it ran
    ├── HardwareError  the board: an interpreter, a delegate or a sensor
    ├── PeerError      the other side: a broker or a node
    └── ConfigError    the operator: a flag, a file, a folder

Codes are stable: they stand on the wire and in `docs/ref-errors/<code>.md`, and a released code is
never given another meaning. Edges translate foreign exceptions into these, with `from`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import ClassVar

_MOST_NAMES, _MOST_NAME_CHARS = 16, 40  # of a hint


class CiuicError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        message: what happened, with the offending value when it is not user text.
        hint: what to do next; the class has a default.
        retry_after_s: when asking again may help, in seconds.
    """

    code: ClassVar[str] = "internal"
    default_hint: ClassVar[str] = "This is a defect: please report it with the node's log."

    def __init__(self, message: str, *, hint: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class InternalError(CiuicError):
    """Something of ours broke; the supervisor translated it so that the asker hears of it."""


# --- RequestError ------------------------------------------------------------------------------


class RequestError(CiuicError):
    """The request cannot be answered as it stands."""


class MalformedError(RequestError):
    """The payload is not the JSON or msgpack object that it claims to be."""

    code = "malformed"
    default_hint = "Send one JSON object in UTF-8, or msgpack with content type application/msgpack."


class EncodingError(RequestError):
    """The payload is not valid UTF-8."""

    code = "invalid_utf8"
    default_hint = "Encode the payload as UTF-8."


class SchemaError(RequestError):
    """A field is missing or has the wrong type or range."""

    code = "schema_invalid"
    default_hint = 'A request looks like {"v":1,"id":"1","task":"home","input":{"text":"…"}}.'


class VersionError(RequestError):
    """The request speaks another major version."""

    code = "version_unsupported"
    default_hint = 'This node speaks "v": 1.'


class TooLargeError(RequestError):
    """The payload is over the codec's limit."""

    code = "too_large"
    default_hint = "A request is at most 65536 bytes."


class UnknownTaskError(RequestError):
    """No bundle on this node serves the task."""

    code = "unknown_task"
    default_hint = "The node's birth message lists the tasks it serves."


class UnknownLanguageError(RequestError):
    """The model does not speak the language that the request says its text is in."""

    code = "unknown_language"
    default_hint = (
        "The node's birth message lists its languages; leave input.lang out if you are not sure of it."
    )


class UnknownRuleError(RequestError):
    """`qos.accuracy` names no exit rule of the model."""

    code = "unknown_accuracy"
    default_hint = "Leave qos.accuracy out, or name an exit rule that `ciuic model show` lists."


class EmptyInputError(RequestError):
    """The text holds nothing to understand."""

    code = "input_empty"
    default_hint = "Send a text with at least one letter or digit."


class InputTooLongError(RequestError):
    """The text is over the limit of characters or tokens, beyond what truncation is allowed to hide."""

    code = "input_too_long"
    default_hint = "Send at most 4,096 characters and 512 tokens; a command is usually under 20 tokens."


class DeadlinePassedError(RequestError):
    """The deadline was over before the request could start."""

    code = "deadline_passed"
    default_hint = (
        "Give more time (qos.deadline_s; `ciuic ask --deadline`), or check the clock behind sent_at."
    )


class ReplyTopicMissingError(RequestError):
    """Neither an MQTT 5 response topic nor `reply_to` names where the answer goes."""

    code = "reply_topic_missing"
    default_hint = 'Set the MQTT 5 response topic, or "reply_to" in the payload.'


class ReplyTopicRefusedError(RequestError):
    """The reply topic is not one of the asker's own."""

    code = "reply_topic_refused"
    default_hint = (
        "Reply topics lie below ciuic/v1/<mesh>/reply/<client>/ of the asking client, without wildcards."
    )


# --- BusyError ---------------------------------------------------------------------------------


class BusyError(CiuicError):
    """Not now."""


class QueueFullError(BusyError):
    """The queue is at its bound and nothing in it is less urgent."""

    code = "queue_full"
    default_hint = "Ask again after retry_after_s, or ask another node."


class ShedError(BusyError):
    """The request was in the queue and gave way to a more urgent one."""

    code = "shed"
    default_hint = "Raise qos.priority, or ask again after retry_after_s."


class DeadlineUnreachableError(BusyError):
    """What waits in front leaves too little of the deadline."""

    code = "deadline_unreachable"
    default_hint = "Give more time in qos.deadline_s, or ask again after retry_after_s."


class ShuttingDownError(BusyError):
    """The node is stopping."""

    code = "shutting_down"
    default_hint = "Ask again: another node, or this one after its restart, will answer."


# --- BundleError -------------------------------------------------------------------------------


class BundleError(CiuicError):
    """The model file is refused."""


class BundleMissingError(BundleError):
    """There is no such file."""

    code = "bundle_missing"
    default_hint = "Check the path; the shipped bundles lie in models/."


class BundleCorruptError(BundleError):
    """The archive cannot be read, is cut short, or holds what it must not."""

    code = "bundle_corrupt"
    default_hint = "Copy or download the bundle again."


class BundleTruncatedError(BundleCorruptError):
    """The archive ends too early."""

    code = "bundle_truncated"
    default_hint = "The copy was cut short: copy or download the bundle again."


class BundleTooLargeError(BundleError):
    """The archive is, unpacks to, or asks for more than a bundle may."""

    code = "bundle_too_large"
    default_hint = "docs/ref-bundle.md lists the limits; a shipped bundle is under 6 MB."


class BundleFormatError(BundleError):
    """The manifest is of another format or breaks its schema."""

    code = "bundle_format"
    default_hint = "Use a bundle written for this version; `ciuic model show` prints its format."


class BundleHashError(BundleError):
    """A part's SHA-256 is not the one in the manifest."""

    code = "bundle_hash"
    default_hint = "The bundle was changed after it was written: get it again from its publisher."


class BundleUnsignedError(BundleError):
    """There is no signature beside the bundle."""

    code = "bundle_unsigned"
    default_hint = "Copy the .sig file beside the bundle, or pass --allow-unsigned for a model of your own."


class BundleUntrustedError(BundleError):
    """The signature is by no key of the trust folder, or does not fit the bytes."""

    code = "bundle_untrusted"
    default_hint = "Put the publisher's public key into the trust folder (`ciuic key show`)."


class BundleRuntimeError(BundleError):
    """This board's runtime cannot run the bundle's recipe."""

    code = "bundle_runtime"
    default_hint = "`ciuic model show` lists the runtimes of each recipe; tflite-runtime needs a .w8 bundle."


class GoldenTestError(BundleError):
    """The self-test in the child process failed: wrong answers, or the interpreter died."""

    code = "golden_failed"
    default_hint = "The node does not start with it. Run `ciuic model show` and `ciuic doctor` on this board."


# --- HardwareError -----------------------------------------------------------------------------


class HardwareError(CiuicError):
    """A part of the board failed."""


class GraphError(HardwareError):
    """A graph could not be loaded or run."""

    code = "graph_failed"
    default_hint = "`ciuic doctor` tests each delegate of this board."


class DelegateError(HardwareError):
    """A delegate could not be loaded, or could not prepare a graph."""

    code = "delegate_unavailable"
    default_hint = "The node goes on with the next rung; `ciuic doctor` says why this one is out."


class SensorAbsentError(HardwareError):
    """No sensor answers at the profile's bus and address."""

    code = "sensor_absent"
    default_hint = "Check wiring and `i2cdetect`; answers go on without measured joules."


class SensorBusError(HardwareError):
    """The sensor's bus reported an error or hangs."""

    code = "sensor_bus"
    default_hint = "Check cable length, pull-ups and supply, if the sensor is a real one."


class SensorRangeError(HardwareError):
    """Samples sit at full scale: the value is unknown, not large."""

    code = "sensor_over_range"
    default_hint = "Use a smaller shunt or a wider range in the board profile."


# --- PeerError ---------------------------------------------------------------------------------


class PeerError(CiuicError):
    """The other side is away or silent."""


class BrokerUnreachableError(PeerError):
    """No broker of the list answers."""

    code = "broker_unreachable"
    default_hint = "Start a broker (`ciuic broker`) or give --broker mqtt://host:port."


class NoReplyError(PeerError):
    """No reply with this id by the deadline plus one second."""

    code = "no_reply"
    default_hint = "Is a node running that serves this task? `ciuic doctor --broker URL` lists the nodes that a broker knows."


class ReplyInvalidError(PeerError):
    """A node's reply is not what the wire format says."""

    code = "reply_invalid"
    default_hint = (
        "`--json` prints the reply as it came; is the node that it names one of yours, of this version?"
    )


# --- ConfigError -------------------------------------------------------------------------------


class ConfigError(CiuicError):
    """The operator's flags, files or folders."""

    code = "config_invalid"
    default_hint = "`ciuic node run --help` lists every key with its file name, variable and default."


class NameTakenError(ConfigError):
    """Another client is connected with this node's name, and a broker keeps one link a name."""

    code = "name_taken"
    default_hint = "Give each node a name of its own with --node NAME, or stop the other one."


class KeyFileError(ConfigError):
    """A signing or trust key cannot be read or written."""

    code = "key_invalid"
    default_hint = "Make a key pair with `ciuic key new NAME`."


class DataMissingError(ConfigError):
    """The data folder or one of its sets is not there."""

    code = "data_missing"
    default_hint = "Give --data DIR, or set CIUIC_DATA."


class DataInvalidError(ConfigError):
    """A row of a data file breaks its form."""

    code = "data_invalid"
    default_hint = 'A row is {"text": "…", "intent": "…", "slots": [[start, end, "name"]]}.'


class ToolMissingError(ConfigError):
    """A program or environment that this verb needs is not installed."""

    code = "tool_missing"
    default_hint = "Run `make setup`, or the set-up script for the role that the message names."


class ConversionError(ConfigError):
    """A file that a model build made is missing, or does not say what torch says."""

    code = "conversion_failed"
    default_hint = (
        "Nothing was written to models/. The build folder keeps the steps that were right; build again."
    )


class NamesError(ConfigError):
    """A names file cannot be read or breaks its form."""

    code = "names_invalid"
    default_hint = "docs/how-to-name-your-rooms.md shows the form; the message names the entry."


class CheckpointIncompleteError(ConfigError):
    """A checkpoint folder lacks a shard, a tensor, its configuration or its tokenizer."""

    code = "checkpoint_incomplete"
    default_hint = "Download or copy the checkpoint again, all shards and the tokenizer with it."


class CheckpointInvalidError(ConfigError):
    """A file of a checkpoint folder is not what its format says."""

    code = "checkpoint_invalid"
    default_hint = "Get the checkpoint from its publisher again; nothing of it was run."


class CheckpointUnsupportedError(ConfigError):
    """A checkpoint of an architecture or weight format that no reader is written for."""

    code = "checkpoint_unsupported"
    default_hint = "Supported are DeepSeek-V2, DeepSeek-V3, Qwen2, BERT, RoBERTa and XLM-RoBERTa checkpoints in safetensors format."


class ResourcesShortError(ConfigError):
    """A build would need more memory or disk than this machine has free."""

    code = "resources_short"
    default_hint = "Free what the message names, or build on a larger machine; nothing was started."


class DiskFullError(ConfigError):
    """What was to be written found no room: a full disk, a quota, `/dev/full`."""

    code = "disk_full"
    default_hint = "Free some space, or write somewhere else; what was written so far may be incomplete."


def all_codes() -> dict[str, type[CiuicError]]:
    """Every stable code with its class; the docs and the AsyncAPI document are checked against it."""
    found: dict[str, type[CiuicError]] = {CiuicError.code: InternalError}
    todo: list[type[CiuicError]] = [CiuicError]
    while todo:
        cls = todo.pop()
        todo.extend(cls.__subclasses__())
        if "code" in vars(cls) and cls is not CiuicError:
            found[cls.code] = cls
    return dict(sorted(found.items()))


def named(names: Iterable[str]) -> str:
    """Some names for a hint, which must stay short whatever a bundle calls its own."""
    shown = [name[:_MOST_NAME_CHARS] for name in islice(names, _MOST_NAMES + 1)]
    return ", ".join(shown[:_MOST_NAMES] + ["…"] * (len(shown) > _MOST_NAMES))
