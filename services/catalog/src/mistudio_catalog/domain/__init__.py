"""Pure rules: states, transitions and what each transition sends. No input, no output."""
