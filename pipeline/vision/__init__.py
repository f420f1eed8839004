"""How an image fold is trained and predicted: fastai Learners over timm bodies with one named head a target."""

CACHE_VERSION = 3  # of the presize cache; raised when the same image would give other bytes there
