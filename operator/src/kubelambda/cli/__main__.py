"""`python -m kubelambda.cli`: the same as the command `kubelambda`."""

from kubelambda.cli.main import app

app(prog_name="kubelambda")
