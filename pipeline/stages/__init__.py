"""The stages of the road, one file each. A stage reads artifacts of earlier stages and writes its own."""
