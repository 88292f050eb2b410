"""One step of each kind of recurrent layer, with weights laid out for it and every buffer where it was."""

import torch
from torch import nn


class Layer:
    """Weights and state of one recurrent layer; ``step`` takes the input product from ``gates``."""

    def __init__(self, recurrence: nn.RNNBase, number: int, rows: int):
        def prepared(name: str) -> torch.Tensor:
            """A copy of one of torch's parameters, with the gates along the last dimension."""
            parameter: torch.Tensor = getattr(recurrence, f"{name}_l{number}").detach()
            return parameter.t().clone(memory_format=torch.contiguous_format)

        self.weight_ih, self.weight_hh = prepared("weight_ih"), prepared("weight_hh")  # (inputs, gates), (units, gates)
        self.bias_ih, self.bias_hh = prepared("bias_ih"), prepared("bias_hh")  # (gates,)
        self.hidden = self.weight_hh.new_zeros(rows, recurrence.hidden_size)
        self.states = [self.hidden]
        self.gates = self.weight_hh.new_empty(rows, self.weight_hh.shape[1])

    def begin(self, window: int, row: torch.Tensor) -> None:
        """The recurrence of one of the places in the window starts from zeros."""
        for state in self.states:
            state.view(window, -1).index_fill_(0, row, 0.0)

    def step(self) -> None:
        """From one state to the next."""
        raise NotImplementedError


class _LSTMLayer(Layer):
    def __init__(self, recurrence: nn.RNNBase, number: int, rows: int):
        super().__init__(recurrence, number, rows)
        self.bias_ih += self.bias_hh
        self.cell = torch.zeros_like(self.hidden)
        self.states.append(self.cell)
        self.enter, self.forget, self.candidate, self.leave = self.gates.chunk(4, dim=1)
        # tanh(x) = 2 sigmoid(2x) - 1: one sigmoid for all gates takes two thirds of the time of one for each
        units = self.hidden.shape[1]
        for weights in (self.weight_ih, self.weight_hh, self.bias_ih):
            weights[..., 2 * units : 3 * units] *= 2

    def step(self) -> None:
        self.gates.addmm_(self.hidden, self.weight_hh).sigmoid_()
        self.cell.mul_(self.forget).addcmul_(self.enter, self.candidate, value=2).sub_(self.enter)
        torch.tanh(self.cell, out=self.hidden)
        self.hidden.mul_(self.leave)


class _GRULayer(Layer):
    def __init__(self, recurrence: nn.RNNBase, number: int, rows: int):
        super().__init__(recurrence, number, rows)
        units = self.hidden.shape[1]
        self.recurrent = torch.empty_like(self.gates)
        self.reset, self.update, self.new = self.gates.chunk(3, dim=1)
        self.sigmoids, self.recurrent_sigmoids = self.gates[:, : 2 * units], self.recurrent[:, : 2 * units]
        self.recurrent_new = self.recurrent[:, 2 * units :]

    def step(self) -> None:
        torch.addmm(self.bias_hh, self.hidden, self.weight_hh, out=self.recurrent)
        self.sigmoids.add_(self.recurrent_sigmoids).sigmoid_()
        self.new.addcmul_(self.reset, self.recurrent_new).tanh_()
        torch.lerp(self.new, self.hidden, self.update, out=self.hidden)


class _RNNLayer(Layer):
    def __init__(self, recurrence: nn.RNNBase, number: int, rows: int):
        super().__init__(recurrence, number, rows)
        self.bias_ih += self.bias_hh

    def step(self) -> None:
        self.gates.addmm_(self.hidden, self.weight_hh)
        torch.tanh(self.gates, out=self.hidden)


LAYERS: dict[type[nn.RNNBase], type[Layer]] = {nn.LSTM: _LSTMLayer, nn.GRU: _GRULayer, nn.RNN: _RNNLayer}
