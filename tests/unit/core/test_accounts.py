"""Rules of names and passwords, registering, signing in."""

from __future__ import annotations

import unicodedata

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from image_api.core.accounts import passwords, users
from image_api.core.accounts.sessions import Sessions, Tokens
from image_api.core.accounts.tokens import AccessClaims, TokenSigner
from image_api.core.accounts.users import Credentials, PasswordChange, Registration, SignInAttempt
from image_api.errors import (
    AccountLocked,
    TooManyAttempts,
    Unauthenticated,
    UsernameTaken,
    WrongCredentials,
)
from tests.fakes import FakeSessionRecords, FakeUserRecords

PASSWORD = "analytical!engine"
ADDRESS = "203.0.113.7"
SIGNER = TokenSigner("a secret of the tests, thirty-two bytes long", None, 24 * 3600)
SESSIONS = Sessions(FakeSessionRecords(), SIGNER)


def register(records: FakeUserRecords, username: str, password: str = PASSWORD) -> Tokens:
    registration = Registration(username=username, password=password)
    return users.register(records, SESSIONS, registration, ADDRESS)


def sign_in(records: FakeUserRecords, username: str, password: str = PASSWORD) -> Tokens:
    return users.sign_in(
        records, SESSIONS, Credentials(username=username, password=password), ADDRESS
    )


class CountingHasher(argon2.PasswordHasher):
    """The application's hasher, with a record of every hash that was compared."""

    def __init__(self) -> None:
        super().__init__(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self.compared: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.compared.append(hash if isinstance(hash, str) else hash.decode())
        return super().verify(hash, password)


@pytest.fixture
def hasher(environment: pytest.MonkeyPatch) -> CountingHasher:
    counting = CountingHasher()
    environment.setattr(passwords, "_hasher", counting)
    return counting


@pytest.fixture
def records() -> FakeUserRecords:
    records = FakeUserRecords()
    register(records, "Ada")
    return records


def messages(username: str, password: str) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        Registration(username=username, password=password)
    return [problem["msg"].removeprefix("Value error, ") for problem in refused.value.errors()]


@pytest.mark.parametrize(
    ("username", "message"),
    [
        ("", "The name is empty; it needs 1 to 64 characters"),
        (" \t\u00a0\u3000", "The name is empty; it needs 1 to 64 characters"),
        ("a" * 65, "The name has 65 characters; at most 64 are allowed"),
        ("a\x00da", "The name contains a control character"),
        ("ada\x1b[31m", "The name contains a control character"),
        ("a\nb", "The name contains a control character"),
        ("a\x85b", "The name contains a control character"),
    ],
)
def test_each_rule_of_usernames_has_its_own_message(username: str, message: str) -> None:
    assert messages(username, PASSWORD) == [message]


INVISIBLE = {
    "zero width space": "\u200b",
    "joiner": "\u200d",
    "byte order mark": "\ufeff",
    "right to left": "\u202e",
    "soft hyphen": "\u00ad",
    "Hangul filler": "\u3164",
    "Braille blank": "\u2800",
    "tag": "\U000e0041",
    "word joiner": "\u2060",
    "variation selector": "\ufe0f",
    "line separator": "\u2028",
    "unassigned": "\u0378",
    "grapheme joiner": "\u034f",
}


@pytest.mark.parametrize("what", INVISIBLE)
def test_a_name_holds_no_character_that_nobody_sees(what: str) -> None:
    character = INVISIBLE[what]
    for name in (f"ada{character}x", f"a{character}b", character):
        assert messages(name, PASSWORD) in (
            ["The name contains an invisible character"],
            ["The name is empty; it needs 1 to 64 characters"],
        )


def test_a_mark_without_a_letter_is_no_name() -> None:
    assert messages("\u0301", PASSWORD) == ["The name contains an invisible character"]


def test_a_password_is_the_same_however_its_letters_are_composed() -> None:
    records = FakeUserRecords()
    composed, decomposed = "p\u00e4ssw\u00f6rd!", "pa\u0308sswo\u0308rd!"
    register(records, "Ada", composed)
    register(records, "Bob", decomposed)

    for name in ("Ada", "Bob"):
        for password in (composed, decomposed):
            assert sign_in(records, name, password)


def test_a_password_set_before_it_was_composed_still_signs_in_and_is_composed_then() -> None:
    records = FakeUserRecords()
    decomposed = "pa\u0308ss!"
    records.add("Ada", "ada", passwords.hash_of(decomposed))

    assert sign_in(records, "Ada", decomposed)

    ((_, _, new_hash),) = records.users.values()
    assert argon2.PasswordHasher().verify(new_hash, "p\u00e4ss!")


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("", "The password is too short; it needs 4 to 50 characters"),
        ("a!b", "The password is too short; it needs 4 to 50 characters"),
        ("!" + "a" * 50, "The password is too long; it may have at most 50 characters"),
        ("abcd", f"The password needs at least one of {passwords.SPECIAL_CHARACTERS}"),
        ('abc-d=e~"`\\', f"The password needs at least one of {passwords.SPECIAL_CHARACTERS}"),
    ],
)
def test_each_rule_of_passwords_has_its_own_message(password: str, message: str) -> None:
    assert messages("ada", password) == [message]


def test_a_name_and_a_password_that_are_both_wrong_are_both_named() -> None:
    assert len(messages(" ", "abc")) == 2


def test_a_lone_surrogate_is_refused_in_both_fields() -> None:
    assert len(messages("ada\ud800", "secret!\ud800")) == 2


@pytest.mark.parametrize("special", passwords.SPECIAL_CHARACTERS)
def test_every_special_character_of_the_contract_counts(special: str) -> None:
    assert Registration(username="ada", password=f"abc{special}").password == f"abc{special}"


def test_the_special_characters_are_those_of_the_contract() -> None:
    assert set(passwords.SPECIAL_CHARACTERS) == set("!@#$%^&*()_+[]{}|;:',.<>/?")


@pytest.mark.parametrize("password", ["abc!", "!" + "a" * 49, "!" + "🔑" * 49])
def test_the_bounds_of_a_password_are_allowed(password: str) -> None:
    assert Registration(username="ada", password=password).password == password


@pytest.mark.parametrize("username", ["a", "a" * 64, "🔑" * 64, "O'Brien", "李", "a b"])
def test_the_bounds_of_a_name_are_allowed(username: str) -> None:
    assert Registration(username=username, password=PASSWORD).username == username


def test_a_name_is_trimmed_and_composed() -> None:
    decomposed = unicodedata.normalize("NFD", "  Zoë ")
    assert Registration(username=decomposed, password=PASSWORD).username == "Zoë"


def test_a_password_is_not_trimmed(records: FakeUserRecords) -> None:
    register(records, "bob", " abc! ")
    with pytest.raises(WrongCredentials):
        sign_in(records, "bob", "abc!")


def test_who_registers_is_signed_in() -> None:
    records = FakeUserRecords()
    token = register(records, "Ada")
    assert token.token_type == "bearer"
    assert SIGNER.verify(f"Bearer {token.access_token}") == AccessClaims(1, 0)


def test_the_password_is_kept_as_an_argon2id_hash_of_owasp_strength(
    records: FakeUserRecords,
) -> None:
    ((_, _, password_hash),) = records.users.values()
    parameters = argon2.extract_parameters(password_hash)
    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost) == (19 * 1024, 2)
    assert PASSWORD not in password_hash


@pytest.mark.parametrize(
    "username",
    ["ADA", "ada", " aDa ", "Ａｄａ", "ＡＤＡ", "ⓐⓓⓐ", "𝔸𝔻𝔸"],  # noqa: RUF001 - wide letters
)
def test_a_name_is_taken_in_whatever_case_and_width(
    records: FakeUserRecords, username: str
) -> None:
    with pytest.raises(UsernameTaken):
        register(records, username)


@pytest.mark.parametrize(
    ("one", "other"), [("Straße", "STRASSE"), ("ﬁnn", "FINN"), ("ΣΊΣΥΦΟΣ", "σίσυφος")]
)
def test_names_that_differ_in_case_alone_are_one_name(one: str, other: str) -> None:
    records = FakeUserRecords()
    register(records, one)
    with pytest.raises(UsernameTaken):
        register(records, other)


@given(st.text(min_size=1, max_size=20).filter(lambda name: bool(users._username_key(name))))
def test_the_key_of_a_name_is_its_own_key(name: str) -> None:
    key = users._username_key(name)
    assert users._username_key(key) == key


@pytest.mark.parametrize("what", [name for name in INVISIBLE if name != "unassigned"])
def test_what_nobody_sees_does_not_count_in_a_name(what: str) -> None:
    records = FakeUserRecords()
    for name in (f"a{INVISIBLE[what]}da", f"{INVISIBLE[what]} Ada", f"ADA{INVISIBLE[what]}"):
        assert users._username_key(name) == "ada"
    # A name from before, whose key the migration has made.
    records.add(f"A{INVISIBLE[what]}da", "ada", passwords.hash_of(PASSWORD))
    for name in (f"A{INVISIBLE[what]}da", "Ada"):
        assert sign_in(records, name)
    with pytest.raises(UsernameTaken):
        register(records, "Ada")


def test_of_two_names_from_before_that_look_alike_each_signs_in() -> None:
    records = FakeUserRecords()
    records.add("Ada", "ada", passwords.hash_of("the first!"))
    records.add("A\u200bda", "a\u200bda", passwords.hash_of("the second!"))

    assert sign_in(records, "Ada", "the first!")
    assert sign_in(records, "A\u200bda", "the second!")
    with pytest.raises(WrongCredentials):
        sign_in(records, "A\u200bda", "the first!")
    # Whatever is put into a name, guesses at it count together.
    assert {key for key, _ in records.attempts} == {"ada"}


def test_names_that_merely_look_alike_are_two_names(records: FakeUserRecords) -> None:
    cyrillic = "Аda"  # noqa: RUF001 - the point of the test
    register(records, cyrillic)
    assert len(records.users) == 2


def test_the_right_pair_signs_in_regardless_of_the_names_case(records: FakeUserRecords) -> None:
    token = sign_in(records, " ADA")
    assert SIGNER.verify(f"Bearer {token.access_token}") == AccessClaims(1, 0)
    assert records.successes == [("ada", ADDRESS, 1)]


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("Ada", "analytical!Engine"),
        ("Ada", ""),
        ("Ada", PASSWORD + " "),
        ("Ada", "\ud800"),
        ("nobody", PASSWORD),
        ("nobody", "nobody has this password"),
        ("", PASSWORD),
        ("a\x00da", PASSWORD),
        ("\ud800", PASSWORD),
    ],
)
def test_a_wrong_pair_is_refused_in_the_same_words_whatever_is_wrong(
    records: FakeUserRecords, username: str, password: str
) -> None:
    credentials = Credentials.model_construct(username=username, password=password)
    with pytest.raises(WrongCredentials) as refused:
        users.sign_in(records, SESSIONS, credentials, ADDRESS)
    assert refused.value.detail == "The username or the password is wrong"
    assert records.successes == []


def test_an_unknown_name_costs_the_same_work_as_a_known_one(
    records: FakeUserRecords, hasher: CountingHasher
) -> None:
    for username in ("Ada", "nobody"):
        with pytest.raises(WrongCredentials):
            sign_in(records, username, "wrong!")
    known, unknown = hasher.compared
    assert known != unknown
    assert argon2.extract_parameters(known) == argon2.extract_parameters(unknown)


def test_an_attempt_is_counted_with_its_address_before_the_password_is_looked_at(
    records: FakeUserRecords, hasher: CountingHasher
) -> None:
    records.retry_after_seconds = 60
    with pytest.raises(TooManyAttempts) as refused:
        sign_in(records, "Ada")
    assert refused.value.retry_after_seconds == 60
    assert "60 seconds" in refused.value.detail
    assert records.attempts == [("ada", ADDRESS)]
    assert hasher.compared == []


def test_an_address_that_registered_too_often_costs_no_hash_and_adds_nobody(
    records: FakeUserRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_hasher", None)
    records.retry_after_seconds = 77

    with pytest.raises(TooManyAttempts, match=r"registrations from this address.* 77 seconds"):
        register(records, "bob")

    assert records.registering == [ADDRESS, ADDRESS]
    assert list(records.users) == ["ada"]


def test_a_name_that_does_not_exist_is_throttled_like_one_that_does(
    records: FakeUserRecords,
) -> None:
    records.retry_after_seconds = 60
    for username in ("Ada", "nobody"):
        with pytest.raises(TooManyAttempts):
            sign_in(records, username)
    assert records.attempts == [("ada", ADDRESS), ("nobody", ADDRESS)]


def test_characters_beyond_72_bytes_count(records: FakeUserRecords) -> None:
    # bcrypt would compare the first 72 bytes only, and cut at a zero byte.
    password = "!" + "🔑" * 49
    register(records, "bob", password)
    sign_in(records, "bob", password)
    with pytest.raises(WrongCredentials):
        sign_in(records, "bob", password[:-1] + "🔒")


def test_characters_after_a_zero_byte_count(records: FakeUserRecords) -> None:
    register(records, "bob", "abc!\x00def")
    with pytest.raises(WrongCredentials):
        sign_in(records, "bob", "abc!\x00xyz")


def test_a_hash_of_older_parameters_is_replaced_at_the_next_sign_in() -> None:
    records = FakeUserRecords()
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    records.add("Ada", "ada", weak.hash(PASSWORD))
    sign_in(records, "Ada")
    ((_, _, new_hash),) = records.users.values()
    assert argon2.extract_parameters(new_hash).memory_cost == 19 * 1024
    assert argon2.PasswordHasher().verify(new_hash, PASSWORD)


def test_a_hash_that_is_no_hash_lets_nobody_in() -> None:
    records = FakeUserRecords()
    records.add("Ada", "ada", "")
    records.users["bob"] = (2, "bob", "plain text")
    for username, password in (("ada", ""), ("bob", "plain text")):
        with pytest.raises(WrongCredentials):
            sign_in(records, username, password)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("unknown", "unknown"),
    ],
)
def test_attempts_are_counted_for_a_network(address: str, network: str) -> None:
    records = FakeUserRecords()
    with pytest.raises(WrongCredentials):
        users.sign_in(records, SESSIONS, Credentials(username="ada", password="wrong"), address)
    assert records.attempts == [("ada", network)]


def test_that_an_account_is_locked_is_told_to_who_knows_its_password(
    records: FakeUserRecords,
) -> None:
    records.locked.add(1)
    with pytest.raises(AccountLocked):
        sign_in(records, "Ada")
    with pytest.raises(WrongCredentials):
        sign_in(records, "Ada", "not this one!")


def test_a_password_that_is_made_for_somebody_keeps_the_rules_and_signs_in(
    records: FakeUserRecords,
) -> None:
    password, password_hash = passwords.new_password()
    records.replace_hash(1, records.users["ada"][2], password_hash)

    assert passwords.checked_password(password) == password
    assert sign_in(records, "Ada", password)
    assert passwords.new_password()[0] != password


def change_password(
    records: FakeUserRecords, new: str, current: str = PASSWORD, user_id: int = 1
) -> Tokens:
    change = PasswordChange(current_password=current, new_password=new)
    return users.change_password(records, SESSIONS, user_id, change, ADDRESS)


def test_a_changed_password_signs_in_and_the_one_before_does_not(
    records: FakeUserRecords,
) -> None:
    tokens = change_password(records, "difference!engine")

    assert SIGNER.verify(f"Bearer {tokens.access_token}") == AccessClaims(1, 1)
    again = sign_in(records, "Ada", "difference!engine")
    assert SIGNER.verify(f"Bearer {again.access_token}") == AccessClaims(1, 1)
    with pytest.raises(WrongCredentials):
        sign_in(records, "Ada")


def test_a_password_is_changed_by_who_knows_it_alone(records: FakeUserRecords) -> None:
    with pytest.raises(WrongCredentials, match=r"^The password is wrong$"):
        change_password(records, "difference!engine", "not this one!")
    assert sign_in(records, "Ada")


def test_guesses_at_the_current_password_wait_as_those_of_signing_in(
    records: FakeUserRecords,
) -> None:
    records.retry_after_seconds = 7
    with pytest.raises(TooManyAttempts):
        change_password(records, "difference!engine")
    assert records.attempts == [("ada", ADDRESS)]


def test_a_new_password_keeps_the_rules(records: FakeUserRecords) -> None:
    with pytest.raises(ValidationError, match="needs at least one of"):
        change_password(records, "nothing special")


def test_of_two_changes_at_once_one_is_made(records: FakeUserRecords) -> None:
    attempts = records.begin_sign_in

    def overtaken(username_key: str, network: str, typed_key: str) -> SignInAttempt:
        attempt = attempts(username_key, network, typed_key)
        records.users["ada"] = (1, "Ada", "the other one's")
        return attempt

    records.begin_sign_in = overtaken  # type: ignore[method-assign]
    with pytest.raises(Unauthenticated, match="changed meanwhile"):
        change_password(records, "difference!engine")
