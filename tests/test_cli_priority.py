"""What a command says of its caller."""

import pytest

from tests.serving import Server
from textvae.cli.commands import main


def test_a_command_names_itself_and_gives_way_where_it_is_told_to(
    toy_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--address", toy_server.address, "--json", "--seed", "3", "--count", "2"]
    assert main(["sample", *flags]) == 0
    plain = capsys.readouterr().out
    assert main(["sample", *flags, "--priority", "bulk", "--caller", "report-1"]) == 0
    assert capsys.readouterr().out == plain
    assert main(["sample", *flags, "--caller", "no name"]) == 2
    assert "caller: must be 1 to 64 Latin letters" in capsys.readouterr().err
