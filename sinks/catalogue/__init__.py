"""The catalogue: what ICAT is told of every run, once, whatever becomes of the network in between."""
