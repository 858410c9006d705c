"""Records of measurements, and what the documentation shows of them. The command is tools/record.py."""
