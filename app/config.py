"""The one table of settings: names, types, defaults, which are secret, and the rules between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import psycopg2
from psycopg2.extensions import parse_dsn
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from app import addresses
from app.addresses import address
from app.database_tls import hosts, weakness
from app.errors import ConfigurationError
from app.given import Given
from app.notify import parse_allowed, parse_channels
from app.watch import ALL, parse_watch

_MOST_CALLS = 1_000_000_000


HttpUrl = Annotated[str, AfterValidator(address)]
_MARKET = re.compile(r"[a-z0-9_]{1,40}")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?")
_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")


class Settings(BaseSettings):
    """Every setting that is in effect. ``load`` makes it."""

    model_config = SettingsConfigDict(frozen=True)

    watch: str = Field("BTC,ETH,ZEC", description="what is watched: symbols, separated by commas")
    source: str = Field("coingecko", description="the default market")
    quote: str = Field("USD", description="the quote of symbols that name none")
    tick_seconds: float = Field(1.0, ge=0.05, le=86400, description="seconds from one tick to the next")
    view_refresh_seconds: float = Field(60.0, ge=0.1, le=86400, description="seconds between refreshes of daily_ohlcv")

    coingecko_plan: Literal["keyless", "demo", "pro"] = Field("keyless", description="your CoinGecko plan")
    coingecko_api_key: SecretStr = Field(SecretStr(""), description="the key of that plan")
    coingecko_base_url: HttpUrl | None = Field(None, description="empty = the root that belongs to the plan")
    coingecko_calls_per_minute: int | None = Field(
        None, ge=0, le=_MOST_CALLS, description="0 = no limit, empty = the plan's"
    )
    coingecko_calls_per_month: int | None = Field(
        None, ge=0, le=_MOST_CALLS, description="0 = no limit, empty = the plan's"
    )

    coinmarketcap_api_key: SecretStr = Field(SecretStr(""), description="your CoinMarketCap key; empty = without one")
    coinmarketcap_base_url: HttpUrl | None = Field(None, description="empty = CoinMarketCap's own root")
    coinmarketcap_calls_per_minute: int | None = Field(
        None, ge=0, le=_MOST_CALLS, description="0 = no limit, empty = the plan's"
    )
    coinmarketcap_credits_per_month: int | None = Field(
        None, ge=0, le=_MOST_CALLS, description="0 = no limit, empty = the plan's"
    )

    stream: str = Field("", description="exchanges that are listened to instead of asked, separated by commas")
    fallback: str = Field("", description="markets that stand in for the default one while it is down, best first")
    composite: Literal["mean", "median"] = Field("mean", description="how @all is made of its markets' prices")
    pace: Literal["sustain", "fast"] = Field("sustain", description="how a month's calls are spent")
    backfill_days: int = Field(30, ge=0, le=3650, description="how far back holes are filled; 0 = not by themselves")

    addresses: dict[str, str] = Field(default_factory=dict, description="<MARKET>_BASE_URL and <MARKET>_WS_URL")

    database_url: SecretStr = Field(SecretStr(""), description="a PostgreSQL URL; empty = embedded, in DATA_DIR")
    database_trusted_hosts: str = Field("", description="hosts of it that need no sslmode=verify-full")
    data_dir: Path = Field(Path("data"), description="where the daemon keeps its own files")
    spool_max_mb: int = Field(1000, ge=1, le=1_000_000, description="MB that may wait there for the database")
    alerts_file: Path = Field(Path("alerts/alerts.txt"), description="where alerts are written")
    rules_file: Path = Field(Path("alerts/rules.toml"), description="where the rules stand")
    notify_urls: SecretStr = Field(SecretStr(""), description="where else alerts go: name=URL, separated by spaces")
    notify_allow: str = Field("", description="hosts and networks of your own that NOTIFY_URLS may lead to")

    api_host: str = Field("127.0.0.1", description="the address the API listens on")
    api_port: int = Field(8000, ge=1, le=65535, description="the port the API listens on")
    api_open_reads: bool = Field(False, description="reads without a token also off loopback")
    api_allowed_hosts: str = Field("", description="names under which others know the API, separated by commas")
    api_cors_origins: str = Field("", description="origins whose pages may read the API, separated by commas")
    api_requests_per_second: int = Field(
        100, ge=0, le=1_000_000, description="requests of one client that are answered; 0 = any number"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much is logged")
    log_format: Literal["console", "json"] = Field("console", description="how a log line looks")

    @field_validator("log_level", "log_format", "coingecko_plan", "source", "composite", "pace", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("source")
    @classmethod
    def _is_market(cls, value: str) -> str:
        if not _MARKET.fullmatch(value) or value == ALL:
            raise ValueError("should be the name of a market, like coingecko")
        return value

    @field_validator("stream", "fallback")
    @classmethod
    def _are_markets(cls, value: str) -> str:
        names = [name.strip().lower() for name in value.split(",") if name.strip()]
        if not all(_MARKET.fullmatch(name) and name != ALL for name in names):
            raise ValueError("should be names of markets, separated by commas, like kraken,coinbase")
        return ",".join(dict.fromkeys(names))

    @field_validator("api_allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: str) -> str:
        names = [name.strip().lower().removesuffix(".") for name in value.split(",") if name.strip()]
        if not all(_HOST.fullmatch(name) for name in names):
            raise ValueError("should be host names without a port, separated by commas, like prices.example.org")
        return ",".join(dict.fromkeys(names))

    @field_validator("api_cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        origins = [origin.strip().lower().rstrip("/") for origin in value.split(",") if origin.strip()]
        if not all(_ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("should be origins, separated by commas, like https://charts.example.org")
        return ",".join(dict.fromkeys(origins))

    @field_validator("quote")
    @classmethod
    def _is_quote(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9]{2,20}", value):
            raise ValueError("should be one currency, like USD")
        return value.upper()

    @field_validator("coingecko_api_key", "coinmarketcap_api_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[!-~]*", value.get_secret_value()):
            raise ValueError("has characters that no key has")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_dsn(cls, value: SecretStr) -> SecretStr:
        try:
            parts = parse_dsn(value.get_secret_value())
            good = "@" not in (parts.get("host") or "") and all(
                0 < int(port) < 65536 for port in parts.get("port", "5432").split(",") if port
            )
        except (psycopg2.ProgrammingError, ValueError):
            good = False
        if not good:
            # No more than that: the parser's own text repeats parts of the value, and the value holds a password.
            raise ValueError("should be postgresql://user:password@host:5432/database, with @ in the password as %40")
        return value

    @field_validator("data_dir", "alerts_file", "rules_file")
    @classmethod
    def _at_home(cls, value: Path) -> Path:
        # A shell does this for the environment, nobody for .env.
        try:
            return value.expanduser()
        except RuntimeError:
            raise ValueError("should be a path; no user of that name has a home here") from None

    @property
    def streams(self) -> tuple[str, ...]:
        """The markets that are listened to."""
        return tuple(filter(None, self.stream.split(",")))

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """The markets that stand in for the default one."""
        return tuple(filter(None, self.fallback.split(",")))

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """The names under which others know the API."""
        return tuple(filter(None, self.api_allowed_hosts.split(",")))

    @property
    def cors_origins(self) -> tuple[str, ...]:
        """The origins whose pages may read the API."""
        return tuple(filter(None, self.api_cors_origins.split(",")))

    def base_url(self, market: str) -> str | None:
        """Where to ask this market instead of its own address, without a slash at the end."""
        return self._address(market, "base")

    def ws_url(self, market: str) -> str | None:
        """Where to listen to this market instead of its own address."""
        return self._address(market, "ws")

    def _address(self, market: str, kind: str) -> str | None:
        own = getattr(self, f"{market}_{kind}_url", None) or self.addresses.get(f"{market}_{kind}_url".upper())
        return own.rstrip("/") if own else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # app.given has read the rest, and can say where a bad value stands.
        return (init_settings,)


KEYS: dict[str, str] = {name.upper(): name for name in Settings.model_fields if name != "addresses"}
"""The key of every setting, as the environment writes it, and its field."""

SECRETS = frozenset(k for k, name in KEYS.items() if Settings.model_fields[name].annotation is SecretStr)


def load(env_file: Path | None = Path(".env"), **override: Any) -> Settings:
    """Read the settings: what is passed, else what the environment says, else ``.env``, else the default.

    An empty value is the default; in the environment it hides what ``.env`` says. A secret may be in a file that
    KEY_FILE names. Raises ConfigurationError, naming every key that is wrong, where it stands, its value (never a
    secret's) and what is allowed.
    """
    given = Given(KEYS, SECRETS, env_file, addresses.KEY)
    try:
        texts: dict[str, Any] = {key: text for key in KEYS if KEYS[key] not in override and (text := given.text(key))}
        told = given.family()
        good, bad = addresses.read(told)
        settings = Settings(**{"addresses": good, **{KEYS[key]: text for key, text in texts.items()}, **override})
        wrong = [(name, getattr(settings, name), reason) for name, reason in _between(settings)]
        wrong = wrong or [(key, told[key], reason) for key, reason in bad.items() if _is_meant(key, settings)]
    except ValidationError as error:
        wrong = [(str(e["loc"][0]), e["input"], _reason(e)) for e in error.errors()]
    if wrong:
        raise ConfigurationError(
            "\n".join(
                f"{name.upper()}={_shown(name, value)}{given.where(name.upper())}: {reason}"
                for name, value, reason in wrong
            )
        )
    return settings


def exposed(env_file: Path | None = Path(".env")) -> list[str]:
    """A sentence for each file that holds a secret of the settings and can be read by every user of this machine."""
    is_file = env_file is not None and env_file.is_file()  # a pipe can be read only once
    files = Given(KEYS, SECRETS, env_file if is_file else None).exposed()
    return [f"{file} holds a secret, and every user of this machine can read it: chmod o-r '{file}'" for file in files]


def describe(settings: Settings) -> list[tuple[str, str, str]]:
    """(key, value, meaning) of every setting in effect, secrets masked."""
    fields = Settings.model_fields
    return [(key, _shown(name, getattr(settings, name)), fields[name].description or "") for key, name in KEYS.items()]


def _between(settings: Settings) -> Iterator[tuple[str, str]]:
    """The rules between settings: the field to change, and why."""
    try:
        parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)
    except ConfigurationError as error:
        yield "watch", str(error).removeprefix("WATCH: ")
    database_url = settings.database_url.get_secret_value()
    if database_url and (reason := weakness(database_url, hosts(settings.database_trusted_hosts))):
        yield "database_url", reason
    yield from _between_channels(settings)
    has_key = bool(settings.coingecko_api_key.get_secret_value())
    if settings.coingecko_plan != "keyless" and not has_key:
        yield "coingecko_plan", "needs COINGECKO_API_KEY, which is empty"
    if settings.coingecko_plan == "keyless" and has_key:
        yield "coingecko_api_key", "is set, so COINGECKO_PLAN should be demo or pro (the key does not say which)"
    if settings.source in settings.fallbacks:
        yield "fallback", f"{settings.source} is the default market itself: it cannot stand in for itself"


def _is_meant(key: str, settings: Settings) -> bool:
    """Whether a key like KRAKEN_BASE_URL is for us: other programs have theirs, such as OPENAI_BASE_URL."""
    entries = parse_watch(settings.watch, default_market=settings.source, default_quote=settings.quote)
    markets = {*(entry.market for entry in entries), *settings.streams, *settings.fallbacks}
    match = addresses.KEY.fullmatch(key)
    return match is not None and match["market"].lower() in markets


def _between_channels(settings: Settings) -> Iterator[tuple[str, str]]:
    try:
        allowed = parse_allowed(settings.notify_allow)
    except ConfigurationError as error:
        yield "notify_allow", str(error).removeprefix("NOTIFY_ALLOW: ")
        return
    try:
        channels = parse_channels(settings.notify_urls.get_secret_value())
    except ConfigurationError as error:
        yield "notify_urls", str(error).removeprefix("NOTIFY_URLS: ")
        return
    for name, webhook in channels.items():
        if refusal := allowed.refusal_unseen(webhook):
            yield "notify_urls", f"{name}: {refusal}"


def _shown(name: str, value: object) -> str:
    """A value as .env writes it; a secret's only as that there is one."""
    if name.upper() in SECRETS:
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        return "********" if text else ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if name.endswith("_url") and value:
        # A password or key in an address is refused; the refusal must not show it.
        return re.sub(
            r"(?<=[?#]).*", "********", re.sub(r"^([a-z]*:?//)?.*(?=@)", r"\1********", str(value)), flags=re.DOTALL
        )
    return "" if value is None else str(value)


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    field = Settings.model_fields[str(error["loc"][0])]
    if get_origin(field.annotation) is Literal:
        *others, last = get_args(field.annotation)
        return f"should be {', '.join(others)} or {last}"
    if field.annotation is bool:
        return "should be true or false"
    bounds = [bound for rule in field.metadata for bound in (getattr(rule, "ge", None), getattr(rule, "le", None))]
    match [bound for bound in bounds if bound is not None]:
        case [low, high]:
            return f"should be a {'number' if field.annotation is float else 'whole number'} from {low} to {high}"
    return error["msg"].removeprefix("Input ")
