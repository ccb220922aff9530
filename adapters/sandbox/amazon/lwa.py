"""Login with Amazon: exchanges refresh tokens and consent codes for access tokens, and shows the consent page."""

import math
from collections.abc import Mapping, Sequence

from aiohttp import web
from yarl import URL

from adapters.sandbox.listener import Route
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json, VendorError, amazon_error
from daemon.ports.host import Clock

ACCESS_SECONDS = 3600
CODE_SECONDS = 300
NOTIFICATIONS_SCOPE = "sellingpartnerapi::notifications"
ROTATION_SCOPE = "sellingpartnerapi::client_credential:rotation"
SCOPES = frozenset({NOTIFICATIONS_SCOPE, ROTATION_SCOPE})
NEEDED = {"refresh_token": ("refresh_token",), "authorization_code": ("code", "redirect_uri")}


def lwa_error(status: int, error: str, description: str) -> VendorError:
    """Build an error of the token endpoint."""
    return VendorError(status, {"error": error, "error_description": description})


class LoginWithAmazon:
    """Issues and checks tokens, and knows whether the seller has withdrawn the consent."""

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._secrets: dict[str, float] = {options.client_secret: math.inf}
        self._scopes: dict[str, str] = {}
        self._refresh_tokens = {options.refresh_token}
        self._access: dict[str, float] = {}
        self._codes: dict[str, float] = {}
        self._issued = 0

    def exchange(self, form: Mapping[str, str]) -> Json:
        """Answer one request of the token endpoint."""
        grant = form.get("grant_type", "")
        if not grant or not form.get("client_id") or not form.get("client_secret"):
            raise lwa_error(400, "invalid_request", "The request is missing a required parameter.")
        if form["client_id"] != self._options.client_id or not self._knows(form["client_secret"]):
            raise lwa_error(401, "invalid_client", "Client authentication failed")
        if grant == "client_credentials":
            return self._grantless(form.get("scope", ""))
        if grant not in NEEDED:
            raise lwa_error(400, "unsupported_grant_type", "The authorization grant type is not supported.")
        if any(not form.get(name) for name in NEEDED[grant]):
            raise lwa_error(400, "invalid_request", "The request is missing a required parameter.")
        refresh = self._refresh(form) if grant == "refresh_token" else self._redeem(form["code"])
        return self._grant(refresh)

    def check(self, token: str | None, scope: str | None = None) -> None:
        """Raise the Selling Partner API's error unless this access token is good.

        A grantless operation accepts only tokens of its scope, any other one only the seller's.
        """
        if token is None:
            raise amazon_error(401, "MissingAuthenticationToken", "The request carries no access token.")
        denied = "Access to requested resource is denied."
        if token not in self._access:
            reason = "The access token you provided is revoked, malformed or invalid."
            raise amazon_error(403, "Unauthorized", denied, reason)
        if self._access[token] <= self._clock.now():
            raise amazon_error(403, "Unauthorized", denied, "The access token you provided has expired.")
        if self._scopes.get(token) != scope:
            raise amazon_error(403, "Unauthorized", denied, "The access token is not of the right kind.")

    def consent(self, redirect_uri: str, state: str) -> str:
        """Consent as the seller would; return where the browser goes next."""
        self._issued += 1
        code = f"sandbox-code-{self._issued}"
        self._codes[code] = self._clock.now() + CODE_SECONDS * self._options.time_factor
        answer = {"state": state, "selling_partner_id": self._options.selling_partner_id, "spapi_oauth_code": code}
        return str(URL(redirect_uri).update_query(answer))

    def revoke(self) -> None:
        """Withdraw every consent: refresh tokens and access tokens stop working."""
        self._refresh_tokens.clear()
        self._access.clear()

    def restore(self) -> None:
        """Consent again to the refresh token of the options."""
        self._refresh_tokens.add(self._options.refresh_token)

    def expire_access_tokens(self) -> None:
        """Expire every access token; refresh tokens stay valid."""
        self._access = dict.fromkeys(self._access, self._clock.now())

    def rotate_secret(self, secret: str, *, keep_old: bool) -> None:
        """Give the application a new client secret, with or without an overlap."""
        self._secrets = (self._secrets if keep_old else {}) | {secret: math.inf}

    def next_secret(self, overlap: float) -> str:
        """Create a new client secret; the others stay valid for `overlap` seconds."""
        self._issued += 1
        until = self._clock.now() + overlap * self._options.time_factor
        self._secrets = {known: min(end, until) for known, end in self._secrets.items()}
        secret = f"amzn1.oa2-cs.v1.sandbox-{self._issued:06d}"
        self._secrets[secret] = math.inf
        return secret

    def _knows(self, secret: str) -> bool:
        return self._secrets.get(secret, 0.0) > self._clock.now()

    def _grantless(self, scope: str) -> Json:
        if scope not in SCOPES:
            raise lwa_error(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.")
        grant = self._grant("")
        self._scopes[grant["access_token"]] = scope
        del grant["refresh_token"]
        return grant

    def _refresh(self, form: Mapping[str, str]) -> str:
        if form["refresh_token"] not in self._refresh_tokens:
            raise lwa_error(400, "invalid_grant", "The request has an invalid grant parameter : refresh_token")
        return form["refresh_token"]

    def _redeem(self, code: str) -> str:
        if self._codes.pop(code, 0.0) <= self._clock.now():
            raise lwa_error(400, "invalid_grant", "The request has an invalid grant parameter : code")
        self._issued += 1
        token = f"Atzr|sandbox-consent-{self._issued}"
        self._refresh_tokens.add(token)
        return token

    def _grant(self, refresh_token: str) -> Json:
        self._issued += 1
        token = f"Atza|sandbox-{self._issued:06d}"
        self._access[token] = self._clock.now() + ACCESS_SECONDS * self._options.time_factor
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": max(1, int(ACCESS_SECONDS * self._options.time_factor)),
            "refresh_token": refresh_token,
        }


class LwaVendor:
    """The token endpoint and the consent page over HTTP."""

    name = "lwa"

    def __init__(self, lwa: LoginWithAmazon, options: SandboxOptions) -> None:
        self._lwa = lwa
        self._options = options

    def routes(self) -> Sequence[Route]:
        """List the routes."""
        return (
            Route("POST", "/auth/o2/token", "token", self._token),
            Route("GET", "/apps/authorize/consent", "consent", self._consent),
        )

    def admit(self, request: web.Request, operation: str) -> None:
        """Refuse a token request that is not a form."""
        if operation == "token" and request.content_type != "application/x-www-form-urlencoded":
            raise lwa_error(400, "invalid_request", "The content type must be application/x-www-form-urlencoded.")

    def headers(self, operation: str, status: int) -> Mapping[str, str]:  # noqa: ARG002 - the same for all
        """Forbid caching."""
        return {"Cache-Control": "no-store", "Pragma": "no-cache"}

    def contradiction(self) -> VendorError:
        """Build a 200 that carries an error."""
        return self.failure(200)

    def failure(self, status: int) -> VendorError:
        """Build LWA's own error with that status."""
        return lwa_error(status, "ServerError", "The server encountered a runtime error.")

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        return web.json_response(self._lwa.exchange(form))

    async def _consent(self, request: web.Request) -> web.Response:
        target = request.query.get("redirect_uri") or self._options.redirect_uri
        registered = self._options.redirect_uri
        if request.query.get("application_id") != self._options.application_id:
            return web.Response(status=400, text="MD1000: there is no such application, or it is a draft.")
        if target is None or (registered is not None and target != registered):
            return web.Response(status=400, text="MD5101: this redirect URI is not registered.")
        return web.Response(status=302, headers={"Location": self._lwa.consent(target, request.query.get("state", ""))})
