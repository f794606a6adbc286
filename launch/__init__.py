"""Running the package in places: benchmarks on this machine."""
