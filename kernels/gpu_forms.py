"""Which steps have a form that runs on a GPU, and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from .gpu_baseline import GpuSlidingBaseline
from .gpu_drift import GpuDriftMeter
from .gpu_events import GpuEventFinder
from .gpu_focus import GpuFocusMeter
from .gpu_foreground import GpuForegroundMasker
from .gpu_histogram import GpuTallier
from .gpu_moments import GpuStackSums, GpuSums
from .gpu_quantise import GpuQuantiser
from .gpu_time_projections import GpuTimeProjections
from .gpu_translation import GpuTranslator

#: Classes by the name of the step; the images that the step drift moves back have a class of their own. Each takes an
#: `Accelerator` first, then what its CPU form takes, and has the verbs of that; arrays are those of the accelerator.
GPU_FORMS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "histogram": GpuTallier,
        "focus": GpuFocusMeter,
        "quantise": GpuQuantiser,
        "foreground": GpuForegroundMasker,
        "drift": GpuDriftMeter,
        "translation": GpuTranslator,
        "events": GpuEventFinder,
        "hot_test": GpuStackSums,
        "moments": GpuSums,
        "time_projections": GpuTimeProjections,
        "baseline": GpuSlidingBaseline,
    }
)
