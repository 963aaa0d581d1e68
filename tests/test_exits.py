"""However a command ends, it says so in a sentence; real pipes, devices and signals."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from wayjax.errors import WayjaxError
from wayjax.exits import exit_code

# A command that does one thing, in a process with real streams.
PROGRAM = """
import sys
from wayjax.errors import WayjaxError
from wayjax.exits import exit_code

def command():
  {body}
  return 0

sys.exit(exit_code("toy", command, stopped="stopped; all is kept"))
"""
ENDED = "toy: stopped; all is kept, as nobody reads the output any more\n"
FULL = "toy: error: the output cannot be written: No space left on device\n"
BODIES = ("print('x')", "print('x' * 10**6)", "print('x', flush=True)", "sys.stdout.write('x')")


def started(body: str, *flags: str, **streams) -> subprocess.Popen:
  code = PROGRAM.format(body=body)
  return subprocess.Popen([sys.executable, *flags, "-c", code], text=True, **streams)


@pytest.mark.parametrize("flags", [(), ("-u",)])
@pytest.mark.parametrize("body", BODIES)
def test_a_full_device_is_a_sentence(body, flags):
  with open("/dev/full", "w") as full:
    process = started(body, *flags, stdout=full, stderr=subprocess.PIPE)
    _, error = process.communicate()
  assert (process.returncode, error) == (2, FULL)


@pytest.mark.parametrize("flags", [(), ("-u",)])
@pytest.mark.parametrize("body", BODIES)
def test_a_closed_pipe_is_a_sentence(body, flags):
  process = started(body, *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  process.stdout.close()  # long before anything is written
  error = process.stderr.read()
  assert (process.wait(), error) == (141, ENDED)


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
@pytest.mark.parametrize(
  ("body", "code"), [("print('x')", 0), ("raise WayjaxError('wrong')", 2), ("1 / 0", 1)]
)
def test_streams_that_are_not_there_change_no_code(redirection, body, code):
  if "full" in redirection:
    code = code or 2
  program = PROGRAM.format(body=body)
  done = subprocess.run(
    ["sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, program],
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  if redirection.endswith("2>/dev/full") and code == 1:
    return  # Python itself cannot write its traceback, and says so by a code of its own
  assert done.returncode == code
  assert ("Traceback" in done.stderr) == (code == 1 and "2>" not in redirection)


def test_help_that_cannot_be_written_is_a_sentence():
  body = "import argparse; print('more'); argparse.ArgumentParser('toy').parse_args(['-h'])"
  with open("/dev/full", "w") as full:
    process = started(body, stdout=full, stderr=subprocess.PIPE)
    assert process.communicate()[1] == FULL
  assert process.returncode == 2


def test_another_os_error_is_not_the_outputs(capsys):
  def command():
    raise OSError(28, "No space left on device")

  with pytest.raises(OSError, match="No space"):
    exit_code("toy", command)


def test_codes_and_sentences(capsys):
  def wrong():
    raise WayjaxError("it is wrong")

  def interrupted():
    raise KeyboardInterrupt

  assert exit_code("toy", lambda: 7) == 7
  assert exit_code("toy", wrong) == 2
  assert exit_code("toy", interrupted) == 130
  assert capsys.readouterr().err == "toy: error: it is wrong\ntoy: stopped\n"


COMMANDS = {
  "run": ["wayjax.run", "--demo", "--dataset", "sst2", "--dry-run"],
  "report": ["wayjax.report", "nowhere"],
  "export": ["wayjax.export", "nowhere", "--format", "peft", "--out", "nowhere"],
  "audit": ["wayjax.audit", "nowhere"],
  "experiment": ["experiments.table2_main", "--demo", "--dry-run"],
}


# After which import the signal comes: the first of a command, and one of those that take seconds.
@pytest.mark.parametrize(
  ("name", "imported"),
  [
    ("run", "wayjax.run"), ("run", "argparse"), ("run", "numpy"), ("report", "wayjax.report"),
    ("report", "numpy"), ("export", "wayjax.export"), ("export", "jax"),
    ("audit", "wayjax.audit"), ("audit", "jax"),
    ("experiment", "experiments"), ("experiment", "numpy"),
  ],
)  # fmt: skip
def test_ctrl_c_while_a_command_begins_is_no_traceback(name, imported):
  process = subprocess.Popen(
    [sys.executable, "-X", "importtime", "-m", *COMMANDS[name]],
    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
  )  # fmt: skip
  sent, said = False, []
  for line in process.stderr:
    if not line.startswith("import time:"):
      said.append(line)
    elif not sent and line.split("|")[-1].strip() == imported:
      process.send_signal(signal.SIGINT)
      sent = True
  assert process.wait() == 130
  assert sent
  assert len(said) <= 1
  assert "Traceback" not in "".join(said)


def test_a_ctrl_c_that_c_code_made_an_error_of_its_own_is_still_one(capsys):
  def command():
    try:
      raise KeyboardInterrupt
    except KeyboardInterrupt as error:
      raise ImportError("initializing the extension") from error

  assert exit_code("toy", command) == 130
  assert capsys.readouterr().err == "toy: stopped\n"
  with pytest.raises(ImportError, match="no such module"):
    exit_code("toy", lambda: exec("raise ImportError('no such module')"))


def test_importing_a_command_changes_no_handler():
  code = (
    "import signal; before = signal.getsignal(signal.SIGINT);"
    "import wayjax.run, wayjax.report, wayjax.export, experiments;"
    "assert signal.getsignal(signal.SIGINT) is before"
  )
  subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_in_the_background_still_ignores_ctrl_c():
  process = subprocess.Popen(
    [sys.executable, "-m", "wayjax.run", "--help"],
    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
  )  # fmt: skip
  process.send_signal(signal.SIGINT)
  assert b"usage" in process.communicate()[0]
  assert process.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that nobody knows")
def test_a_user_without_a_home_can_run_a_command():
  code = """
    import os
    from pathlib import Path
    from wayjax import hub
    from wayjax.exits import exit_code
    os.setuid(54321)
    print(hub.user_cache())
    exit_code("toy", lambda: print(Path.home()) or 0)
  """
  environment = {name: value for name, value in os.environ.items() if name != "HOME"}
  environment.pop("XDG_CACHE_HOME", None)
  done = subprocess.run(
    [sys.executable, "-c", textwrap.dedent(code)],
    env=environment, capture_output=True, text=True, check=True,
  )  # fmt: skip
  assert done.stdout.split() == ["/dev/null/wayjax", "/"]
