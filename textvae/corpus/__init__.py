"""The versioned data set: files to sentences, filters, split, spans, forgetting, replay."""
