"""The mistudio command."""
