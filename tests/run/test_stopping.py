"""SIGTERM and Ctrl-C are requests; a second Ctrl-C interrupts; afterwards all is as before."""

import logging
import signal
import threading

import pytest

from wayjax.run.stopping import RunStopped, StopRequest

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers():
  """Handlers of the test's own: without a request each signal raises."""

  def unexpected(number, _):
    raise AssertionError(f"{signal.Signals(number).name} came through")

  before = {number: signal.signal(number, unexpected) for number in BOTH}
  yield dict.fromkeys(BOTH, unexpected)
  for number, handler in before.items():
    signal.signal(number, handler)


def now() -> dict:
  return {number: signal.getsignal(number) for number in BOTH}


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_asks(number, caplog):
  caplog.set_level(logging.INFO, "wayjax")
  with StopRequest() as stop:
    assert not stop
    assert stop.signal is None
    signal.raise_signal(number)
    assert stop
    assert stop.signal is number
  assert caplog.messages == ["stopping when these steps are done and saved; Ctrl-C stops at once"]


@pytest.mark.parametrize("first", BOTH)
def test_a_second_ctrl_c_interrupts(first):
  with StopRequest() as stop:
    signal.raise_signal(first)
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(signal.SIGINT)
    assert stop.signal is first


def test_a_second_sigterm_is_still_a_request():
  with StopRequest() as stop:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert stop.signal is signal.SIGTERM


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
