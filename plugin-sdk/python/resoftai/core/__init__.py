"""What agents are made of: see `resoftai.core.agent`."""
