"""The rules of the contract, a file for each chapter."""
