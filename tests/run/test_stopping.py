"""SIGTERM, SIGHUP and Ctrl-C are requests; a second Ctrl-C interrupts; later all is as before."""

import logging
import os
import pty
import signal
import threading

import pytest

from wayjax.run.stopping import RunStopped, StopRequest

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
  """Handlers of the test's own: without a request each signal raises."""

  def unexpected(number, _):
    raise AssertionError(f"{signal.Signals(number).name} came through")

  before = {number: signal.signal(number, unexpected) for number in ALL}
  yield dict.fromkeys(ALL, unexpected)
  for number, handler in before.items():
    signal.signal(number, handler)


def now() -> dict:
  return {number: signal.getsignal(number) for number in ALL}


@pytest.mark.parametrize("number", ALL)
def test_the_first_signal_asks(number, caplog):
  caplog.set_level(logging.INFO, "wayjax")
  with StopRequest() as stop:
    assert not stop
    assert stop.signal is None
    signal.raise_signal(number)
    assert stop
    assert stop.signal is number
  assert caplog.messages == ["stopping when these steps are done and saved; Ctrl-C stops at once"]


@pytest.mark.parametrize("first", ALL)
def test_a_second_ctrl_c_interrupts(first):
  with StopRequest() as stop:
    signal.raise_signal(first)
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(signal.SIGINT)
    assert stop.signal is first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_of_another_kind_is_still_a_request(number):
  with StopRequest() as stop:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(number)
    signal.raise_signal(number)
    assert stop.signal is number


def test_under_nohup_a_closed_terminal_stops_nothing():
  signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
  with StopRequest() as stop:
    signal.raise_signal(signal.SIGHUP)
    assert not stop
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
  assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_output_to_a_terminal_that_was_closed_goes_nowhere():
  master, terminal = pty.openpty()
  kept = [os.dup(stream) for stream in (1, 2)]
  try:
    os.dup2(terminal, 2)
    os.close(terminal)
    with StopRequest() as stop:
      os.write(2, b"shown")
      assert os.read(master, 9) == b"shown"
      signal.raise_signal(signal.SIGTERM)  # it is open still
      os.write(2, b"shown")
      assert os.read(master, 9) == b"shown"
      os.close(master)
      with pytest.raises(OSError, match="Input/output"):
        os.write(2, b"lost")
      signal.raise_signal(signal.SIGHUP)
      assert stop.signal is signal.SIGHUP
      os.write(2, b"goes nowhere")
      os.write(1, b"")  # not a terminal, and left as it is
      assert os.path.sameopenfile(1, kept[0])
  finally:
    for stream, before in zip((1, 2), kept):
      os.dup2(before, stream)
      os.close(before)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_the_handlers_are_restored(handlers, error):
  try:
    with StopRequest():
      assert handlers[signal.SIGTERM] not in now().values()
      if error:
        raise error
  except (KeyboardInterrupt, ValueError):
    pass
  assert now() == handlers


def test_another_thread_may_not_set_handlers_and_does_not(handlers):
  found = []

  def request():
    with StopRequest() as stop:
      found.append((bool(stop), now()))

  thread = threading.Thread(target=request)
  thread.start()
  thread.join()
  assert found == [(False, handlers)]
  assert now() == handlers


def test_a_stopped_run_names_its_folder_and_the_signal():
  stopped = RunStopped("runs/one", signal.SIGTERM)
  assert (stopped.folder, stopped.signal) == ("runs/one", 15)
