import os

from greetings import greet


def handler(event, context):
    return {"stage": os.environ["STAGE"], "greeting": greet(os.environ["WHO"])}
