"""What stands on the wire: topics, payloads, schemas. Pure; no sockets, no threads."""
