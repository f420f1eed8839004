"""fastai's Adam, step for step the same, without its Python loop over the parameters."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, cast

import torch
from fastai.optimizer import Optimizer, adam_step, average_grad, average_sqr_grad, step_stat, weight_decay
from torch.optim.adamw import adamw


class FusedAdam(Optimizer):
    """AdamW with fastai's parameter groups, `do_wd` (no decay of norms and biases) and state names.

    One fused call per parameter group and decay setting: on a tiny network fastai's own loop over parameters
    costs as much as the network itself.
    """

    hypers: Sequence[dict[str, Any]]  # of each parameter group

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        mom: float = 0.9,
        sqr_mom: float = 0.99,
        eps: float = 1e-5,
        wd: float = 0.01,
    ) -> None:
        # The step callbacks are listed for their default hyper-parameters; `step` below does their work.
        steps = [weight_decay, partial(average_grad, dampening=True), average_sqr_grad, step_stat, adam_step]
        super().__init__(params, steps, lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)

    def step(self, closure: None = None) -> None:
        if closure is not None:
            raise NotImplementedError("fastai's optimizers take no closure")
        together = defaultdict(list)
        for number, (group, hyper) in enumerate(zip(self.param_lists, self.hypers, strict=True)):
            for param in group:
                if param.grad is not None:
                    decay = hyper["wd"] if self.state[param].get("do_wd", True) else 0.0
                    together[number, decay].append(param)
        for (number, decay), params in together.items():
            self._step_group(params, self.hypers[number], decay)

    def zero_grad(self) -> None:
        """Drop the gradients: fastai's zeros would let weight decay reach what is frozen after `lr_find`."""
        for param, *_ in self.all_params():
            param.grad = None

    def _step_group(self, params: list[torch.Tensor], hyper: dict, decay: float) -> None:
        states = [self.state[param] for param in params]
        for param, state in zip(params, states, strict=True):
            if "step" not in state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=param.device)
                state["grad_avg"] = torch.zeros_like(param)
                state["sqr_avg"] = torch.zeros_like(param)
        with torch.no_grad():
            adamw(
                params,
                cast("list[torch.Tensor]", [param.grad for param in params]),  # of those that have one
                [state["grad_avg"] for state in states],
                [state["sqr_avg"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=float(hyper["mom"]),
                beta2=float(hyper["sqr_mom"]),
                lr=float(hyper["lr"]),
                weight_decay=float(decay),
                eps=float(hyper["eps"]),
                maximize=False,
            )
