import json

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from safetensors.torch import load_file, save_file

from storyreel.errors import ConfigError, WeightsError
from storyreel.models.state_dict import load_cogvideox, load_mixers, weight_shapes
from storyreel.models.surgery import open_cogvideox
from storyreel.models.transformer import StoryreelTransformer3DModel

TINY = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 8,
    "text_embed_dim": 12,
    "num_layers": 2,
    "use_rotary_positional_embeddings": True,
}
FILE = "diffusion_pytorch_model.safetensors"
INDEX = "diffusion_pytorch_model.safetensors.index.json"


@pytest.fixture(scope="module")
def cogvideox():
    torch.manual_seed(0)
    return CogVideoXTransformer3DModel(**TINY)


@pytest.fixture
def folder(cogvideox, tmp_path):
    cogvideox.save_pretrained(tmp_path / "transformer")
    return tmp_path / "transformer"


@pytest.fixture
def sharded(cogvideox, tmp_path):
    cogvideox.save_pretrained(tmp_path / "sharded", max_shard_size="50KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    return tmp_path / "sharded"


def plain():
    torch.manual_seed(1)
    return StoryreelTransformer3DModel(**TINY, mixer="local")


def assert_loaded(model, cogvideox):
    weights = model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in cogvideox.state_dict().items())


def test_loads_a_file_a_folder_and_a_pipeline(cogvideox, folder):
    for path in (folder / FILE, folder, str(folder), folder.parent):
        model = plain()
        assert load_cogvideox(model, path) == []
        assert_loaded(model, cogvideox)


def test_loads_shards(cogvideox, sharded):
    for path in (sharded, sharded / INDEX):
        model = plain()
        load_cogvideox(model, path)
        assert_loaded(model, cogvideox)


def test_new_mixers_stay_as_they_were_initialised(cogvideox, folder):
    model = StoryreelTransformer3DModel(**TINY)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items() if ".mixer." in name}
    with pytest.raises(WeightsError, match=r"lacks transformer_blocks\.0\.mixer.* more\. Pass new_mixer=True"):
        load_cogvideox(model, folder)
    assert sorted(load_cogvideox(model, folder, new_mixer=True)) == sorted(before)
    assert_loaded(model, cogvideox)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


def test_weights_take_the_dtype_of_the_model(cogvideox, folder):
    model = plain().to(torch.bfloat16)
    load_cogvideox(model, folder)
    assert torch.equal(model.proj_out.weight, cogvideox.proj_out.weight.bfloat16())


def refused(folder, change, message):
    """Apply `change` to the weights in a folder; loading fails with one line, `message`, and leaves the model alone."""
    weights = load_file(folder / FILE)
    change(weights)
    save_file(weights, folder / FILE)
    model = plain()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as error:
        load_cogvideox(model, folder, new_mixer=True)
    assert "\n" not in str(error.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_missing_key_is_named(folder):
    refused(folder, lambda weights: weights.pop("transformer_blocks.1.attn1.to_k.weight"), r"lacks .*1\.attn1\.to_k\.w")


def test_an_unexpected_key_is_named(folder):
    extra = {"transformer_blocks.7.attn1.to_k.bias": torch.zeros(1)}
    refused(folder, lambda weights: weights.update(extra), r"holds transformer_blocks\.7\.attn1\.to_k\.bias, unknown")


def test_another_shape_is_named(folder):
    other = {"proj_out.bias": torch.zeros(99)}
    refused(folder, lambda weights: weights.update(other), r"proj_out\.bias is \[99\] in .*, but \[16\] in this model")


@pytest.mark.parametrize("kept_bytes", [0, 5, 200, -1])
def test_a_file_cut_short_is_one_clear_line(folder, kept_bytes):
    data = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(data[:kept_bytes])
    for check in (weight_shapes, lambda path: load_cogvideox(plain(), path)):
        with pytest.raises(WeightsError, match="damaged or cut short") as error:
            check(folder)
        assert "\n" not in str(error.value)


def test_weight_shapes_reads_headers(cogvideox, sharded):
    assert weight_shapes(sharded) == {name: tuple(tensor.shape) for name, tensor in cogvideox.state_dict().items()}


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no weights at .*absent"):
        load_cogvideox(plain(), tmp_path / "absent")
    with pytest.raises(WeightsError, match="holds neither diffusion_pytorch_model"):
        load_cogvideox(plain(), tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"\x80\x02")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_cogvideox(plain(), tmp_path / "weights.bin")


def test_a_missing_shard_is_named(sharded):
    gone = sorted(sharded.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(WeightsError, match=f"shard {gone.name} of .* is not there"):
        load_cogvideox(plain(), sharded)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": ["a"]}'])
def test_a_broken_index_is_refused(sharded, text):
    (sharded / INDEX).write_text(text)
    with pytest.raises(WeightsError, match="not the index"):
        load_cogvideox(plain(), sharded)


def test_an_index_cannot_reach_outside_its_folder(sharded, folder):
    (sharded / INDEX).write_text(json.dumps({"weight_map": {"a": f"../transformer/{FILE}"}}))
    with pytest.raises(WeightsError, match="cannot be a file beside it"):
        load_cogvideox(plain(), sharded)


@pytest.mark.parametrize("mixer", ["full", "sliding_window", "mamba2", "gated_deltanet", "ttt_mlp"])
def test_a_cogvideox_is_opened_for_any_mixer(cogvideox, folder, mixer):
    model = open_cogvideox(folder, mixer=mixer, window=50, gate_init=0.0)
    assert_loaded(model, cogvideox)
    assert (model.config.mixer, model.config.mixer_window) == (mixer, 50)
    assert all(block.mixer is not None for block in model.transformer_blocks)


def test_a_cogvideox_is_opened_for_a_memory(cogvideox, folder):
    for path in (folder, folder.parent):
        model = open_cogvideox(path, mixer="ttt_linear", mini_batch=16, gate_init=0.0)
        assert_loaded(model, cogvideox)
        assert model.config.mixer == "ttt_linear"
        assert not model.transformer_blocks[1].mixer.gate_forward.video.any()


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ("{", WeightsError, "is not JSON"),
        ('{"_class_name": "UNet"}', WeightsError, "describes no CogVideoXTransformer3DModel"),
        ('{"_class_name": "CogVideoXTransformer3DModel", "patch_size_t": 2}', ConfigError, "patch_size_t is 2"),
        ('{"_class_name": "CogVideoXTransformer3DModel", "colour": 2}', WeightsError, "colour"),
    ],
)
def test_only_a_cogvideox_is_opened(folder, config, error, message):
    (folder / "config.json").write_text(config)
    with pytest.raises(error, match=message):
        open_cogvideox(folder)


def test_a_folder_without_a_config_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="holds no transformer/config"):
        open_cogvideox(tmp_path)


def test_mixers_without_a_slot_are_left_out_where_that_is_asked_for(tmp_path):
    torch.manual_seed(0)
    with_memory = StoryreelTransformer3DModel(**TINY, mixer="ttt_linear")
    with_memory.save_pretrained(tmp_path / "transformer")
    local = StoryreelTransformer3DModel(**TINY, mixer="local")
    with pytest.raises(WeightsError, match="unknown to this model"):
        load_cogvideox(local, tmp_path)
    assert load_cogvideox(local, tmp_path, spare_mixer=True) == []
    for name, value in local.state_dict().items():
        assert torch.equal(value, with_memory.state_dict()[name])


def test_mixers_alone_come_over_and_nothing_else_changes(tmp_path):
    torch.manual_seed(0)
    source = StoryreelTransformer3DModel(**TINY, mixer="ttt_linear")
    source.save_pretrained(tmp_path / "transformer")
    target = StoryreelTransformer3DModel(**TINY, mixer="ttt_linear")
    before = {name: value.clone() for name, value in target.state_dict().items()}
    load_mixers(target, tmp_path)
    for name, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[name] if ".mixer." in name else before[name])
    with pytest.raises(WeightsError, match="unknown to this model"):
        load_mixers(StoryreelTransformer3DModel(**TINY, mixer="local"), tmp_path)
