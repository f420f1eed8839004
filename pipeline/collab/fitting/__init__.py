"""Rating algorithms at work, on tensors: how each is fitted, predicts, and folds somebody in."""
