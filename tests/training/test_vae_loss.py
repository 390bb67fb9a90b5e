import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from storyreel.training.vae import reconstruction_loss


def pooled_loss(made: Tensor, true: Tensor) -> Tensor:
    """The same by torch's own average pooling."""
    loss = (made - true).abs().mean() + 8 * (made - true).square().mean()
    loss = loss + 0.5 * (made.diff(dim=2) - true.diff(dim=2)).abs().mean()
    for _ in range(3):
        for axis in (3, 4):
            loss = loss + 0.5 * (made.diff(dim=axis) - true.diff(dim=axis)).abs().mean()
        made, true = F.avg_pool3d(made, (1, 2, 2)), F.avg_pool3d(true, (1, 2, 2))
    return loss


@pytest.mark.parametrize("size", [(16, 24), (19, 21)])
def test_the_loss_counts_values_change_and_edges_at_three_scales(size):
    made, true = torch.randn(2, 2, 3, 5, *size, dtype=torch.float64)
    made.requires_grad_()
    given, expected = reconstruction_loss(made, true), pooled_loss(made, true)
    torch.testing.assert_close(given, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(loss, made)[0] for loss in (given, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
