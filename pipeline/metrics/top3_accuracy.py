"""top3_accuracy: the share of rows whose true class is among the three most probable."""

from dataclasses import replace

from pipeline.metrics.ranked import First3
from pipeline.metrics.top_k_accuracy import ENTRY as ANY

ENTRY = replace(ANY, options=First3)
