"""What really became of an order: the acquirer's answers to the shop, by gRPC and not by any page."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from box import Box, Merchant

# How long one question may take.
SECONDS = 20


@dataclass(frozen=True)
class Truth:
    """An order as its acquirer records it."""

    state: str
    """Without its prefix: OPEN, AUTHORIZING, APPROVED, EXPIRED, FAILED or CANCELLED."""
    approvals: int
    """How many authorizations were approved, by the acquirer's signed events."""
    declines: int
    """How many were declined."""
    reasons: list[str]
    """Why, in their order, without the prefix."""


def ask(box: Box, merchant: Merchant, call: str, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Calls `OrderService` as the shop: every message of the answer."""
    command = ["buf", "curl", "--protocol", "grpc", "--cacert", box.said["authority"]]
    command += ["--cert", merchant.certificate, "--key", merchant.key, "--data", json.dumps(request)]
    command.append(f"{merchant.acquirer}/bankside.v1.OrderService/{call}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{call}: {done.stderr}"
    decoder, text, answers = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:].lstrip()
    return answers


def of(box: Box, merchant: Merchant, order_id: str) -> Truth:
    """How an order stands, with the authorizations that were decided for it."""
    [answer] = ask(box, merchant, "GetOrder", {"order_id": order_id})
    order = answer["order"]
    outcome = order.get("lastAuthorization", {})
    approved = outcome.get("decision") == "DECISION_APPROVED"
    reason = outcome.get("declineReason", "").removeprefix("DECLINE_REASON_")
    return Truth(
        state=order["state"].removeprefix("ORDER_STATE_"),
        approvals=int(approved),
        declines=order.get("attempts", 0),
        reasons=[reason] if reason else [],
    )
