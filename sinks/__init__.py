"""Where products land: stores, ledger on disk, run registry."""
