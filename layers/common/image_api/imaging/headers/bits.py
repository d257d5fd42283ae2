"""Numbers of any number of bits, as video headers have them."""

from __future__ import annotations

from image_api.errors import DamagedImage

_LONGEST_CODE_BITS = 32


class BitReader:
    """Reads from a few bytes, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left_bits = 8 * len(data)

    def bits(self, count: int) -> int:
        self._left_bits -= count
        if self._left_bits < 0:
            raise DamagedImage("The image is damaged: a header of its coded pixels is incomplete")
        return self._value >> self._left_bits & (1 << count) - 1

    def flag(self) -> bool:
        return self.bits(1) == 1

    def exp_golomb(self) -> int:
        """A number of unstated length: Exp-Golomb of H.265, uvlc of AV1."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > _LONGEST_CODE_BITS:
                raise DamagedImage("The image is damaged: its coded pixels begin with nonsense")
        return (1 << zeros) - 1 + self.bits(zeros)
