"""Pictures, videos, facial landmarks, crops and motion: NumPy and files, no JAX."""
