"""The CUDA C++ of the reductions as NVIDIA's compiler takes it, without float64 and spills; and the forms it makes."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from octostream.kernels.baseline import SlidingBaseline
from octostream.kernels.candidates import EventFinder
from octostream.kernels.cuda_reductions import KERNELS, ONCE_A_BLOCK, OPTIONS, source
from octostream.kernels.drift_meter import DriftMeter
from octostream.kernels.focus import FocusMeter
from octostream.kernels.foreground import ForegroundMasker
from octostream.kernels.gpu_forms import GPU_FORMS
from octostream.kernels.histogram import Tallier
from octostream.kernels.quantise import Quantiser
from octostream.kernels.steps import step_names

from .nvrtc import compile_cuda

#: Threads of the largest block, and registers that a multiprocessor has.
_THREADS, _REGISTERS = 512, 65536


@pytest.mark.parametrize("capability", ["7.5", "8.0", "9.0"])
def test_kernels_compile_without_float64_and_spills(capability):
    compiled = compile_cuda(source(), OPTIONS, KERNELS, capability)
    assert set(compiled.kernels) == set(KERNELS)
    for kernel, used in compiled.kernels.items():
        assert used.stack_bytes == used.spilled_bytes == 0, kernel
        assert used.registers * _THREADS <= _REGISTERS, kernel
    wide = [part.split("(")[0] for part in compiled.ptx.split(".entry ")[1:] if ".f64" in part]
    assert len(wide) == len(ONCE_A_BLOCK)
    assert all(any(kernel in name for name in wide) for kernel in ONCE_A_BLOCK)
    # A product and a sum that are one instruction round once: other bits than those of a CPU.
    assert "fma.rn.f32" not in compiled.ptx


#: The CPU forms whose verbs are those of the GPU form.
CPU_FORMS = {
    "histogram": Tallier,
    "focus": FocusMeter,
    "quantise": Quantiser,
    "foreground": ForegroundMasker,
    "drift": DriftMeter,
    "events": EventFinder,
    "baseline": SlidingBaseline,
}


def verbs(form):
    found = inspect.getmembers(form, inspect.isfunction)
    return {name: list(inspect.signature(verb).parameters) for name, verb in found if not name.startswith("_")}


@pytest.mark.parametrize("step", GPU_FORMS)
def test_forms_are_called_as_those_of_the_cpu(step):
    form = GPU_FORMS[step]
    assert next(iter(inspect.signature(form).parameters)) == "accelerator"
    if step in CPU_FORMS:
        assert verbs(form).items() >= verbs(CPU_FORMS[step]).items()


def test_forms_are_found_by_the_names_of_steps():
    assert set(GPU_FORMS) - set(step_names()) == {"translation"}


def test_no_form_imports_cupy():
    code = "import sys; import octostream.kernels.gpu_forms; assert 'cupy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
