"""From a raw Kaggle-style competition to a checked, scored submission."""
