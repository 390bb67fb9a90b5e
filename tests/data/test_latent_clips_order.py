import itertools

import torch

from storyreel.data.latent_clips import batch_indices


def test_every_clip_comes_once_an_epoch_and_the_order_follows_from_the_seed():
    batches = list(itertools.islice(batch_indices(10, 4, seed=3), 5))
    assert sorted(torch.cat(batches).tolist()) == sorted(list(range(10)) * 2)
    again = list(itertools.islice(batch_indices(10, 4, seed=3), 5))
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))
    other = list(itertools.islice(batch_indices(10, 4, seed=4), 5))
    assert not all(torch.equal(a, b) for a, b in zip(batches, other, strict=True))
