"""What stands between the command line and BasicSR's own training and test loops."""
