"""Code signing configurations, and signatures that are looked at while the deployer waits (§1.5.4)."""
