"""Who runs a graph: doors to interpreters, their fakes, and what is known of their health."""
