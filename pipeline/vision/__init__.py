"""How an image fold is trained and predicted: fastai Learners over timm bodies with one named head a target."""
