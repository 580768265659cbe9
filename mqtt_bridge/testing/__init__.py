"""Contract suites and fakes of the bridge."""
