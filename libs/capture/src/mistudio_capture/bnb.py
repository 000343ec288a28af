"""bitsandbytes' ``functional``, without the compiler that importing it would import.

bitsandbytes gives ``torch.compile`` what it has no kernels for, at its import. That alone imports
torch's compiler: 43 MB and 1.5 s in each process that computes, of which nothing is ever used on
the devices that we run on.
"""

from __future__ import annotations

import os

_WITHOUT_COMPILER = "TORCHDYNAMO_DISABLE"

_before = os.environ.get(_WITHOUT_COMPILER)
os.environ[_WITHOUT_COMPILER] = "1"
try:
    from bitsandbytes import functional
finally:
    if _before is None:
        del os.environ[_WITHOUT_COMPILER]
    else:
        os.environ[_WITHOUT_COMPILER] = _before

__all__ = ["functional"]
