"""Training rows with raw ids resolved: what an algorithm is fitted to."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from pipeline.collab.ids import Ids


@dataclass(frozen=True)
class Observations:
    """Inner ids, ratings and times of all rows: (n,)."""

    users: Ids
    items: Ids
    user: torch.Tensor
    item: torch.Tensor
    rating: torch.Tensor
    time: torch.Tensor

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Observations":
        """From a table with the columns user, item, rating and timestamp."""
        users, items = Ids.of(rows["user"]), Ids.of(rows["item"])
        return cls(
            users,
            items,
            torch.tensor(users.inner(rows["user"])),
            torch.tensor(items.inner(rows["item"])),
            torch.tensor(rows["rating"].to_numpy(dtype=np.float32)),
            torch.tensor(rows["timestamp"].to_numpy(dtype=np.int64)),
        )

    def __len__(self) -> int:
        return len(self.rating)
