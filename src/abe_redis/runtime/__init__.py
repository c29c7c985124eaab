"""The process itself: the only place that ends tasks, listens to signals and serves HTTP."""
