"""The only code that imports kopf: observe, decide, apply."""
