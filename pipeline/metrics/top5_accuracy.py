"""top5_accuracy: the share of rows whose true class is among the five most probable."""

from pipeline.metrics.top_k_accuracy import ENTRY as ANY

ENTRY = ANY
