"""Weights on disk: tensors, components and bundles."""
