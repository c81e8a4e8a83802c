"""BasicSR models: how the networks are trained, validated, saved and resumed."""
