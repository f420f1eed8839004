"""Looking at a raw download: which table, files, labels and sample it has, as a competition file would say it.

Nothing is trained, opened at length or asked: a few rows and files show it. What they leave open is marked as a guess.
"""
