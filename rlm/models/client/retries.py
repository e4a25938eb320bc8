"""RetryBudget: the retries of one call, and the waits between them."""

from __future__ import annotations

import asyncio

from rlm.models.client.endpoint import Endpoint
from rlm.models.client.faults import Action, Fault
from rlm.models.client.limiter import backoff


class RetryBudget:
    """The retries that remain of one call: max_retries after its own failures, max_outage_wait_s in outages."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._own, self._all = 0, 0
        # The time at which the endpoint first failed or refused this call.
        self.troubled_since: float | None = None

    def wait(self, fault: Fault, *, outage: bool, gave_up: bool) -> float | None:
        """Return the seconds until the next attempt, None to give up.

        A failure in an outage is not counted as a retry.
        """
        endpoint = self._endpoint
        if fault.action not in (Action.RETRY, Action.LATER):
            return None
        now = asyncio.get_running_loop().time()
        endpoints = outage or fault.action is Action.LATER
        if not endpoints and self._own >= endpoint.max_retries:
            return None
        if outage and gave_up:
            return None
        wait = fault.retry_after_s or 0.0
        if wait < endpoint.backoff_s:
            # No wait, or one of 0 again and again, must not become a stream of requests.
            wait = max(wait, backoff(self._all if endpoints else self._own, endpoint.backoff_s, endpoint.max_backoff_s))
        self._all += 1
        self._own += not endpoints
        if endpoints:
            self.troubled_since = now if self.troubled_since is None else self.troubled_since
            if now + wait > self.troubled_since + endpoint.max_outage_wait_s:
                return None
        return wait
