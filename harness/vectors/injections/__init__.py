"""What is injected into documents that are not relevant."""

from harness.vectors.injections.base import BANK, INJECTIONS, Injection

__all__ = ["BANK", "INJECTIONS", "Injection"]
