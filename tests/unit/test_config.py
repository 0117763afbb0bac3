"""The table of settings: where they are read, what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import config
from app.config import describe, load
from app.errors import ConfigurationError

CANARY = "canary-3f9a"


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def refusal(env_file: Path | None = None, **override: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(env_file, **override)
    # What stands behind it may end up in a log.
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_without_anything_every_setting_has_its_default(env_file: Path) -> None:
    settings = load(env_file)
    assert (settings.watch, settings.source, settings.quote) == ("BTC,ETH,ZEC", "coingecko", "USD")
    assert (settings.tick_seconds, settings.view_refresh_seconds) == (1.0, 60.0)
    assert (settings.data_dir, settings.alerts_file) == (Path("data"), Path("alerts/alerts.txt"))
    assert settings.database_url.get_secret_value() == ""
    assert settings.coingecko_calls_per_month is None


def test_the_environment_wins_over_the_file(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("TICK_SECONDS=5\nAPI_PORT=9000\n")
    monkeypatch.setenv("TICK_SECONDS", "7")
    settings = load(env_file)
    assert (settings.tick_seconds, settings.api_port) == (7, 9000)


def test_what_is_passed_wins_over_all_and_is_all_that_is_looked_at(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text("TICK_SECONDS=0\n")
    monkeypatch.setenv("DATABASE_URL_FILE", "/nosuch")
    settings = load(env_file, tick_seconds=2.0, database_url="")
    assert settings.tick_seconds == 2


def test_an_empty_value_is_the_default(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("TICK_SECONDS=\nDATA_DIR=\nAPI_HOST=''\nCOINGECKO_CALLS_PER_MONTH=   \nWATCH=\n")
    monkeypatch.setenv("QUOTE", " ")
    assert load(env_file) == load(None)


def test_an_empty_value_in_the_environment_hides_what_the_file_says(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text("DATABASE_URL=postgresql://db/real\n")
    monkeypatch.setenv("DATABASE_URL", "")
    assert load(env_file).database_url.get_secret_value() == ""


def test_white_space_around_a_value_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", " 9000 ")
    monkeypatch.setenv("COINGECKO_PLAN", "demo ")
    monkeypatch.setenv("COINGECKO_API_KEY", " CG-abc\n")
    settings = load(None)
    assert settings.api_port == 9000
    assert settings.coingecko_api_key.get_secret_value() == "CG-abc"


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
        ("COINGECKO_PLAN", "Keyless", "coingecko_plan", "keyless"),
        ("QUOTE", "eur", "quote", "EUR"),
        ("SOURCE", "CoinGecko", "source", "coingecko"),
        ("API_OPEN_READS", "yes", "api_open_reads", True),
        ("API_OPEN_READS", "0", "api_open_reads", False),
        ("API_ALLOWED_HOSTS", "A.example, b.example.,a.example", "allowed_hosts", ("a.example", "b.example")),
        (
            "API_CORS_ORIGINS",
            "https://A.example/,http://[::1]:9",
            "cors_origins",
            ("https://a.example", "http://[::1]:9"),
        ),
        ("COINGECKO_BASE_URL", "http://[::1]:8900/api/v3", "coingecko_base_url", "http://[::1]:8900/api/v3"),
        ("TICK_SECONDS", "0.05", "tick_seconds", 0.05),
        ("COINGECKO_CALLS_PER_MINUTE", "0", "coingecko_calls_per_minute", 0),
        ("DATA_DIR", "/tmp/with a space", "data_dir", Path("/tmp/with a space")),
    ],
)
def test_a_good_value_is_understood(
    key: str, text: str, field: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, text)
    assert getattr(load(None), field) == value


def test_the_home_folder_can_be_written_as_a_tilde(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    env_file.write_text("DATA_DIR=~/crypto\n")
    assert load(env_file).data_dir == Path("/home/ada/crypto")


BAD = [
    ("TICK_SECONDS", "0.01", "should be a number from 0.05 to 86400"),
    ("TICK_SECONDS", "fast", "should be a number from 0.05 to 86400"),
    ("TICK_SECONDS", "nan", "should be a number from 0.05 to 86400"),
    ("TICK_SECONDS", "inf", "should be a number from 0.05 to 86400"),
    ("VIEW_REFRESH_SECONDS", "-1", "should be a number from 0.1 to 86400"),
    ("API_PORT", "http", "should be a whole number from 1 to 65535"),
    ("API_PORT", "80.5", "should be a whole number from 1 to 65535"),
    ("API_PORT", "65536", "should be a whole number from 1 to 65535"),
    ("COINGECKO_CALLS_PER_MONTH", "-1", "should be a whole number from 0 to 1000000000"),
    ("API_OPEN_READS", "perhaps", "should be true or false"),
    ("API_ALLOWED_HOSTS", "a.example:8000", "should be host names without a port"),
    ("API_ALLOWED_HOSTS", "*", "should be host names without a port"),
    ("API_CORS_ORIGINS", "*", "should be origins, separated by commas, like https://charts.example.org"),
    ("API_CORS_ORIGINS", "https://a.example/x", "should be origins"),
    ("API_REQUESTS_PER_SECOND", "-1", "should be a whole number from 0 to 1000000"),
    ("COINGECKO_PLAN", "gold", "should be keyless, demo or pro"),
    ("LOG_LEVEL", "loud", "should be debug, info, warning or error"),
    ("LOG_FORMAT", "xml", "should be console or json"),
    ("SOURCE", "coin gecko", "should be the name of a market, like coingecko"),
    ("QUOTE", "US$", "should be one currency, like USD"),
    ("COINGECKO_BASE_URL", "localhost:8900", "should be an http:// or https:// address"),
    ("COINGECKO_BASE_URL", "ftp://localhost", "should be an http:// or https:// address"),
    ("COINGECKO_BASE_URL", "http://", "should be an http:// or https:// address"),
    ("COINGECKO_BASE_URL", "http://localhost:port/api", "should be an http:// or https:// address"),
    ("COINGECKO_BASE_URL", "http://localhost:0/api", "should be an http:// or https:// address"),
    ("COINGECKO_BASE_URL", "http://a b/", "should be an http:// or https:// address"),
    ("COINGECKO_BASE_URL", "http://[::1/", "should be an http:// or https:// address"),
    ("DATA_DIR", "~nosuchuser/data", "should be a path"),
    ("WATCH", "BTC,B TC", "'B TC': should be a symbol like BTC"),
    ("WATCH", "WIF=dogwifcoin,WIF=other", "'WIF': stands for both dogwifcoin and other"),
    ("WATCH", ",", "is empty; name at least one symbol"),
]


@pytest.mark.parametrize(("key", "text", "allowed"), BAD)
def test_a_bad_value_is_refused_by_key_value_place_and_what_is_allowed(
    key: str, text: str, allowed: str, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text(f"{key}='{text}'\n")
    assert refusal(env_file).startswith(f"{key}={text} (in {env_file}): {allowed}")
    monkeypatch.setenv(key, text)
    assert refusal(None).startswith(f"{key}={text} (in the environment): {allowed}")


def test_bytes_that_are_no_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCH", b"BTC\xff".decode(errors="surrogateescape"))
    assert refusal() == "WATCH (in the environment): is not UTF-8 text"


def test_all_bad_values_are_named_at_once(env_file: Path) -> None:
    env_file.write_text("TICK_SECONDS=0\nAPI_PORT=x\n")
    assert [line.partition("=")[0] for line in refusal(env_file).splitlines()] == ["TICK_SECONDS", "API_PORT"]


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://me:{CANARY}@db/x",
        f"postgresql://me:{CANARY}@db/x?nosuch=1",
        f"postgresql://me:{CANARY}%zz@db/x",
        f"postgresql://me:{CANARY}@db:port/x",
        f"postgresql://me:{CANARY}@db:0/x",
        f"{CANARY} without equals",
    ],
)
def test_a_bad_database_url_is_refused_without_showing_it(url: str, env_file: Path) -> None:
    env_file.write_text(f"DATABASE_URL='{url}'\n")
    text = refusal(env_file)
    assert text.startswith(f"DATABASE_URL=******** (in {env_file}): should be postgresql://user:password@host:5432/")
    assert CANARY not in text


@pytest.mark.parametrize(
    "url", ["postgres://db/x", "postgresql:///x?host=/run/pg", "host=db user=me dbname=x", "postgresql://a:1,b:2/x"]
)
def test_every_form_of_a_database_url_that_libpq_takes_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DATABASE_TRUSTED_HOSTS", "db,a,b")
    assert load(None).database_url.get_secret_value() == url


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel", "a\x7fb"])
def test_a_key_that_no_header_can_carry_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGECKO_PLAN", "demo")
    monkeypatch.setenv("COINGECKO_API_KEY", CANARY + key)
    text = refusal()
    assert text == "COINGECKO_API_KEY=******** (in the environment): has characters that no key has"


def test_a_password_in_an_address_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"http://me:{CANARY}@host/api", f"https://host/api?x_cg_demo_api_key={CANARY}"):
        monkeypatch.setenv("COINGECKO_BASE_URL", url)
        text = refusal()
        assert "without user, password and query" in text
        assert CANARY not in text


def test_a_plan_needs_its_key(env_file: Path) -> None:
    env_file.write_text("COINGECKO_PLAN=pro\n")
    assert refusal(env_file) == f"COINGECKO_PLAN=pro (in {env_file}): needs COINGECKO_API_KEY, which is empty"


def test_a_key_needs_its_plan(env_file: Path) -> None:
    env_file.write_text(f"COINGECKO_API_KEY={CANARY}\n")
    text = refusal(env_file)
    assert text.startswith(f"COINGECKO_API_KEY=******** (in {env_file}): is set, so COINGECKO_PLAN should be demo or")
    assert CANARY not in text


def test_settings_cannot_be_changed_later() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(None).tick_seconds = 2  # type: ignore[misc]


# Secrets in files.


def test_a_secret_can_be_in_a_file(env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbfCG-from-file\r\n")
    env_file.write_text("COINGECKO_PLAN=demo\n")
    monkeypatch.setenv("COINGECKO_API_KEY_FILE", str(tmp_path / "key"))
    assert load(env_file).coingecko_api_key.get_secret_value() == "CG-from-file"
    monkeypatch.delenv("COINGECKO_API_KEY_FILE")
    env_file.write_text(f"COINGECKO_PLAN=demo\nCOINGECKO_API_KEY_FILE='{tmp_path / 'key'}'\n")
    assert load(env_file).coingecko_api_key.get_secret_value() == "CG-from-file"


def test_a_secrets_file_in_the_environment_wins_over_a_secret_in_env(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text("postgresql://localhost/from-file\n")
    env_file.write_text("DATABASE_URL=postgresql://localhost/from-env\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert load(env_file).database_url.get_secret_value() == "postgresql://localhost/from-file"


def test_a_secret_given_twice_in_one_place_is_refused(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text(f"postgresql://me:{CANARY}@localhost/x")
    env_file.write_text(f"DATABASE_URL=postgresql://me:{CANARY}@localhost/y\nDATABASE_URL_FILE='{tmp_path / 'url'}'\n")
    text = refusal(env_file)
    assert text == f"DATABASE_URL and DATABASE_URL_FILE (in {env_file}) are both set: one of them is enough"
    # Compose hands on an empty variable where the shell has none.
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "url"))
    assert load(env_file).database_url.get_secret_value().endswith("/x")


def test_a_secrets_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, reason in [("nosuch", "No such file"), (".", "Is a directory"), ("binary", "it is not UTF-8 text")]:
        monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / name))
        start = f"DATABASE_URL_FILE={tmp_path / name} (in the environment): cannot be read ({reason}"
        assert refusal().startswith(start)


def test_an_empty_secrets_file_is_an_empty_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("COINGECKO_API_KEY_FILE", str(tmp_path / "empty"))
    assert load(None).coingecko_api_key.get_secret_value() == ""


def test_only_secrets_can_be_in_files(env_file: Path) -> None:
    env_file.write_text("WATCH_FILE=/tmp/watch\n")
    assert refusal(env_file) == f"WATCH_FILE (in {env_file}): no such setting; did you mean WATCH?"


# Keys that are no settings.


def test_an_unknown_key_in_the_file_is_named_with_a_suggestion(env_file: Path) -> None:
    env_file.write_text(f"DATABSE_URL=postgresql://me:{CANARY}@db/x\ntick_seconds=5\nZZZ={CANARY}\n")
    assert refusal(env_file).splitlines() == [
        f"DATABSE_URL (in {env_file}): no such setting; did you mean DATABASE_URL?",
        f"tick_seconds (in {env_file}): no such setting; did you mean TICK_SECONDS?",
        f"ZZZ (in {env_file}): no such setting; .env.example lists them all",
    ]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("COINGECKO_KEY", "COINGECKO_API_KEY"),
        ("COINGECKO_API_KEYFILE", "COINGECKO_API_KEY_FILE"),
        ("COINGECKO_CALLS_PER_MINUT", "COINGECKO_CALLS_PER_MINUTE"),
        ("coingecko_plan", "COINGECKO_PLAN"),
        ("TICK_SECOND", "TICK_SECONDS"),
        ("VIEW_REFRESH", "VIEW_REFRESH_SECONDS"),
    ],
)
def test_a_key_in_the_environment_that_looks_like_ours_is_named(
    key: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(key, CANARY)
    assert refusal() == f"{key} (in the environment): no such setting; did you mean {meant}?"


def test_other_keys_are_not_ours_to_judge(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("COMPOSE_PROJECT_NAME=x\nPOSTGRES_PASSWORD=y\nDOCKER_HOST=z\nPGSSLMODE=require\n")
    monkeypatch.setenv("API_KEY", "of another program")
    monkeypatch.setenv("watch", "ETH")
    assert load(env_file) == load(None)


# The effective configuration.


def test_the_effective_configuration_masks_every_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINGECKO_PLAN", "demo")
    monkeypatch.setenv("COINGECKO_API_KEY", CANARY)
    monkeypatch.setenv("COINMARKETCAP_API_KEY", CANARY)
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{CANARY}@localhost/x")
    monkeypatch.setenv("NOTIFY_URLS", f"ops=jsons://hooks.example.org/{CANARY}")
    settings = load(None)
    rows = describe(settings)
    assert [key for key, _, _ in rows] == list(config.KEYS)
    values = {key: value for key, value, _ in rows}
    assert {key for key, value in values.items() if value == "********"} == config.SECRETS
    assert (values["TICK_SECONDS"], values["API_OPEN_READS"], values["COINGECKO_BASE_URL"]) == ("1", "false", "")
    assert CANARY not in f"{rows} {settings!r} {settings}"


def test_a_secret_that_is_not_set_is_shown_as_that() -> None:
    values = {key: value for key, value, _ in describe(load(None))}
    assert {values[key] for key in config.SECRETS} == {""}


def test_an_at_sign_in_a_password_is_refused_before_half_of_it_becomes_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@topsecret@db:5432/x")
    said = refusal()
    assert "with @ in the password as %40" in said
    assert "topsecret" not in said


def test_every_market_may_have_addresses_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KRAKEN_BASE_URL", "http://127.0.0.1:9/0/")
    env_file = tmp_path / ".env"
    env_file.write_text("KRAKEN_WS_URL=ws://127.0.0.1:9/v2\nCOINMARKETCAP_BASE_URL=http://127.0.0.1:8\n")

    settings = config.load(env_file)

    assert settings.base_url("kraken") == "http://127.0.0.1:9/0"
    assert settings.ws_url("kraken") == "ws://127.0.0.1:9/v2"
    assert settings.base_url("coinmarketcap") == "http://127.0.0.1:8"
    assert settings.base_url("binance") is None


def test_a_bad_address_of_a_market_in_use_stops_the_start_and_that_of_another_program_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "nowhere")
    assert config.load(None).base_url("openai") is None

    monkeypatch.setenv("KRAKEN_WS_URL", "http://127.0.0.1")
    monkeypatch.setenv("WATCH", "BTC@kraken")
    with pytest.raises(ConfigurationError, match=r"^KRAKEN_WS_URL=http://127\.0\.0\.1 .* should be an ws://"):
        config.load(None)


def test_an_address_one_letter_off_a_setting_is_a_typing_error(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("COINGEKO_BASE_URL=http://127.0.0.1\n")
    with pytest.raises(ConfigurationError, match="did you mean COINGECKO_BASE_URL"):
        config.load(env_file)


@pytest.mark.parametrize("text", ["kraken;coinbase", "all", "Kraken Pro"])
def test_a_list_of_markets_holds_markets(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("FALLBACK", text)
    with pytest.raises(ConfigurationError, match="should be names of markets"):
        config.load(None)


def test_lists_of_markets_are_read_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALLBACK", "CoinMarketCap, kraken,kraken")
    monkeypatch.setenv("STREAM", "kraken")
    settings = config.load(None)
    assert (settings.fallbacks, settings.streams) == (("coinmarketcap", "kraken"), ("kraken",))


def test_the_default_market_cannot_stand_in_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALLBACK", "kraken,coingecko")
    with pytest.raises(ConfigurationError, match="cannot stand in for itself"):
        config.load(None)
