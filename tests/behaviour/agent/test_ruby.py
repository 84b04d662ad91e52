"""The Ruby client of our own, under a real agent: what Lambda's official one does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUBY = shutil.which("ruby")
PROGRAM = Path(__file__).parents[3] / "images" / "runtime-ruby3.3" / "bootstrap.rb"
HANDLER = """
require 'logger'
require 'stringio'
LOG = Logger.new($stdout)

class Shop
  def self.buy(event:, context:)
    { bought: event['name'], by: context.function_name }
  end
end

def handler(event:, context:)
  case event['action']
  when 'raise' then raise ArgumentError, 'bad: grüß'
  when 'critical' then raise NotImplementedError, 'later'
  when 'exit' then exit 3
  when 'kill' then Process.kill(:KILL, Process.pid)
  when 'log' then LOG.info('below'); LOG.warn('be careful')
  when 'bytes' then StringIO.new('no JSON')
  when 'nothing' then nil
  when 'large' then 'x' * event['size']
  when 'not JSON' then Float::NAN
  when 'trace' then ENV['_X_AMZN_TRACE_ID']
  when 'process' then { pid: Process.pid, path: $LOAD_PATH.first, argv: ARGV, file: __FILE__ }
  when 'context'
    { id: context.aws_request_id, arn: context.invoked_function_arn, version: context.function_version,
      memory: context.memory_limit_in_mb, group: context.log_group_name, stream: context.log_stream_name,
      client: context.client_context, identity: context.identity, deadline: context.deadline_ms,
      remaining: context.get_remaining_time_in_millis }
  else event
  end
end
"""

pytestmark = pytest.mark.skipif(RUBY is None, reason="there is no ruby on this machine")


@pytest.fixture
def ruby(start: Callable[..., Any]) -> Any:
    """An environment of the Ruby runtime that nobody claimed."""
    return start(prestart="", KUBELAMBDA_BOOTSTRAP=json.dumps([RUBY, str(PROGRAM)]))


def claimed(environment: Any, handler: str = "index.handler", source: str = HANDLER, **function: Any) -> Any:
    """The environment as that of a function."""
    answer = environment.specialize(
        {"index.rb": source, "lib/deep.rb": "def handler(event:, context:) = 'deep'"},
        runtime="ruby3.3", handler=handler, timeout=30, **function,
    )  # fmt: skip
    assert answer.status == 200, answer.body
    return environment


def error_of(answer: Any) -> Any:
    """The error that the caller is told."""
    assert answer.headers.get("X-Amz-Function-Error") == "Unhandled", answer.body
    return answer.json


def test_an_event_arrives_and_its_answer_returns(ruby: Any) -> None:
    """Whatever JSON it is."""
    claimed(ruby, source="def handler(event:, context:)\n  event\nend")
    for event in ({"name": "you"}, [1, {"a": None}], "text", 7, None, "grüß ☃"):
        assert ruby.invoke(event).json == event


@pytest.mark.parametrize(
    ("handler", "expected"),
    [("index.Shop.buy", {"bought": "milk", "by": "hello"}), ("lib/deep.handler", "deep")],
)
def test_a_handler_may_be_a_method_of_a_class(ruby: Any, handler: str, expected: Any) -> None:
    """`file.Class.method`, in a file that may be in a folder."""
    assert claimed(ruby, handler).invoke({"name": "milk"}).json == expected


def test_the_context_has_lambdas_members(ruby: Any) -> None:
    """Those that the agent tells, and those of the process environment."""
    claimed(ruby, memory_size=256)
    seen = ruby.invoke({"action": "context"}, headers={"X-Amz-Client-Context": "eyJjdXN0b20iOiB7ImEiOiAxfX0="}).json
    assert seen["id"] == ruby.last_request_id
    assert seen["arn"].endswith(":function:hello")
    assert (seen["version"], seen["memory"], seen["group"]) == ("$LATEST", "256", "/aws/lambda/hello")
    assert seen["client"] == {"custom": {"a": 1}}
    assert 0 < seen["remaining"] <= 30_000


def test_an_exception_is_told_with_its_type_and_trace(ruby: Any) -> None:
    """In the words of Lambda's client; our own frames are nobody's concern, and the process goes on."""
    claimed(ruby)
    before = ruby.invoke({"action": "process"}).json
    answer = ruby.invoke({"action": "raise"}, tail=True)
    error = error_of(answer)
    assert (error["errorType"], error["errorMessage"]) == ("Function<ArgumentError>", "bad: grüß")
    assert error["stackTrace"][0].startswith(f"{before['file']}:")
    assert not [line for line in error["stackTrace"] if "lambda_runtime" in line]
    assert "Error raised from handler method" in answer.log
    assert ruby.invoke({"action": "process"}).json == before


UNTELLABLE = """
class Lines < StandardError
  def self.to_s = "two\\r\\nlines"
end

class Mute < StandardError
  def message = raise('not even this')
end

def handler(event:, context:)
  case event
  when 'lines' then raise Lines, 'x'
  when 'mute' then raise Mute
  when 'encoding' then raise 'x'.dup.force_encoding('UTF-7')
  when 'path' then eval('raise "x"', binding, "\\xff.rb")
  else Process.pid
  end
end
"""


def test_an_exception_that_can_hardly_be_told_ends_no_process(ruby: Any) -> None:
    """A class whose name is no header, a message that raises, a text or a file's name that is no UTF-8."""
    claimed(ruby, source=UNTELLABLE)
    before = ruby.invoke("process").json
    assert error_of(ruby.invoke("lines"))["errorType"] == "Function<two  lines>"
    assert error_of(ruby.invoke("mute"))["errorMessage"] == "its message cannot be told: RuntimeError"
    assert error_of(ruby.invoke("encoding"))["errorMessage"] == "x"
    assert error_of(ruby.invoke("path"))["stackTrace"][0].startswith("\ufffd.rb:1")
    assert ruby.invoke("process").json == before


@pytest.mark.parametrize(
    ("action", "told"), [("critical", "Function<NotImplementedError>"), ("exit", "Function<SystemExit>")]
)
def test_what_is_no_standard_error_ends_the_process_once_it_is_told(ruby: Any, action: str, told: str) -> None:
    """The next event finds another process."""
    claimed(ruby)
    before = ruby.invoke({"action": "process"}).json["pid"]
    assert error_of(ruby.invoke({"action": action}))["errorType"] == told
    assert ruby.invoke({"action": "process"}).json["pid"] != before


def test_a_process_that_is_killed_is_replaced(ruby: Any) -> None:
    """The environment goes on (§3.2)."""
    claimed(ruby)
    assert error_of(ruby.invoke({"action": "kill"}))["errorType"] == "Runtime.ExitError"
    assert ruby.invoke({"action": "other"}).json == {"action": "other"}


@pytest.mark.parametrize(
    ("handler", "source", "told", "message"),
    [
        ("index.handler", "require 'not_there'", "Init<LoadError>", "cannot load such file -- not_there"),
        ("missing.handler", "", "Init<LoadError>", "cannot load such file -- missing"),
        ("index.handler", "def handler(", "Init<SyntaxError>", "index.rb:1"),
        ("handler", "", "Init<ArgumentError>", "Invalid handler handler"),
    ],
    ids=["library", "file", "syntax", "name"],
)
def test_a_function_that_cannot_be_loaded_says_why(
    ruby: Any, handler: str, source: str, told: str, message: str
) -> None:
    """As the failure of its initialization."""
    answer = ruby.specialize({"index.rb": source}, runtime="ruby3.3", handler=handler, timeout=30)
    assert answer.json["error"]["errorType"] == told
    assert message in answer.json["error"]["errorMessage"]


def test_a_method_that_is_missing_is_told_when_it_is_called(ruby: Any) -> None:
    """The file may define it later."""
    assert error_of(claimed(ruby, "index.absent").invoke({}))["errorType"] == "Function<NoMethodError>"


def test_results_that_are_no_json_are_told_and_bytes_are_passed_on(ruby: Any) -> None:
    """NaN is an error of the function; an IO is sent as it is; nothing is null."""
    claimed(ruby)
    assert error_of(ruby.invoke({"action": "not JSON"}))["errorType"] == "Function<JSON::GeneratorError>"
    assert ruby.invoke({"action": "bytes"}).body == b"no JSON"
    assert ruby.invoke({"action": "nothing"}).body == b"null"


def test_an_answer_over_the_limit_is_told_and_the_process_goes_on(ruby: Any) -> None:
    """The Runtime API refuses it, and says so to the caller."""
    claimed(ruby)
    before = ruby.invoke({"action": "process"}).json["pid"]
    assert error_of(ruby.invoke({"action": "large", "size": 7_000_000}))["errorType"] == "Function.ResponseSizeTooLarge"
    assert ruby.invoke({"action": "process"}).json["pid"] == before


def test_loggers_tell_the_request(ruby: Any) -> None:
    """In Ruby's own line."""
    claimed(ruby)
    log = ruby.invoke({"action": "log"}, tail=True).log
    assert f"WARN {ruby.last_request_id} -- : be careful" in log


def test_a_function_that_logs_json_gets_one_object_a_line(ruby: Any) -> None:
    """What is below the function's level is not there; errors are told in the same form."""
    claimed(ruby, variables={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"})
    log = ruby.invoke({"action": "log"}, tail=True).log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [(line["level"], line["message"], line["requestId"]) for line in lines] == [
        ("WARN", "be careful", ruby.last_request_id)
    ]
    log = ruby.invoke({"action": "raise"}, tail=True).log
    (line,) = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert (line["level"], line["errorType"]) == ("ERROR", "Function<ArgumentError>")


def test_the_program_of_a_function_is_clean(ruby: Any) -> None:
    """Its own folder is searched first."""
    seen = claimed(ruby).invoke({"action": "process"}).json
    assert seen["path"] == str(ruby.root / "var/task")
    assert seen["file"] == str(ruby.root / "var/task/index.rb")
