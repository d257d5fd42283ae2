"""Which characters nobody sees, and which turn the direction of others."""

from __future__ import annotations

import unicodedata

# Default-ignorable (Unicode, DerivedCoreProperties) without being format characters, and blanks
# that are neither spaces nor controls.
_IGNORABLE = {
    0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0,
    *range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000),
}  # fmt: skip
# What is seen neither by itself nor for what it does (Default_Ignorable_Code_Point, separators,
# annotations, the Braille blank), as ranges of code points. Keys stay as they are, so this is the
# same whatever version of Unicode the runtime knows; the migration of names has it too.
IGNORED_IN_KEYS = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800),
    (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB),
    (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
_FORMAT_SEPARATORS_AND_UNASSIGNED = {"Cf", "Zl", "Zp", "Cn"}
_JOINERS = {"\u200c", "\u200d", "\ufe0e", "\ufe0f"}
_FIRST_JOINED_LETTER = "\u0600"


def is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")


def is_invisible(character: str) -> bool:
    """Whether a character is not seen, or turns the direction of what follows."""
    return (
        ord(character) in _IGNORABLE
        or unicodedata.category(character) in _FORMAT_SEPARATORS_AND_UNASSIGNED
    )


def has_nothing_to_see(text: str) -> bool:
    """Whether it is made of invisible characters, marks and spaces alone."""
    return all(
        is_invisible(character) or unicodedata.category(character)[0] in "MZ" for character in text
    )


def without_ignored(text: str) -> str:
    return "".join(
        character
        for character in text
        if not any(first <= ord(character) <= last for first, last in IGNORED_IN_KEYS)
    )


def without_invisible(text: str) -> str:
    """The text without them, but for those that join emoji, or letters of scripts that do so."""
    return "".join(
        character
        for index, character in enumerate(text)
        if not is_invisible(character) or _joins(text, index)
    )


def _joins(text: str, index: int) -> bool:
    if text[index] not in _JOINERS or index == 0:
        return False
    before = text[index - 1]
    if text[index] in "\ufe0e\ufe0f":
        # A symbol, a number or a punctuation mark, which it makes an emoji or a plain one.
        return unicodedata.category(before)[0] in "SNP"
    is_emoji = before == "\ufe0f" or unicodedata.category(before) in ("So", "Sk")
    is_letter = before >= _FIRST_JOINED_LETTER and unicodedata.category(before)[0] in "LM"
    # What joins stands between two.
    return (is_emoji or is_letter) and index + 1 < len(text)
