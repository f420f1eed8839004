"""What is no stage of the road: commands that read its artifacts, grade, send, or work on Kaggle."""
