"""What tests, the rig and the demo need: contract suites, scripted parts, tiny bundles, scores."""
