"""The files for several GPUs: what accelerate reads of them, without a GPU to run them on."""

from importlib.resources import files

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.utils import FullyShardedDataParallelPlugin
from transformers.models.mistral import modeling_mistral

NAMES = ("ddp", "deepspeed-zero2", "fsdp-qlora")


def told(name: str) -> dict[str, object]:
    loaded: dict[str, object] = yaml.safe_load(files("trainer.distributed").joinpath(f"{name}.yaml").read_text("utf-8"))
    return loaded


def test_every_file_is_known_here() -> None:
    found = {path.name.removesuffix(".yaml") for path in files("trainer.distributed").iterdir() if ".yaml" in path.name}
    assert found == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_accelerate_takes_the_file_as_it_stands(name: str) -> None:
    config = ClusterConfig.from_yaml_file(str(files("trainer.distributed").joinpath(f"{name}.yaml")))
    assert config.mixed_precision == "bf16"
    assert config.num_processes == 2


def test_accelerate_refuses_a_key_it_does_not_know(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("wrong") / "wrong.yaml"
    path.write_text(yaml.safe_dump({**told("ddp"), "processes": 2}), encoding="utf-8")
    with pytest.raises(ValueError, match="processes"):
        ClusterConfig.from_yaml_file(str(path))


def test_the_layers_that_fsdp_splits_are_layers_of_the_model() -> None:
    options = told("fsdp-qlora")["fsdp_config"]
    assert isinstance(options, dict)
    assert hasattr(modeling_mistral, options["fsdp_transformer_layer_cls_to_wrap"])


def test_every_option_of_fsdp_is_one_of_accelerates_plugin() -> None:
    options = told("fsdp-qlora")["fsdp_config"]
    assert isinstance(options, dict)
    plugin = {f"fsdp_{field}" for field in FullyShardedDataParallelPlugin.__dataclass_fields__}
    renamed = {"fsdp_version", "fsdp_offload_params", "fsdp_transformer_layer_cls_to_wrap"}
    assert set(options) - renamed <= plugin
