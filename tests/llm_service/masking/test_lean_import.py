"""A service that masks does not load what only training needs."""

import subprocess
import sys

import pytest

NEURAL = ("torch", "transformers", "peft", "bitsandbytes")


@pytest.mark.parametrize(
    "module", ["llm_service.masking.masker", "llm_service.app", "admin.app", "bot.gateway.app", "haechi.cli"]
)
def test_a_service_starts_without_pytorch(module: str) -> None:
    commands = "haechi.cli.build_app();" if module == "haechi.cli" else ""
    told = f"import sys, {module}; {commands} print(*(name for name in {NEURAL!r} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=120)
    assert loaded.stdout.strip() == ""


def test_pytorch_can_still_be_loaded_afterwards() -> None:
    pytest.importorskip("torch")
    told = "import llm_service.masking.masker, torch; print(torch.tensor([1]).item())"
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=120)
    assert loaded.stdout.strip() == "1"
