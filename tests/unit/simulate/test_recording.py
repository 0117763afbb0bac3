from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.simulate.digits import Digits
from app.simulate.recording import Recording, Row, read

HEADER = "ts,symbol,price,volume_24h_usd\n"
START = 1_795_230_900

ROWS = (
    "2021-04-17T21:01:00Z,BTC,60781.970,3692454343\n"
    "2021-04-17T21:01:00Z,ETH,2388.18,1522591290.5\n"
    "2021-04-17T21:02:00Z,BTC,60784.39,3691913403\n"
    "2021-04-17T21:03:30Z,ETH,2387,\n"
)


def recording(tmp_path: Path, text: str) -> Recording:
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8")
    return read(path, START)


def served(market: Recording, coin: str, time: int) -> tuple[int, str, str | None] | None:
    each = market.at(coin, "usd", START + time)
    return None if each is None else (each.timestamp - START, each.price, each.volume_24h)


def test_each_coin_shows_its_row_at_or_before_market_time_digit_for_digit(tmp_path: Path) -> None:
    market = recording(tmp_path, HEADER + ROWS)
    assert served(market, "bitcoin", 0) == (0, "60781.970", "3692454343")
    assert served(market, "bitcoin", 59) == (0, "60781.970", "3692454343")
    assert served(market, "bitcoin", 60) == (60, "60784.39", "3691913403")
    assert served(market, "ethereum", 149) == (0, "2388.18", "1522591290.5")
    assert served(market, "ethereum", 150) == (150, "2387", None)


def test_after_the_last_row_it_stands_and_before_the_first_there_is_none(tmp_path: Path) -> None:
    market = recording(tmp_path, HEADER + ROWS + "2021-04-17T21:05:00Z,ZEC,294.55,1\n")
    assert market.end == START + 240
    assert served(market, "bitcoin", 10**6) == (60, "60784.39", "3691913403")
    assert served(market, "zcash", 239) is None
    assert served(market, "bitcoin", -1) is None


def test_the_order_of_rows_and_columns_and_further_columns_change_nothing(tmp_path: Path) -> None:
    plain = recording(tmp_path, HEADER + ROWS)
    lines = ROWS.splitlines()
    shuffled = "\ufeffvolume_24h_usd , price,note,symbol,ts\r\n" + "".join(
        f"{volume},{price},,{symbol.lower()},{ts}\r\n"
        for ts, symbol, price, volume in (line.split(",") for line in lines[::-1])
    )
    other = recording(tmp_path, shuffled + "\r\n")
    times = range(-10, 400, 5)
    for coin in ("bitcoin", "ethereum"):
        assert [served(other, coin, time) for time in times] == [served(plain, coin, time) for time in times]


def test_a_gzip_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(gzip.compress((HEADER + ROWS).encode()))
    assert served(read(path, START), "bitcoin", 60) == (60, "60784.39", "3691913403")


def test_of_the_rows_within_a_second_the_last_counts_and_none_is_shown_before_its_time(tmp_path: Path) -> None:
    rows = "".join(
        f"2021-04-17T21:01:{second}Z,BTC,{price},1\n"
        for second, price in [("00", 1), ("02.300", 2), ("02.900", 3), ("03", 4), ("03.001", 5)]
    )
    market = recording(tmp_path, HEADER + rows)
    assert [served(market, "bitcoin", time) for time in range(5)] == [
        (0, "1", "1"),
        (0, "1", "1"),
        (0, "1", "1"),
        (3, "4", "1"),
        (4, "5", "1"),
    ]


def test_unknown_symbols_are_coins_by_their_own_name_and_never_take_anothers_id(tmp_path: Path) -> None:
    rows = "".join(f"2021-04-17T21:01:00Z,{symbol},1,1\n" for symbol in ("WIF", "BITCOIN", "BTC", "DOT"))
    market = recording(tmp_path, HEADER + rows)
    assert [(coin.id, coin.symbol) for coin in market.coins.values()] == [
        ("bitcoin", "BTC"),
        ("bitcoin-2", "BITCOIN"),
        ("polkadot", "DOT"),
        ("wif", "WIF"),
    ]
    assert served(market, "bitcoin-2", 0) == (0, "1", "1")


def test_extremes_are_those_of_the_rows_in_the_stretch(tmp_path: Path) -> None:
    rows = "".join(f"2021-04-17T21:0{minute}:00Z,BTC,{price},1\n" for minute, price in enumerate([9, 10, 100, 2]))
    market = recording(tmp_path, HEADER + rows)
    assert market.extremes("bitcoin", "usd", START, START + 120) == ("9", "100")
    assert market.extremes("bitcoin", "usd", START + 60, START + 180) == ("2", "100")
    assert market.extremes("bitcoin", "usd", START + 181, START + 500) is None


def test_it_says_what_it_is(tmp_path: Path) -> None:
    market = recording(tmp_path, HEADER + ROWS)
    assert market.label == "recording rows.csv"
    assert market.title == "recording rows.csv (BTC ETH, 0:02:30)"


def test_its_name_fits_into_a_header_whatever_the_file_is_called() -> None:
    row = Row(datetime(2021, 4, 17, tzinfo=UTC), "BTC", Digits("1"), None)
    assert Recording("prix é\r\n.csv", [row], START).label == "recording prix %C3%A9%0D%0A.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: should name the columns ts,symbol,price,volume_24h_usd; ts, symbol, price, volume_24h_usd not"),
        ("ts,symbol,close,volume_24h_usd\n", "line 1: .* price not found"),
        (HEADER, "no rows"),
        (HEADER + ROWS + "2021-04-17T21:04:00Z,BTC,1\n", "line 6: has 3 cells, the first line has 4"),
        (HEADER + "2021-04-17T21:04:00Z,BTC,abc,1\n", "line 2: price 'abc' should be a number like"),
        (HEADER + "2021-04-17T21:04:00Z,BTC,NaN,1\n", "line 2: price 'NaN'"),
        (HEADER + "2021-04-17T21:04:00Z,BTC,-1,1\n", "line 2: price '-1'"),
        (HEADER + "2021-04-17T21:04:00Z,BTC,.5,1\n", "line 2: price '.5'"),
        (HEADER + "2021-04-17T21:04:00Z,BTC,0.00,1\n", "line 2: price '0.00' should be above 0"),
        (HEADER + "2021-04-17T21:04:00Z,BTC,,1\n", "line 2: price ''"),
        (HEADER + "2021-04-17T21:04:00Z,BTC,1,1e999\n", "line 2: volume_24h_usd '1e999'"),
        (HEADER + "1618693440,BTC,1,1\n", "line 2: ts '1618693440' should be a time like 2021-04-17T21:01:00Z"),
        (HEADER + "\n2021-04-17T21:04:00Z,,1,1\n", "line 3: symbol ''"),
        (HEADER + "2021-04-17T21:04:00Z,A/B,1,1\n", "line 2: symbol 'A/B'"),
    ],
)
def test_an_error_names_the_file_the_line_and_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"rows.csv: .*{message}|rows.csv: {message}"):
        recording(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing.csv: cannot be read \(No such file"):
        read(tmp_path / "nothing.csv", START)
    with pytest.raises(ConfigurationError, match=r"cannot be read \(Is a directory"):
        read(tmp_path, START)
    packed = gzip.compress((HEADER + ROWS * 50).encode())
    for name, data in {
        "short": packed[:-20],
        "broken": packed[:20] + b"\xff" * 20 + packed[40:],
        "crc": packed[:-8] + bytes(8),
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigurationError, match=f"{name}: cannot be read"):
            read(tmp_path / name, START)
    (tmp_path / "latin").write_bytes(HEADER.encode() + b"\xe9")
    with pytest.raises(ConfigurationError, match="latin: is not a text in UTF-8"):
        read(tmp_path / "latin", START)
