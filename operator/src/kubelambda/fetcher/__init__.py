"""The code fetcher: brings code from where only an account's own keys lead into the code store."""
