"""mcrmse: the mean column-wise RMSE: rmse of each target, of which the leaderboard takes the mean."""

from pipeline.metrics.rmse import ENTRY as RMSE

ENTRY = RMSE
