"""What the processes of a test find in the place of CuPy: a GPU made up of the emulator, full or lost when it is told.

``EMULATED_GPU`` is a folder of the test. The number in its file ``launches`` is how many kernels run until the device
is lost; then, and in every process that starts later, it does not answer. The file ``full``: there is no memory.
"""

import os
import sys
from pathlib import Path
from types import ModuleType

_PACKAGE = ModuleType("emulated_kernels")
_PACKAGE.__path__ = [str(Path(__file__).parents[2] / "kernels")]
sys.modules[_PACKAGE.__name__] = _PACKAGE

from emulated_kernels.fake_cupy import CUDARuntimeError, fake_cupy, full  # noqa: E402

_TOLD = Path(os.environ["EMULATED_GPU"])
_LOST = CUDARuntimeError("cudaErrorDevicesUnavailable: it was told to be lost")


class _Fails(dict):
    launches = 0

    def __contains__(self, name):
        if name == "Memory" and (_TOLD / "full").exists():
            self[name] = full()
        if name == "launch" and (_TOLD / "launches").exists():
            self.launches += 1
            if self.launches > int((_TOLD / "launches").read_text()):
                (_TOLD / "lost").touch()
        if (_TOLD / "lost").exists():
            self[name] = _LOST
        return super().__contains__(name)


sys.modules[__name__] = fake_cupy(fails=_Fails())
