"""deploy/: what others' checkers say of its files, what they mean, and that their commands run."""
