"""The `ciuic` command and what spans rooms: doctor, demo, benchmarks."""
