"""Kaggle: what goes over the wire, and what travels in a kernel's bundle. Knows nothing of stages."""
