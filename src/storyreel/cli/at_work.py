"""Where a data step runs: a device, processes of this machine, or a Ray cluster."""

from __future__ import annotations

from typing import Annotated, Any

from tyro.conf import arg

Ray = Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="(default: this machine's own processes)")]


def run_each_of(options: Any, gpus: int = 0) -> Any:
    """How items run with --ray, each with so many GPUs; None without it."""
    if options.ray is None:
        return None
    from storyreel.data import ray_cluster

    ray_cluster.connect(options.ray, options.workers)
    return ray_cluster.each_on_ray(gpus)


def processes(options: Any) -> dict[str, Any]:
    """workers and run_each for a step that needs no model."""
    return {"workers": options.workers, "run_each": run_each_of(options)}


def at_work(options: Any) -> dict[str, Any]:
    """device, workers and run_each for a step with a model: a GPU has one process."""
    from storyreel.sampling.device import choose_device

    device = choose_device(options.device)
    with_gpu = device.type != "cpu"
    run_each = run_each_of(options, gpus=int(with_gpu))
    alone = with_gpu and run_each is None
    return {"device": str(device), "workers": options.workers or (1 if alone else None), "run_each": run_each}


def dtype_of(options: Any) -> str:
    """The name of the dtype to compute in."""
    from storyreel.sampling.device import choose_device

    if options.dtype != "auto":
        return options.dtype
    return "float32" if choose_device(options.device).type == "cpu" else "bfloat16"
