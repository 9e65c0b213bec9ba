"""Adam, AdamW and SGD, by torch's own functions.

Not by its classes: their first use imports all of torch.compile, a second of the six that a
training on stored features takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

Kind = Literal["adam", "adamw", "sgd"]

# torch's defaults, which are those of Kingma and Ba 2015, arXiv:1412.6980.
BETAS = (0.9, 0.999)
EPSILON = 1e-8
MOMENTUM = 0.9  # that of torchvision's own training recipes


class Optimizer:
    """What moves parameters along their gradients; a GradScaler takes it for one of torch's.

    Attributes:
        param_groups: each {"params": [...], "lr": ...}; the rates may be changed between steps.
    """

    def __init__(self, kind: Kind, groups: list[dict[str, Any]], weight_decay: float) -> None:
        self.param_groups = groups
        self._move = {"adam": self._adam, "adamw": self._adamw, "sgd": self._sgd}[kind]
        self._weight_decay = weight_decay
        self._state: dict[int, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters():
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        number = 0
        for group in self.param_groups:
            moved, states = [], []
            for parameter in group["params"]:
                if parameter.grad is not None:
                    moved.append(parameter)
                    states.append(self._state.setdefault(number, {}))
                number += 1
            if moved:
                self._move(moved, [p.grad for p in moved], states, group["lr"])

    def state_dict(self) -> dict[int, dict[str, Tensor]]:
        """What the steps so far left behind, by the parameter's number."""
        return self._state

    def load_state_dict(self, state: dict[int, dict[str, Tensor]]) -> None:
        """Go on where another left off."""
        places = dict(enumerate(self._parameters()))
        self._state = {
            number: {
                name: value.clone() if name == "step" else value.to(places[number], copy=True)
                for name, value in kept.items()
            }
            for number, kept in state.items()
        }

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _adam(
        self, moved: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]],
        lr: float, function: Callable[..., None] = adam,
    ) -> None:  # fmt: skip
        for parameter, state in zip(moved, states, strict=True):
            if not state:
                state["step"] = torch.tensor(0.0)
                state["mean"] = torch.zeros_like(parameter)
                state["square"] = torch.zeros_like(parameter)
        means, squares, steps = ([s[name] for s in states] for name in ("mean", "square", "step"))
        function(
            moved, gradients, means, squares, [], steps, amsgrad=False, beta1=BETAS[0],
            beta2=BETAS[1], lr=lr, weight_decay=self._weight_decay, eps=EPSILON, maximize=False,
        )  # fmt: skip

    def _adamw(
        self, moved: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]],
        lr: float,
    ) -> None:  # fmt: skip
        self._adam(moved, gradients, states, lr, adamw)

    def _sgd(
        self, moved: list[Tensor], gradients: list[Tensor], states: list[dict[str, Tensor]],
        lr: float,
    ) -> None:  # fmt: skip
        buffers: list[Tensor | None] = [state.get("momentum") for state in states]
        sgd(
            moved, gradients, buffers, weight_decay=self._weight_decay, momentum=MOMENTUM, lr=lr,
            dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip
        for state, buffer in zip(states, buffers, strict=True):
            assert buffer is not None
            state["momentum"] = buffer
