"""`python -m tests.drills.newcomer`: from the wheels to paraphrases, in an empty folder.

Both wheels are built. Under the oldest and the newest supported Python that this machine has, a
client is installed from them; an installation with the engine learns a CSV by a nightly run and
serves it. Then many lines go through each command of the terminal, and in the middle of each the
server is stopped and started again: the answers must be those of a run that nothing disturbed.

Quick, no package index is asked: a client has the packages of this process's own Python linked into
its environment, so that clients of other Pythons are installed but call nothing. The engine's
packages are always those of this process.
"""

import csv
import logging
import shutil
import tempfile
from pathlib import Path

from tests.drills import environments
from tests.drills.environments import HERE, Environment
from tests.drills.line import Found, run_drill
from tests.drills.terminal_walk import Server, Walk
from tests.wheels import built, pure
from textvae import files
from textvae.corpus.toy_grammar import sample

log = logging.getLogger(__name__)

CONFIG = """
[store]
model = "support"
[data]
inputs = ["utterances.csv"]
text_column = "utterance"
label_column = "intent"
valid_share = 0.1
test_share = 0.1
[tokenizer]
vocab = 600
kind = "bpe"
[model]
embed = 16
hidden = 24
latent = 4
[training]
steps = {steps}
language_model_steps = 20
batch = 32
learning_rate = 1.5e-2
warmup_steps = 5
word_dropout = 1.0
word_noise = 0.0
kl_steps = 100000
target_kl_nats = 0.0
validation_steps = 0
collapse_stops = false
[evaluation]
sentences = 100
importance_samples = 2
prior_draws = 20
prior_sentences = 300
prior_components = 1
# A run of seconds learns little; what is proved here is the walk and not the model.
[gate]
kl_nats_min = -1e9
informed_share_min = -1e9
shuffle_nats_min = -1e9
distinct_min = -1e9
"""


def write_csv(path: Path, rows: int) -> None:
    """Utterances with an intent, under names of columns that are not the defaults."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("intent", "utterance"))
        writer.writerows((row.label, row.text) for row in sample(rows, seed=0))


def build(folder: Path) -> Path:
    """A folder with both wheels."""
    wheels = folder / "wheels"
    wheels.mkdir()
    for wheel in (built(folder / "compiled"), pure(folder / "pure")):
        shutil.copy(wheel, wheels)
    return wheels


def install_clients(
    folder: Path, wheels: Path, quick: bool
) -> tuple[list[Environment], list[Environment]]:
    """Clients by the oldest and the newest Python here, and those that have what they need."""
    found = environments.pythons()
    log.info("Pythons: %s", ", ".join(found.values()))
    chosen = {version: found[version] for version in (min(found), max(found))}
    made = [
        environments.install(folder / f"client-{version[1]}", version, python, wheels)
        for version, python in chosen.items()
    ]
    calling = [one for one in made if one.version == HERE or not quick]
    for one in calling:
        if quick:
            environments.link_what_a_client_needs(one)
        else:
            environments.install_what_a_client_needs(one)
    return made, calling


def names_the_extra(made: Environment, folder: Path) -> bool:
    """Whether a job of a client's installation says what to install."""
    done = made.run(folder, "job", "nightly", "--config", "nightly.toml")
    return done.returncode == 66 and "pip install 'textvae[engine]'" in done.stderr


def asks(made: Environment, folder: Path, address: str) -> bool:
    """Whether the client gets variations."""
    words = ("paraphrase", sample(1, seed=1)[0].text, "--count", "3", "--json")
    done = made.run(folder, *words, "--address", address)
    log.info("client of Python %d.%d: %s", *made.version, done.stdout or done.stderr)
    return done.returncode == 0 and done.stdout.count("\n") == 3


def drill(quick: bool) -> Found:
    """The wheels, the installations, the night, the calls, and the lines past restarts."""
    lines = [row.text for row in sample(200 if quick else 5000, seed=2)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = folder / "work"
        work.mkdir()
        wheels = build(folder)
        clients, calling = install_clients(folder, wheels, quick)
        engine = environments.install(folder / "engine", HERE, environments.pythons()[HERE], wheels)
        environments.add_engine(engine)
        write_csv(work / "utterances.csv", 1500 if quick else 5000)
        files.write_text(work / "nightly.toml", CONFIG.format(steps=100 if quick else 600))
        night = engine.run(work, "job", "nightly", "--config", "nightly.toml")
        assert night.returncode == 0, night.stderr[-3000:]
        server = Server(engine, work)
        server.start()
        walk = Walk(calling[-1], server, work, lines)
        try:
            asked = sum(asks(one, work, server.address) for one in calling)
            walk.all_verbs()
        finally:
            server.stop(at_once=True)
        told = sum(names_the_extra(one, work) for one in clients)
    return judged(clients, calling, walk, (asked, told), '"outcome": "promoted"' in night.stdout)


def judged(
    clients: list[Environment],
    calling: list[Environment],
    walk: Walk,
    counts: tuple[int, int],
    promoted: bool,
) -> Found:
    """What was found, and whether it is what had to be."""
    figures = {
        "oldest_python": float(".".join(map(str, clients[0].version))),
        "newest_python": float(".".join(map(str, clients[-1].version))),
        "installed": len(clients),
        "asked": counts[0],
        "extra_named": counts[1],
        "promoted": float(promoted),
        "verbs_past_a_restart": sum(walk.waited.values()),
        "verbs_as_undisturbed": sum(walk.same.values()),
    }
    targets = {
        "asked": len(calling),
        "extra_named": len(clients),
        "promoted": 1,
        "verbs_past_a_restart": 5,
        "verbs_as_undisturbed": 5,
    }
    held = all(figures[name] == target for name, target in targets.items())
    return Found(figures, targets, held)


if __name__ == "__main__":
    run_drill("newcomer", drill)
