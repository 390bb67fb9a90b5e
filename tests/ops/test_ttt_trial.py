"""What comparisons of backends rest on: the drawn tensors, the judge, and on a GPU the clock."""

import dataclasses

import pytest
import torch

from storyreel.ops.ttt import dual
from storyreel.ops.ttt.timing import OpTime, by_name, measure, timed
from storyreel.ops.ttt.trial import LIMITS, NAMES, OPS, Errors, Judge, Shape, Trial, error_shape

CPU = torch.device("cpu")


@pytest.mark.parametrize("op", OPS)
def test_a_trial_has_the_tensors_of_its_shape_and_the_same_every_time(op):
    shape = Shape(op, batch=2, tokens=5, heads=3)
    one, two = (Trial(shape, torch.bfloat16, CPU) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.tensors, two.tensors, strict=True))
    assert [x.dtype for x in one.tensors[:4]] == [torch.bfloat16] * 3 + [torch.float32]
    assert one.tensors[0].shape == (2, 5, 3, 64)
    assert len(one.tensors) == len(NAMES[op])
    outputs = one.read("dual")
    assert all(a.shape == b.shape for a, b in zip(outputs[1:], one.tensors[4:-2], strict=True))
    gradients = one.go_back(outputs)
    assert all(a.shape == b.shape and b.any() for a, b in zip(one.tensors, gradients, strict=True))
    held = (*one.tensors, one.dy, *one.dstate)
    assert one.bytes() == sum(x.untyped_storage().nbytes() for x in held)


def test_errors_are_taken_at_few_tokens_an_odd_number():
    long = Shape("ttt_mlp", 1, 351_168, 48, checkpoint_every=64)
    assert error_shape(long) == dataclasses.replace(long, tokens=1125, checkpoint_every=4)
    short = Shape("ttt_mlp", 1, 70, 2)
    assert error_shape(short) == short
    assert (long.mini_batches, short.mini_batches) == (5487, 2)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_right_backends_pass(op, dtype):
    judge = Judge(Shape(op, 2, 70, 1), dtype, CPU, backward=True)
    for backend in ("reference", "dual"):
        errors = judge(by_name(backend))
        assert errors.trouble() == ""
        assert set(errors.own) == {"y"} | {f"final {n}" for n in NAMES[op][4:-2]} | {f"d {n}" for n in NAMES[op]}
        assert 0 < errors.outputs < LIMITS[dtype]
        assert errors.gradients is not None


def test_without_gradients_none_are_judged():
    errors = Judge(Shape("ttt_mlp", 1, 10, 1), torch.float32, CPU, backward=False)(by_name("dual"))
    assert errors.gradients is None
    assert list(errors.own) == ["y", "final w1", "final b1", "final w2", "final b2"]


def test_what_is_wrong_is_named():
    exact = {"y": 0.001, "d q": 0.002}
    assert Errors({"y": 0.0019, "d q": 0.004}, exact, torch.bfloat16).trouble() == ""
    assert Errors({"y": 0.0021, "d q": 0.0}, exact, torch.bfloat16).trouble().startswith("y errs 0.0021, more than 2 t")
    assert Errors({"y": 0.001, "d q": float("nan")}, exact, torch.bfloat16).trouble().startswith("d q errs nan")
    # In float32 the matrix form is no yardstick: it is right to the last bits.
    assert Errors({"y": 5e-6}, {"y": 1e-7}, torch.float32).trouble() == ""
    assert Errors({"y": 0.06}, {"y": 0.06}, torch.bfloat16).trouble() == "y errs 0.06, more than 5e-02"


@pytest.mark.parametrize("name", ["y", "final b1", "d k"])
def test_one_wrong_tensor_is_enough(name, monkeypatch):
    shape = Shape("ttt_mlp", 1, 70, 1)
    judge = Judge(shape, torch.float32, CPU, backward=True)

    def read(trial: Trial) -> tuple[torch.Tensor, ...]:
        y, state = dual.ttt(*trial.arguments(), shape.problem)
        if name == "y":
            return y * 1.001, *state
        if name == "final b1":
            return y, state.w1, state.b1 * 1.001, state.w2, state.b2
        y.register_hook(lambda dy: dy * 1.001)
        return y, *state

    row = measure(OpTime(shape, "dual"), read, Trial(shape, torch.float32, CPU), judge, 1)
    assert row.wrong
    assert row.forward is row.backward is None
    assert name == "d k" or row.wrong.startswith(f"{name} errs 0.001")


@pytest.mark.gpu
def test_the_clock_and_the_memory_of_a_gpu():
    device, mib = torch.device("cuda"), 2**20
    given = torch.ones(16 * mib, device=device)

    def call(prepared: torch.Tensor) -> torch.Tensor:
        torch.cuda._sleep(20_000_000)
        return prepared + 1

    own = timed(call, device, 3, lambda: given * 2, held_bytes=64 * mib)
    assert own.repeats == 3
    assert 5 < own.ms < 40  # 20 million cycles, at 1 to 2 GHz
    assert own.peak_mib == pytest.approx(3 * 64, abs=2)
