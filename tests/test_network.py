"""Parts of the network and its loss, each against what can be worked out by hand."""

import dataclasses

import pytest
import torch

from tests.test_model import CONFIG, SENTENCES, VOCAB, no_dropout, tensors
from textvae.model.exact import bucket_of, pad_rows
from textvae.model.losses import vae_loss
from textvae.model.network import (
    UNKNOWN,
    DropoutSpec,
    LanguageModel,
    SentenceVae,
    drop_units,
    drop_words,
    initialize_from_language_model,
    pool,
    reverse,
    targets_of,
)


@pytest.fixture
def vae() -> SentenceVae:
    """A small network with its first weights."""
    torch.manual_seed(0)
    return SentenceVae(CONFIG, VOCAB).eval()


def test_targets_are_the_tokens_after_begin_with_their_steps_and_sentences() -> None:
    tokens, lengths = tensors([[5, 6, 7], [8]])
    found = targets_of(tokens, lengths)
    assert found.ids.tolist() == [5, 6, 7, 2, 8, 2]
    assert found.steps.tolist() == [0, 1, 2, 3, 0, 1]
    assert found.owner.tolist() == [0, 0, 0, 0, 1, 1]


def test_reversed_tokens_run_backwards_and_padding_stays() -> None:
    tokens, lengths = tensors([[5, 6, 7], [8]])
    assert reverse(tokens, lengths).tolist() == [[2, 7, 6, 5, 1], [2, 8, 1, 0, 0]]


def test_pooled_states_are_the_last_the_mean_and_the_largest_of_the_real_ones() -> None:
    states = torch.tensor([[[1.0, -4.0], [3.0, -2.0], [99.0, 99.0]], [[1.0, 5.0]] * 3])
    found = pool(states, torch.tensor([2, 3]))
    assert found.tolist() == [[3.0, -2.0, 2.0, -3.0, 3.0, -2.0], [1.0, 5.0] * 3]


@torch.no_grad()
def test_the_log_variance_of_a_posterior_stays_from_minus_12_to_4(vae: SentenceVae) -> None:
    vae.encoder.logvar.weight.zero_()
    vae.encoder.logvar.bias.copy_(torch.tensor([-50.0, -11.9, 0.0, 3.9, 50.0]))
    logvar = vae.encode(*tensors()).logvar
    torch.testing.assert_close(logvar, torch.tensor([-12.0, -11.9, 0.0, 3.9, 4.0]).expand(4, -1))


def test_the_embedding_starts_with_a_variance_of_one_over_its_width() -> None:
    torch.manual_seed(0)
    weight = SentenceVae(dataclasses.replace(CONFIG, embed=64), 2000).embedding.weight
    assert float(weight.detach().std()) == pytest.approx(0.125, rel=0.02)


def test_a_share_of_the_words_is_dropped_and_the_rest_stays() -> None:
    """Ids below 4 are never dropped, id 4 is a word."""
    tokens = torch.arange(10_000).view(100, 100) % 10
    found = drop_words(tokens, 0.3, torch.Generator().manual_seed(0))
    changed = found != tokens
    assert bool((found[changed] == UNKNOWN).all())
    assert set(tokens[changed].tolist()) == {4, 5, 6, 7, 8, 9}
    assert float(changed[tokens > 3].float().mean()) == pytest.approx(0.3, abs=0.02)


def test_units_are_dropped_for_all_tokens_of_a_sentence_and_the_rest_makes_up_for_them() -> None:
    values = torch.ones(50, 3, 200)
    found = drop_units(values, 0.2, torch.Generator().manual_seed(0))
    assert sorted(set(found.flatten().tolist())) == [0.0, 1.25]
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 2])
    assert not torch.equal(found[0], found[1])
    assert float((found == 0).float().mean()) == pytest.approx(0.2, abs=0.02)
    assert drop_units(values, 0.0, torch.Generator()) is values


def test_each_share_of_dropout_reaches_the_part_that_it_is_named_for(vae: SentenceVae) -> None:
    """Units in encoder and decoder, words of each alone."""
    tokens, lengths = tensors()
    latents = torch.zeros(4, CONFIG.latent)

    def changes(units: float, encoder_words: float, decoder_words: float) -> tuple[bool, bool]:
        spec = DropoutSpec(units, encoder_words, decoder_words, torch.Generator().manual_seed(0))
        with torch.no_grad():
            mean = vae.encode(tokens, lengths, spec).mean
            nats = vae.mean_nats(tokens, lengths, latents, spec)
            clean = vae.encode(tokens, lengths).mean, vae.nats(tokens, lengths, latents).mean()
        return not torch.allclose(mean, clean[0]), not torch.allclose(nats, clean[1])

    assert changes(0.0, 0.0, 0.0) == (False, False)
    assert changes(0.5, 0.0, 0.0) == (True, True)
    assert changes(0.0, 1.0, 0.0) == (True, False)
    assert changes(0.0, 0.0, 1.0) == (False, True)


def test_a_language_models_weights_go_to_the_columns_that_both_have(vae: SentenceVae) -> None:
    language_model = LanguageModel(CONFIG, VOCAB)
    initialize_from_language_model(vae, language_model)
    for name, value in language_model.state_dict().items():
        copied = vae.state_dict()[name]
        width = value.shape[-1]
        assert torch.equal(copied[..., :width], value), name
        assert not copied[..., width:].any(), name
    assert vae.decoder.start is not None
    assert not vae.decoder.start.weight.any()


def test_the_loss_floors_each_dimensions_mean_kl_at_the_free_bits(vae: SentenceVae) -> None:
    """reconstruction + weight * sum over dimensions of max(free bits, mean KL)."""
    tokens, lengths = tensors()
    kl = vae.encode(tokens, lengths).kl().mean(0).detach()
    free_bits = float(kl.sort().values[2])
    found = vae_loss(
        vae,
        tokens,
        lengths,
        objective="vae",
        kl_weight=0.25,
        free_bits=free_bits,
        dropout=no_dropout(),
    )
    torch.testing.assert_close(found.kl.detach(), kl)
    wanted = found.reconstruction.detach() + 0.25 * sum(max(free_bits, float(each)) for each in kl)
    assert float(found.total.detach()) == pytest.approx(float(wanted), rel=1e-6)
    latents = vae.encode(tokens, lengths).sample(torch.Generator().manual_seed(0))
    nats = vae.nats(tokens, lengths, latents).mean().detach()
    assert float(found.reconstruction.detach()) == pytest.approx(float(nats), rel=1e-5)


@pytest.mark.parametrize(("objective", "reconstructs"), [("kl-only", False), ("autoencoder", True)])
def test_an_objective_of_one_part_reports_both_and_minimizes_its_own(
    vae: SentenceVae, objective: str, reconstructs: bool
) -> None:
    tokens, lengths = tensors()
    found = vae_loss(
        vae,
        tokens,
        lengths,
        objective=objective,  # type: ignore[arg-type]
        kl_weight=0.5,
        free_bits=0.0,
        dropout=no_dropout(),
    )
    torch.testing.assert_close(found.kl, vae.encode(tokens, lengths).kl().mean(0))
    if reconstructs:
        assert torch.equal(found.total, found.reconstruction)
        assert float(found.reconstruction.detach()) > 1.0
    else:
        assert float(found.reconstruction) == 0.0
        torch.testing.assert_close(found.total, found.kl.sum())


def test_a_bucket_is_the_smallest_that_holds_the_rows() -> None:
    assert [bucket_of(rows) for rows in (1, 7, 8, 9, 16, 17, 32, 33, 64)] == [
        *(8, 8, 8, 16, 16, 32, 32, 64, 64)
    ]
    assert bucket_of(3, (1, 2, 3, 4)) == 3
    rows = torch.ones(2, 3)
    assert pad_rows(rows, 2) is rows
    assert pad_rows(rows, 4).tolist() == [[1.0] * 3] * 2 + [[0.0] * 3] * 2


@torch.no_grad()
def test_a_batch_of_sentences_of_all_lengths_has_the_nats_of_each_alone(vae: SentenceVae) -> None:
    latents = torch.randn(4, CONFIG.latent, generator=torch.Generator().manual_seed(0))
    together = vae.nats(*tensors(), latents)
    for row, sentence in enumerate(SENTENCES):
        alone = vae.nats(*tensors([sentence]), latents[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])


@torch.no_grad()
def test_posteriors_and_nats_are_the_same_by_torch_as_in_c(
    vae: SentenceVae, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, lengths = tensors()
    latents = torch.randn(4, CONFIG.latent, generator=torch.Generator().manual_seed(0))

    def results() -> list[torch.Tensor]:
        mean_nats = vae.mean_nats(tokens, lengths, latents, no_dropout())
        return [*vae.encode(tokens, lengths), vae.nats(tokens, lengths, latents), mean_nats]

    by_default = results()
    monkeypatch.setattr("textvae.model.network.native_to_learn", lambda: None)
    for one, other in zip(by_default, results(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_units_before_the_softmax_are_dropped_for_all_tokens_of_a_sentence(
    vae: SentenceVae,
) -> None:
    tokens, lengths = tensors()
    targets = targets_of(tokens, lengths)
    latents = torch.zeros(len(tokens), CONFIG.latent)
    dropout = no_dropout()._replace(units=0.5)
    dropped = vae._outputs(tokens, targets, latents, dropout) == 0
    for sentence in range(len(tokens)):
        rows = dropped[targets.owner == sentence]
        assert (rows == rows[0]).all()
    assert 0.2 < dropped.double().mean() < 0.8
