"""Meshes and machines: sharding, start-up, checkpoints, logs."""
