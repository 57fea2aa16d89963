"""The network: recurrence, encoder, posterior, decoder, losses and KL schedules.

Axes, everywhere in this room: `batch` sentences, `time` token positions, `tokens` the real tokens
of a batch in one row, `embed`, `hidden`, `latent` and `vocab` widths; batch first. Ids 0 to 3 are
padding, begin, end and unknown, as the tokenizer has them.
"""
