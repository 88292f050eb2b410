"""Products of some rows with a fixed matrix, in generation.

MKL copies the matrix into blocks in each call; oneDNN can keep a copy in blocks, but each of its calls takes 10
microseconds more. Microseconds of MKL / oneDNN with one thread of an AMD EPYC with AVX-512:

    rows              1         2         8         16          64
    64 x 256        1 / 11    2 / 12    4 / 12     7 / 13      20 / 19
    128 x 512       3 / 12    6 / 13   15 / 15    24 / 18      81 / 45
    256 x 1024     12 / 22   22 / 24   93 / 34   107 / 50     326 / 149
    512 x 2048     47 / 53   93 / 56  266 / 90   414 / 149  1,316 / 539
"""

import platform

import torch

MULTIPLICATIONS = 1 << 20
"""The fewest in a product of two rows or more that is faster with a copy in blocks."""


class Product:
    """Vectors times a matrix, (rows, inputs) x (inputs, outputs), plus a bias (outputs,) if there is one.

    Rounding depends on the number of rows, as for any product.
    """

    def __init__(self, weight: torch.Tensor, rows: int, bias: torch.Tensor | None = None):
        self._bias = bias
        self._weight = self._blocks = torch.empty(0)
        self._in_blocks = keeps_blocks(weight, rows)
        if self._in_blocks:
            # operators of torch without documentation, which torch.compile uses for frozen weights
            self._blocks = torch.ops.mkldnn._reorder_linear_weight(weight.t().contiguous(), rows)
        else:
            self._weight = weight if keeps_order(rows) else weight.contiguous()

    def __call__(self, vectors: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """The product of ``vectors``, written to ``out`` if it is given."""
        if self._in_blocks:
            found = self._linear(vectors, self._bias)
            return found if out is None else out.copy_(found)
        if self._bias is None:
            return torch.mm(vectors, self._weight, out=out)
        return torch.addmm(self._bias, vectors, self._weight, out=out)

    def add_to(self, sums: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """Add the product, without the bias, to ``sums`` in place."""
        if self._in_blocks:
            return sums.add_(self._linear(vectors, None))
        return sums.addmm_(vectors, self._weight)

    def _linear(self, vectors: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(vectors, self._blocks, bias, "none", [], "")
        return found


def transposed(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """A copy of (outputs, inputs) as (inputs, outputs), in the order in memory that ``Product`` needs."""
    if keeps_order(rows) or keeps_blocks(weight, rows):
        return weight.clone().t()
    return weight.t().clone(memory_format=torch.contiguous_format)


def keeps_blocks(weight: torch.Tensor, rows: int) -> bool:
    """True if a product with so many rows is computed by oneDNN."""
    return (
        rows > 1
        and rows * weight.numel() >= MULTIPLICATIONS
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and platform.machine().lower() in ("x86_64", "amd64")
    )


def keeps_order(rows: int) -> bool:
    """True if MKL is faster with a matrix that lies in memory as (outputs, inputs).

    4 rows times 128 x 512 take 9.9 instead of 12.1 microseconds, 2 rows 7.0 instead of 5.5.
    """
    return rows >= 4
