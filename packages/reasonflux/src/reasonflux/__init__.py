"""What every part of ReasonFlux shares: contracts, engine client, service kit, SDK and CLI."""

__version__ = "0.1.0"
