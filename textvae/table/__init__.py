"""The quality tables: rows as data, tasks on the disk, workers, and the pages made of them."""
