"""PID 1 of an execution environment: the Lambda Runtime API inside, the control API outside."""
