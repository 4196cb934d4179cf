"""Parts that all families share; private to skdyn."""
