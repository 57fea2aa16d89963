"""What people read for the names of figures."""

FIGURES = {
    "elbo_nats": "ELBO, nats",
    "iw_nll_nats": "IW-NLL, nats",
    "reconstruction_nats": "reconstruction, nats",
    "kl_nats": "KL, nats",
    "informed_share": "share of the KL that the decoder uses",
    "shuffle_nats": "shuffling latents costs, nats",
    "active_units": "active units",
    "reconstruction_bleu": "reconstruction BLEU",
    "reconstruction_exact": "reconstruction exact",
    "distinct_share_fitted": "distinct draws, fitted prior",
    "language_model_nats": "language model, nats",
    "siblings": "sentences with a sibling that it learned from",
    "variation_adequacy": "adequacy of variations, nats a token",
    "variation_ibleu": "iBLEU of variations",
    "variation_retrieval_at_1": "retrieval@1 of variations",
    "vector_sentences": "labelled sentences that vectors are judged by",
    "vector_neighbour_accuracy": "label of the nearest vector, accuracy",
    "vector_probe_accuracy": "label by a linear classifier of vectors, accuracy",
    "vector_words_accuracy": "label by a linear classifier of words, accuracy",
    "vector_majority_accuracy": "the commonest label, accuracy",
    "vector_chance_accuracy": "a label by chance, accuracy",
}
"""The figures of an evaluation that a page shows, and their titles there."""
