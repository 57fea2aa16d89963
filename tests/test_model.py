"""The network and its losses, each against what can be worked out by hand."""

import dataclasses

import pytest
import torch

from textvae.config.training import ModelConfig
from textvae.model.exact import ExactDecoder, ExactEncoder
from textvae.model.losses import vae_loss
from textvae.model.network import (
    UNKNOWN,
    DropoutSpec,
    LanguageModel,
    SentenceVae,
    drop_words,
    fold_batchnorm,
    initialize_from_language_model,
    reset_decoder,
    reverse,
)
from textvae.text.batches import batch_of

VOCAB = 40
CONFIG = ModelConfig(embed=12, hidden=16, latent=5, dropout=0.0)
SENTENCES = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14], [15, 16]]


def tensors(sentences: list[list[int]] = SENTENCES) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (batch, time) and lengths (batch,)."""
    batch = batch_of(sentences)
    return torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)


@pytest.fixture
def vae() -> SentenceVae:
    """A small network with its first weights."""
    torch.manual_seed(0)
    return SentenceVae(CONFIG, VOCAB).eval()


def no_dropout() -> DropoutSpec:
    """Training without noise on tokens and units."""
    return DropoutSpec(0.0, 0.0, 0.0, torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_sentence_has_the_same_posterior_in_every_batch(vae: SentenceVae) -> None:
    together = vae.encode(*tensors())
    for row, sentence in enumerate(SENTENCES):
        alone = vae.encode(*tensors([sentence]))
        torch.testing.assert_close(alone.mean[0], together.mean[row])
        torch.testing.assert_close(alone.logvar[0], together.logvar[row])


@torch.no_grad()
def test_the_posterior_reads_every_token(vae: SentenceVae) -> None:
    mean = vae.encode(*tensors([SENTENCES[2]])).mean
    for position in range(len(SENTENCES[2])):
        changed = list(SENTENCES[2])
        changed[position] = 30
        assert not torch.allclose(vae.encode(*tensors([changed])).mean, mean)


@torch.no_grad()
def test_nats_are_the_sum_over_real_tokens_and_the_end(vae: SentenceVae) -> None:
    """The chain rule by hand, a token at a time, as the decoder is served."""
    tokens, lengths = tensors()
    latents = torch.randn(len(SENTENCES), CONFIG.latent, generator=torch.Generator().manual_seed(1))
    found = vae.nats(tokens, lengths, latents)
    decoder = ExactDecoder(vae)
    for row, sentence in enumerate(SENTENCES):
        carried = decoder.start(latents[row : row + 1])
        nats = 0.0
        for read, target in zip([1, *sentence], [*sentence, 2], strict=True):
            logits, carried = decoder.step(torch.tensor([read]), carried)
            nats -= float(torch.log_softmax(logits[0], 0)[target])
        assert float(found[row]) == pytest.approx(nats, rel=1e-5)


@torch.no_grad()
def test_more_padding_changes_no_loss(vae: SentenceVae) -> None:
    tokens, lengths = tensors()
    longer = torch.cat([tokens, torch.zeros(len(tokens), 7, dtype=tokens.dtype)], 1)
    latents = vae.encode(tokens, lengths).mean
    torch.testing.assert_close(vae.encode(longer, lengths).mean, latents)
    torch.testing.assert_close(
        vae.nats(longer, lengths, latents), vae.nats(tokens, lengths, latents)
    )


@torch.no_grad()
def test_the_decoder_never_sees_the_future(vae: SentenceVae) -> None:
    """Another last word leaves the probabilities of the words before it as they were."""
    latents = torch.zeros(1, CONFIG.latent)
    one, other = ([5, 6, last] for last in (7, 30))
    hidden = [
        vae.decoder.states(vae.embedding(tensors([ids])[0][:, :-1]), latents)
        for ids in (one, other)
    ]
    torch.testing.assert_close(hidden[0][:, :3], hidden[1][:, :3])


@torch.no_grad()
def test_the_latent_enters_the_first_state_and_every_step(vae: SentenceVae) -> None:
    tokens, _ = tensors()
    embedded = vae.embedding(tokens[:, :-1])
    still = vae.decoder.states(embedded, torch.zeros(4, CONFIG.latent))
    moved = vae.decoder.states(embedded, torch.ones(4, CONFIG.latent))
    assert bool((still != moved).any(-1).all())


def test_reversing_leaves_padding_in_place() -> None:
    tokens, lengths = tensors()
    assert reverse(tokens, lengths).tolist()[0] == [2, 7, 6, 5, 1, 0, 0, 0]
    assert torch.equal(reverse(reverse(tokens, lengths), lengths), tokens)


@torch.no_grad()
def test_a_decoder_that_is_reset_is_new_and_its_encoder_the_same(vae: SentenceVae) -> None:
    """Also the embedding, which both share; the same seed gives the same decoder."""
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    reset_decoder(vae, CONFIG, seed=1)
    once = {name: value.clone() for name, value in vae.state_dict().items()}
    same = {name for name in before if torch.equal(before[name], once[name])}
    assert all(name in same for name in before if not name.startswith("decoder."))
    assert not same & {"decoder.gru.weight_hh_l0", "decoder.start.weight", "decoder.output.weight"}
    torch.manual_seed(5)
    reset_decoder(vae, CONFIG, seed=1)
    assert all(torch.equal(once[name], value) for name, value in vae.state_dict().items())


@torch.no_grad()
def test_the_exact_encoder_gives_the_posterior_of_training(vae: SentenceVae) -> None:
    tokens, lengths = tensors()
    exact = ExactEncoder(vae).encode(tokens, reverse(tokens, lengths), lengths)
    trained = vae.encode(tokens, lengths)
    torch.testing.assert_close(exact.mean, trained.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(exact.logvar, trained.logvar, rtol=1e-5, atol=1e-6)


def test_the_loss_is_reconstruction_and_weighted_kl(vae: SentenceVae) -> None:
    tokens, lengths = tensors()
    settings = {"free_bits": 0.0, "objective": "vae"}
    parts = [
        vae_loss(vae, tokens, lengths, kl_weight=weight, dropout=no_dropout(), **settings)  # type: ignore[arg-type]
        for weight in (0.0, 1.0)
    ]
    assert parts[0].total.item() == pytest.approx(parts[0].reconstruction.item())
    added = parts[1].total - parts[0].total
    assert added.item() == pytest.approx(parts[1].kl.sum().item(), rel=1e-4)


def test_an_autoencoder_has_no_noise_and_kl_only_no_reconstruction(vae: SentenceVae) -> None:
    tokens, lengths = tensors()
    copier = vae_loss(
        vae,
        tokens,
        lengths,
        objective="autoencoder",
        kl_weight=1,
        free_bits=0,
        dropout=no_dropout(),
    )
    by_hand = vae.nats(tokens, lengths, vae.encode(tokens, lengths).mean).mean()
    assert copier.total.item() == pytest.approx(by_hand.item())
    ball = vae_loss(
        vae,
        tokens,
        lengths,
        objective="kl-only",
        kl_weight=0,
        free_bits=9,
        dropout=no_dropout(),
    )
    assert ball.total.item() == pytest.approx(ball.kl.sum().item())
    ball.total.backward()  # type: ignore[no-untyped-call]
    assert vae.decoder.bias.grad is None


def test_free_bits_leave_a_dimension_alone_below_their_level(vae: SentenceVae) -> None:
    tokens, lengths = tensors()
    loss = vae_loss(
        vae, tokens, lengths, objective="vae", kl_weight=1, free_bits=1e3, dropout=no_dropout()
    )
    expected = loss.reconstruction + 1e3 * CONFIG.latent
    assert loss.total.item() == pytest.approx(expected.item())


def test_word_dropout_hides_words_and_nothing_else() -> None:
    tokens, _ = tensors()
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(drop_words(tokens, 0.0, generator), tokens)
    hidden = drop_words(tokens, 1.0, generator)
    assert torch.equal(hidden, tokens.masked_fill(tokens > UNKNOWN, UNKNOWN))


@torch.no_grad()
def test_nothing_is_dropped_without_a_dropout_spec(vae: SentenceVae) -> None:
    """Dropout is an argument of training; a model that is used has none, in whatever mode it is."""
    tokens, lengths = tensors()
    vae.train()
    assert torch.equal(vae.encode(tokens, lengths).mean, vae.encode(tokens, lengths).mean)


@torch.no_grad()
def test_a_vae_that_begins_as_a_language_model_writes_as_it_does_whatever_the_latent(
    vae: SentenceVae,
) -> None:
    """And its decoder would change with the latent at the first step of learning."""
    language_model = LanguageModel(CONFIG, VOCAB).eval()
    torch.nn.init.normal_(language_model.decoder.bias)
    tokens, lengths = tensors()
    latents = torch.randn(len(SENTENCES), CONFIG.latent)
    posterior = vae.encode(tokens, lengths)
    initialize_from_language_model(vae, language_model)
    torch.testing.assert_close(
        vae.nats(tokens, lengths, latents), language_model.nats(tokens, lengths, None)
    )
    assert not torch.equal(posterior.mean, vae.encode(tokens, lengths).mean), "one embedding"
    with torch.enable_grad():
        vae.mean_nats(tokens, lengths, latents, no_dropout()).backward()  # type: ignore[no-untyped-call]
    for name in ("start.weight", "output.weight", "gru.weight_ih_l0"):
        columns = vae.decoder.get_parameter(name).grad
        assert columns is not None
        assert bool((columns[:, -CONFIG.latent :] != 0).any()), name


def test_batchnorm_holds_the_kl_up_and_folds_away() -> None:
    torch.manual_seed(0)
    model = SentenceVae(dataclasses.replace(CONFIG, batchnorm_scale=0.6), VOCAB)
    tokens, lengths = tensors()
    with torch.no_grad():
        model.encoder.mean.weight.mul_(
            100
        )  # first weights vary too little against BatchNorm's epsilon
    means = model.train().encode(tokens, lengths).mean
    torch.testing.assert_close(
        means.detach().std(0, correction=0), torch.full((5,), 0.6), rtol=0.05, atol=0
    )
    assert not model.encoder.batchnorm.weight.requires_grad  # type: ignore[union-attr]
    torch.nn.init.normal_(model.encoder.batchnorm.bias)  # type: ignore[union-attr]
    before = model.eval().encode(tokens, lengths).mean
    fold_batchnorm(model)
    assert model.encoder.batchnorm is None
    torch.testing.assert_close(model.encode(tokens, lengths).mean, before, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_language_model_is_the_decoder_without_a_latent() -> None:
    torch.manual_seed(0)
    model = LanguageModel(CONFIG, VOCAB)
    assert model.decoder.start is None
    nats = model.nats(*tensors(), None)
    assert nats.shape == (4,)
    assert (nats > 0).all()


def test_the_latents_gradient_is_the_same_every_time_with_two_threads() -> None:
    """It was once added up in whatever order the threads came to a sentence's tokens, so that two
    runs of one seed ended with other weights."""
    torch.manual_seed(0)
    model = SentenceVae(CONFIG, VOCAB)
    rows = 40_000
    states, latents, owner = torch.randn(rows, 16), torch.randn(4, 5), torch.arange(rows) % 4
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    found = set()
    try:
        for _ in range(10):
            asked = latents.clone().requires_grad_()
            model.decoder.outputs(states, asked, owner).square().sum().backward()
            assert asked.grad is not None
            found.add(asked.grad.numpy().tobytes())
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1
