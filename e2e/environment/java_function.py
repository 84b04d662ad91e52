"""A Java function as its authors ship it, compiled here: a jar in `lib`, and a jar of a layer that it stands on."""

import base64
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from installation.archives import zipped

_INTERFACES = {
    "com/amazonaws/services/lambda/runtime/LambdaLogger.java": """
package com.amazonaws.services.lambda.runtime;
public interface LambdaLogger { void log(String message); }
""",
    "com/amazonaws/services/lambda/runtime/Context.java": """
package com.amazonaws.services.lambda.runtime;
public interface Context {
  String getAwsRequestId();
  String getInvokedFunctionArn();
  String getFunctionName();
  int getMemoryLimitInMB();
  int getRemainingTimeInMillis();
  LambdaLogger getLogger();
}
""",
}
"""What the function is compiled against, in the words of `aws-lambda-java-core`, and not a part of it."""
_GREETING = """
package greeting;
public class Greeting { public static String text() { return "hello from a layer"; } }
"""
_HANDLER = """
package example;

import com.amazonaws.services.lambda.runtime.Context;
import java.util.LinkedHashMap;
import java.util.Map;

public class Handler {
  private static final long LOADED = System.nanoTime();

  public Object handle(Map<String, Object> event, Context context) throws Exception {
    if ("raise".equals(event.get("action"))) {
      throw new IllegalStateException("boom");
    }
    if ("sleep".equals(event.get("action"))) {
      Thread.sleep(60_000);
    }
    context.getLogger().log("invoked as " + context.getAwsRequestId() + "\\n");
    System.out.println("printed");
    Map<String, Object> seen = new LinkedHashMap<>();
    seen.put("loaded", String.valueOf(LOADED));
    seen.put("arn", context.getInvokedFunctionArn());
    seen.put("name", context.getFunctionName());
    seen.put("memory", context.getMemoryLimitInMB());
    seen.put("remaining", context.getRemainingTimeInMillis());
    seen.put("layer", greeting.Greeting.text());
    seen.put("environment", System.getenv("AWS_EXECUTION_ENV"));
    seen.put("version", Runtime.version().feature());
    seen.put("heap", Runtime.getRuntime().maxMemory() >> 20);
    seen.put("property", System.getProperty("from.tool.options"));
    return seen;
  }
}
"""
RELEASE = "11"


@dataclass(frozen=True)
class JavaFunction:
    """Two archives, as base64."""

    code: str
    layer: str


def compiler() -> str | None:
    """The machine's Java compiler."""
    return shutil.which("javac")


def compiled() -> JavaFunction:
    """Compiles and packs it. There must be a compiler."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = {**_INTERFACES, "greeting/Greeting.java": _GREETING, "example/Handler.java": _HANDLER}
        for path, text in sources.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        command = [compiler() or "javac", "--release", RELEASE, "-d", str(folder), *sources]
        subprocess.run(command, check=True, cwd=folder, timeout=120)
        handler = zipped({"example/Handler.class": (folder / "example/Handler.class").read_bytes()})
        greeting = zipped({"greeting/Greeting.class": (folder / "greeting/Greeting.class").read_bytes()})
    return JavaFunction(_text({"lib/handler.jar": handler}), _text({"java/lib/greeting.jar": greeting}))


def _text(files: dict[str, bytes]) -> str:
    return base64.b64encode(zipped(files)).decode()
