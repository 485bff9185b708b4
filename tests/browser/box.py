"""A sandbox that runs for the tests, as a user starts it, and what its description says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# How long the servers may take to come up on a busy machine, and to stop.
START_SECONDS = 240
STOP_SECONDS = 60


@dataclass(frozen=True)
class Customer:
    """Somebody who can pay at a bank."""

    name: str
    national_id: str
    user_code: str
    password: str
    activation_code: str
    cards: dict[str, str]
    """The numbers of the cards by their labels."""


@dataclass(frozen=True)
class Bank:
    """A bank with its app."""

    id: str
    name_en: str
    name_zh_tw: str
    app: str
    customers: list[Customer]
    load_customers: list[Customer]


@dataclass(frozen=True)
class Merchant:
    """A shop, with what it takes to ask its acquirer."""

    id: str
    name: str
    address: str
    currency: str
    acquirer: str
    certificate: str
    key: str


def _customer(entry: dict[str, Any]) -> Customer:
    cards = [card for account in entry["accounts"] for card in account["cards"]]
    return Customer(
        name=entry["name"],
        national_id=entry["national_id"],
        user_code=entry["user_code"],
        password=entry["password"],
        activation_code=entry["activation_code"],
        cards={card["label"]: card["pan"] for card in cards},
    )


class Box:
    """The description of a sandbox, and its process where this program has started it."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.folder = folder
        self._process = process
        self.said: dict[str, Any] = json.loads((folder / "sandbox.json").read_text())
        self.storefront: str = self.said["storefront"]
        self.platform_pages: str = self.said["platform"]["pages"]
        self.banks = {entry["id"]: self._bank(entry) for entry in self.said["issuers"]}
        self.merchants = {entry["id"]: self._merchant(entry) for entry in self.said["merchants"]}
        self._handed_out = 0

    @classmethod
    def start(cls, folder: Path) -> Box:
        """Starts a new sandbox and waits until it says that it is up."""
        program = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "merchant-sim"
        output = folder.with_suffix(".out")
        with output.open("wb") as said:
            command = [str(program), "sandbox", "--dir", str(folder)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while "Stop it with" not in (text := output.read_text()):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"the sandbox did not come up:\n{text}")
            time.sleep(0.2)
        return cls(folder, process)

    def stop(self) -> None:
        """Stops it as Ctrl-C does; a server that did not end well is an error."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        if (status := self._process.wait(STOP_SECONDS)) != 0:
            raise RuntimeError(f"the sandbox ended with {status}")

    def payer(self, bank: str) -> Customer:
        """A customer with one good card whom no other test uses."""
        self._handed_out += 1
        return self.banks[bank].load_customers[self._handed_out]

    def everyday(self, bank: str) -> Customer:
        """The customer with a card for everything that the card network does."""
        return self.banks[bank].customers[0]

    def hosts(self) -> set[str]:
        """Every host that a browser may talk to: others are external."""
        pages = [self.storefront, self.platform_pages]
        pages += [bank.app for bank in self.banks.values()]
        pages += [merchant.address for merchant in self.merchants.values()]
        pages += [acquirer["pages"] for acquirer in self.said["acquirers"]]
        return {page.split("/")[2] for page in pages}

    def _bank(self, entry: dict[str, Any]) -> Bank:
        return Bank(
            id=entry["id"],
            name_en=entry["name_en"],
            name_zh_tw=entry["name_zh_tw"],
            app=entry["app"],
            customers=[_customer(customer) for customer in entry["customers"]],
            load_customers=[_customer(customer) for customer in entry["load_customers"]],
        )

    def _merchant(self, entry: dict[str, Any]) -> Merchant:
        endpoints = {acquirer["id"]: acquirer["endpoint"] for acquirer in self.said["acquirers"]}
        return Merchant(
            id=entry["id"],
            name=entry["display_name"],
            address=entry["return_url"].removesuffix("o/"),
            currency=entry["currency"],
            acquirer=endpoints[entry["acquirer"]],
            certificate=entry["tls"]["certificate"],
            key=entry["tls"]["key"],
        )
