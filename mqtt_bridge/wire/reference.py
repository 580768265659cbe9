"""The topic table in Markdown, as it stands in docs/ref-topics.md."""

from __future__ import annotations

from mqtt_bridge.wire import topics


def topic_table() -> str:
    """One row per topic."""
    lines = [
        "| topic below `ciuic/v1/<mesh>/` | from | QoS | retained | payload | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for row in topics.TABLE:
        pattern = row.pattern.replace("{rest}", "…").replace("{", "<").replace("}", ">")
        lines.append(
            f"| `{pattern}` | {row.sender} | {row.qos} | {'yes' if row.retained else 'no'} "
            f"| {row.payload or 'none yet'} | {row.summary} |"
        )
    return "\n".join(lines) + "\n"
