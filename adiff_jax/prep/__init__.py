"""Preparation: videos or synthetic heads in, sharded records out."""
