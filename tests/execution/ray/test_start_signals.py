"""SIGTERM while Ray starts."""

import signal

from kdtune.execution.ray.start_signals import sigterm_handler_kept


def test_only_handlers_for_other_signals_can_be_set_while_ray_starts():
    ours, usr1 = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGUSR1)
    try:
        with sigterm_handler_kept():
            signal.signal(signal.SIGTERM, lambda *_: None)
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) == ours and signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, usr1)
