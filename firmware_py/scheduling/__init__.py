"""When a request runs: the queue and who is let into it."""
