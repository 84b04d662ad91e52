"""Networks of functions with a vpcConfig: which set they are in, and what that allows."""
