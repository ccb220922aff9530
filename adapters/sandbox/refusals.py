"""The errors that stand-ins answer."""

from typing import Any

Json = dict[str, Any]


class VendorError(Exception):
    """The vendor's answer is an error: its status and its body, as JSON."""

    def __init__(self, status: int, body: Json | list[Any] | bool) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.body = body


class ControlError(Exception):
    """A control operation is impossible; the text says why."""


def amazon_error(status: int, code: str, message: str, details: str = "") -> VendorError:
    """Build an error of the Selling Partner API."""
    return VendorError(status, {"errors": [{"code": code, "message": message, "details": details}]})


def invalid_input(message: str) -> VendorError:
    """Build Amazon's 400 for a request that makes no sense."""
    return amazon_error(400, "InvalidInput", message)


def quota_exceeded() -> VendorError:
    """Build Amazon's 429."""
    return amazon_error(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")


def amazon_failure(status: int) -> VendorError:
    """Build Amazon's answer to too many requests or to an internal error."""
    if status == 429:
        return quota_exceeded()
    if status == 503:
        return amazon_error(503, "ServiceUnavailable", "The service is temporarily unavailable. Please try again.")
    return amazon_error(status, "InternalFailure", "We encountered an internal error. Please try again.")


def loop_invalid(field: str, message: str) -> VendorError:
    """Build Loop's 422 validation answer for one field."""
    return VendorError(422, {"message": "The given data was invalid.", "errors": {field: [message]}})


def loop_not_found(message: str) -> VendorError:
    """Build Loop's 404 of destinations and label requests."""
    return VendorError(404, {"code": "NOT_FOUND", "message": message})


def loop_refused(message: str, code: str = "UNPROCESSABLE_RETURN", status: int = 200) -> VendorError:
    """Build the refusal of a return action, which Loop sends with HTTP 200."""
    return VendorError(status, {"errors": {"message": message, "code": code}})
