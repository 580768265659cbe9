"""The mesh side of a node: topics, payloads, transports, brokers and the endpoint that serves requests."""
