"""skdyn: learn the rule behind a time series, the scikit-learn way."""
__version__ = "0.1.0.dev0"
