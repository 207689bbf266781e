"""Types with blocks of 32 weights and a scale in half precision, perhaps a minimum.

Q4_0   w = d * (q - 8)        q: 4 bits; qs[j] holds input j (low nibble) and j + 16 (high)
Q4_1   w = d * q + m          q: as Q4_0
Q5_0   w = d * (q - 16)       q: 5 bits; qs as Q4_0, bit k of qh is the fifth of input k
Q5_1   w = d * q + m          q: as Q5_0
Q8_0   w = d * q              q: 8 bits, signed
"""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.formats.block_format import BlockFormat, Plane

_D, _M, _QH, _QS = ("d", "<f2"), ("m", "<f2"), ("qh", "<u4"), ("qs", "u1", 16)
_NIBBLES, _FIFTHS = Plane("qs", 4, 16), Plane("qh", 1, 1)

Q4_0 = BlockFormat("Q4_0", 2, 32, np.dtype([_D, _QS]), (_NIBBLES,), offset=8)
Q4_1 = BlockFormat("Q4_1", 3, 32, np.dtype([_D, _M, _QS]), (_NIBBLES,))
Q5_0 = BlockFormat("Q5_0", 6, 32, np.dtype([_D, _QH, _QS]), (_NIBBLES, _FIFTHS), offset=16)
Q5_1 = BlockFormat("Q5_1", 7, 32, np.dtype([_D, _M, _QH, _QS]), (_NIBBLES, _FIFTHS))
Q8_0 = BlockFormat("Q8_0", 8, 32, np.dtype([_D, ("qs", "i1", 32)]), (Plane("qs", 8, 32),))
