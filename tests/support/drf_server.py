"""A second implementation of the vendor's API, on Django REST framework, based only on its documentation.

`python -m tests.support.drf_server --port 0` prints its base URL and serves until it is told to end. The
throttles are the framework's own. What it observed is under `/control/oracle`, for tests to check.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import hmac
import io
import json
import logging
import random
import re
import secrets
import socket
import sys
import threading
import uuid
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from socketserver import ThreadingMixIn
from urllib.parse import urlencode
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
                "OPTIONS": {"MAX_ENTRIES": 1_000_000},
            }
        },
        DATA_UPLOAD_MAX_MEMORY_SIZE=None,
        LOGGING_CONFIG=None,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        REST_FRAMEWORK={
            "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
            "UNAUTHENTICATED_USER": None,
        },
        ROOT_URLCONF=__name__,
        SECRET_KEY=secrets.token_hex(),
        USE_TZ=True,
    )
    django.setup()

from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle

KEY_VARIABLE = "HTTP_X_DROMO_LICENSE_KEY"
PRESIGNED_FOR_S = 1800


@dataclass
class Misbehaviour:
    """The probability of each fault, from 0 to 1."""

    lose_replies: float = 0.0
    errors: float = 0.0
    cut_uploads: float = 0.0
    cut_downloads: float = 0.0
    refuse_conditions: bool = False


@dataclass(eq=False)
class Import:
    """One import; `schema` is the id of a saved one, or None for one given inline."""

    schema: str | None
    original_filename: str | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    end: str = "SUCCESSFUL"
    rows: list = field(default_factory=list)

    def take(self, content: bytes, rows: list) -> None:
        self.rows = rows
        self.end = next(
            (end for word, end in ((b"REVIEW-ME", "NEEDS_REVIEW"), (b"FAIL-ME", "FAILED")) if word in content),
            "SUCCESSFUL",
        )
        self.started_at = datetime.now(UTC)

    @property
    def status(self) -> str:
        if self.started_at is None:
            return "AWAITING_UPLOAD"
        age_s = (datetime.now(UTC) - self.started_at).total_seconds()
        if age_s < vendor.processing_s:
            return "PENDING" if age_s < vendor.processing_s / 2 else "RUNNING"
        return self.end


class Vendor:
    """The account: its imports, its counters, and the source of randomness for its faults."""

    def __init__(self) -> None:
        self.key = ""
        self.schemas: list[str] = []
        self.processing_s = 0.2
        self.misbehaviour = Misbehaviour()
        self.secret = secrets.token_bytes()
        self.dice = random.Random(0)
        self.lock = threading.RLock()
        self.imports: dict[str, Import] = {}
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.puts: Counter[str] = Counter()
        self.polls: Counter[str] = Counter()
        self.refused_polls = 0
        self.received: defaultdict[str, list[str]] = defaultdict(list)
        self.key_leaks = 0
        self.faults: Counter[str] = Counter()

    def strikes(self, fault: str) -> bool:
        with self.lock:
            struck = self.dice.random() < getattr(self.misbehaviour, fault)
            self.faults[fault] += struck
            return struck

    def receive(self, found: Import, content: bytes, rows: list) -> None:
        self.received[hashlib.sha256(content).hexdigest()].append(found.id)
        found.take(content, rows)

    def presigned(self, request: HttpRequest, method: str, import_id: str) -> str:
        signed_at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        query = {
            "X-Amz-Date": signed_at,
            "X-Amz-Expires": PRESIGNED_FOR_S,
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": self.signature(method, import_id, signed_at),
        }
        return request.build_absolute_uri(f"/bucket/{import_id}?{urlencode(query)}")

    def signature(self, method: str, import_id: str, signed_at: str) -> str:
        return hmac.new(self.secret, f"{method} {import_id} {signed_at}".encode(), "sha256").hexdigest()

    def oracle(self) -> dict:
        with self.lock:
            return {
                "accepted": self.accepted,
                "refused": self.refused,
                "imports": len(self.imports),
                "received": self.received,
                "puts": self.puts,
                "polls": self.polls,
                "refused_polls": self.refused_polls,
                "key_leaks": self.key_leaks,
                "faults": self.faults,
            }


vendor = Vendor()


class LicenseKey(BaseAuthentication):
    def authenticate(self, request):
        if request.META.get(KEY_VARIABLE) != vendor.key:
            raise AuthenticationFailed("Invalid license key.")
        return _Account(), None


class _Account:
    is_authenticated = True


class Throttle(SimpleRateThrottle):
    """The framework's throttle, which also accepts `20/3s`, and is called by one thread at a time."""

    THROTTLE_RATES: dict[str, str] = {"create": "20/min", "poll": "12/min"}  # noqa: RUF012 - as the framework has it

    def parse_rate(self, rate):
        found = re.fullmatch(r"(\d+)/(\d+(?:\.\d+)?)s", rate)
        return (int(found[1]), float(found[2])) if found else super().parse_rate(rate)

    def allow_request(self, request, view):
        with vendor.lock:
            allowed = super().allow_request(request, view)
            self.count(view, allowed=allowed)
        return allowed


class CreateThrottle(Throttle):
    scope = "create"

    def get_cache_key(self, request, view):
        return self.cache_format % {"scope": self.scope, "ident": vendor.key}

    def count(self, view, *, allowed):
        (vendor.accepted if allowed else vendor.refused).append(self.now)


class PollThrottle(Throttle):
    scope = "poll"

    def get_cache_key(self, request, view):
        return self.cache_format % {"scope": self.scope, "ident": view.kwargs["import_id"]}

    def count(self, view, *, allowed):
        vendor.polls[view.kwargs["import_id"]] += allowed
        vendor.refused_polls += not allowed


class Pages(LimitOffsetPagination):
    default_limit = 100
    max_limit = 1000


class CreateBody(serializers.Serializer):
    def get_fields(self):
        return {
            "schema_id": serializers.CharField(required=False),
            "fields": serializers.ListField(child=serializers.DictField(), required=False, allow_empty=False),
            "original_filename": serializers.CharField(required=False, max_length=255),
            "initial_data": serializers.ListField(required=False, allow_empty=False),
            "settings": serializers.DictField(required=False),
            "hooks": serializers.DictField(required=False),
            "import_metadata": serializers.DictField(required=False),
        }

    def validate(self, attrs):
        for one, other in (("schema_id", "fields"), ("original_filename", "initial_data")):
            if (one in attrs) == (other in attrs):
                raise serializers.ValidationError(f"Exactly one of {one} and {other} is required.")
        return attrs


class ApiView(GenericAPIView):
    authentication_classes = (LicenseKey,)
    permission_classes = (IsAuthenticated,)
    pagination_class = Pages

    def dispatch(self, request, *args, **kwargs):
        if vendor.strikes("errors"):
            return self.trouble(request, *args, **kwargs)
        answer = super().dispatch(request, *args, **kwargs)
        if answer.status_code == 201 and vendor.strikes("lose_replies"):
            hang_up(request)
        return answer

    def trouble(self, request, *args, **kwargs):
        """Respond with 5xx, half of the time after the effect."""
        if vendor.dice.random() < 0.5:
            super().dispatch(request, *args, **kwargs)
        return HttpResponse("<h1>Bad Gateway</h1>", status=vendor.dice.choice((500, 502, 503, 504)))

    def found(self, import_id: str) -> Import:
        with suppress(KeyError):
            return vendor.imports[import_id]
        raise NotFound

    def full(self, found: Import) -> dict:
        status = found.status
        return {
            **short(found, status),
            "upload": vendor.presigned(self.request, "PUT", found.id) if status == "AWAITING_UPLOAD" else None,
            "review_url": f"https://review.example/{found.id}" if status == "NEEDS_REVIEW" else None,
            "result_metadata": {"rows": len(found.rows)} if status == "SUCCESSFUL" else None,
            "import_errors": [{"message": "The file could not be parsed."}] if status == "FAILED" else None,
        }


def short(found: Import, status: str) -> dict:
    return {
        "id": found.id,
        "schema_id": found.schema,
        "status": status,
        "original_filename": found.original_filename,
        "created_date": found.created_at.isoformat(),
        "modified_date": (found.started_at or found.created_at).isoformat(),
    }


class Imports(ApiView):
    def get_throttles(self):
        return [CreateThrottle()] if self.request.method == "POST" else []

    def get(self, request):
        with vendor.lock:
            newest_first = list(vendor.imports.values())[::-1]
        page = self.paginate_queryset(newest_first)
        return self.get_paginated_response([short(found, found.status) for found in page])

    def post(self, request):
        body = CreateBody(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        if given.get("schema_id", vendor.schemas[0]) not in vendor.schemas:
            raise NotFound
        with vendor.lock:
            made = Import(given.get("schema_id"), given.get("original_filename"))
            vendor.imports[made.id] = made
            if "initial_data" in given:
                rows = request.data["initial_data"]
                vendor.receive(made, json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode(), rows)
        return Response(self.full(made), status=201)


class OneImport(ApiView):
    def get_throttles(self):
        return [PollThrottle()] if self.request.method == "GET" else []

    def get(self, request, import_id):
        return Response(self.full(self.found(import_id)))

    def delete(self, request, import_id):
        del vendor.imports[self.found(import_id).id]
        return Response(status=204)


class ResultsUrl(ApiView):
    def get(self, request, import_id):
        if self.found(import_id).status != "SUCCESSFUL":
            raise NotFound
        return Response({"presigned_url": vendor.presigned(request, "GET", import_id)})


class Schemas(ApiView):
    def get(self, request, schema_id=None):
        if schema_id is None:
            return Response([{"id": known, "name": known, "fields": []} for known in vendor.schemas])
        if schema_id not in vendor.schemas:
            raise NotFound
        return Response({"id": schema_id, "name": schema_id, "fields": []})


def bucket(request: HttpRequest, import_id: str) -> HttpResponse:
    """Serve as the storage of presigned URLs."""
    if request.META.get("HTTP_TRANSFER_ENCODING"):
        return storage_error(501, "NotImplemented", "A header you provided implies functionality")
    body = request.read()
    if KEY_VARIABLE in request.META:
        vendor.key_leaks += 1
        return storage_error(403, "AccessDenied", "There were headers present in the request which were not signed")
    if (refusal := unsigned_or_expired(request, import_id)) is not None:
        return refusal
    return put_object(request, import_id, body) if request.method == "PUT" else get_object(request, import_id)


def unsigned_or_expired(request: HttpRequest, import_id: str) -> HttpResponse | None:
    signed_at = request.GET.get("X-Amz-Date", "")
    signature = vendor.signature(request.method or "", import_id, signed_at)
    if not hmac.compare_digest(signature, request.GET.get("X-Amz-Signature", "")):
        return storage_error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
    begun = datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if datetime.now(UTC) > begun + timedelta(seconds=int(request.GET["X-Amz-Expires"])):
        return storage_error(403, "AccessDenied", "Request has expired")
    return None


def put_object(request: HttpRequest, import_id: str, body: bytes) -> HttpResponse:
    conditional = request.META.get("HTTP_IF_NONE_MATCH")
    if conditional and vendor.misbehaviour.refuse_conditions:
        return storage_error(501, "NotImplemented", "If-None-Match is not implemented")
    if len(body) != int(request.META.get("CONTENT_LENGTH") or -1):
        return storage_error(400, "IncompleteBody", "You did not provide the number of bytes specified")
    with vendor.lock:
        found = vendor.imports[import_id]
        if conditional and found.started_at is not None:
            return storage_error(412, "PreconditionFailed", "At least one of the pre-conditions did not hold")
        vendor.puts[import_id] += 1
        vendor.receive(found, body, list(csv.DictReader(io.StringIO(body.decode("utf-8-sig", "replace")))))
    if vendor.strikes("cut_uploads"):
        hang_up(request)
    return HttpResponse(headers={"ETag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})


def get_object(request: HttpRequest, import_id: str) -> HttpResponse:
    body = json.dumps(vendor.imports[import_id].rows).encode()
    answer = HttpResponse(body, content_type="application/json", headers={"Content-Length": str(len(body))})
    if vendor.strikes("cut_downloads"):
        answer.content = body[: len(body) // 2]
    return answer


def storage_error(status: int, code: str, message: str) -> HttpResponse:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return HttpResponse(text, status=status, content_type="application/xml")


def hang_up(request) -> None:
    """Close the connection without a response."""
    request.META["test.socket"].shutdown(socket.SHUT_RDWR)


def oracle(_request: HttpRequest) -> HttpResponse:
    return JsonResponse(vendor.oracle())


urlpatterns = [
    path("api/v1/headless/imports/", Imports.as_view()),
    path("api/v1/headless/imports/<str:import_id>/", OneImport.as_view()),
    path("api/v1/headless/imports/<str:import_id>/url/", ResultsUrl.as_view()),
    path("api/v1/schemas/", Schemas.as_view()),
    path("api/v1/schemas/<str:schema_id>/", Schemas.as_view()),
    path("bucket/<str:import_id>", bucket),
    path("control/oracle", oracle),
]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(WSGIRequestHandler):
    def get_environ(self):
        return {**super().get_environ(), "test.socket": self.connection}

    def address_string(self):
        return self.client_address[0]

    def log_message(self, *_):
        pass


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="drf_server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", required=True)
    parser.add_argument("--schema", action="append", required=True, help="the id of a saved schema; may be repeated")
    parser.add_argument("--rate", default="20/min", help="creates: a rate of the framework, or N/SECONDSs")
    parser.add_argument("--poll-rate", default="12/min", help="polls of one import")
    parser.add_argument("--processing-s", type=float, default=0.2)
    parser.add_argument("--lose-replies", type=float, default=0.0, metavar="P")
    parser.add_argument("--errors", type=float, default=0.0, metavar="P")
    parser.add_argument("--cut-uploads", type=float, default=0.0, metavar="P")
    parser.add_argument("--cut-downloads", type=float, default=0.0, metavar="P")
    parser.add_argument("--refuse-conditions", action="store_true", help="answer 501 to If-None-Match")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    given = options()
    vendor.key, vendor.schemas, vendor.processing_s = given.key, given.schema, given.processing_s
    vendor.dice = random.Random(given.seed)
    vendor.misbehaviour = Misbehaviour(
        lose_replies=given.lose_replies,
        errors=given.errors,
        cut_uploads=given.cut_uploads,
        cut_downloads=given.cut_downloads,
        refuse_conditions=given.refuse_conditions,
    )
    Throttle.THROTTLE_RATES = {"create": given.rate, "poll": given.poll_rate}
    server = Server(("127.0.0.1", given.port), Handler)
    server.set_app(WSGIHandler())
    logging.disable()
    print(f"listening on http://127.0.0.1:{server.server_port}/api/v1", flush=True)
    threading.Thread(target=end_with_stdin, args=(server,), daemon=True).start()
    server.serve_forever(poll_interval=0.05)


def end_with_stdin(server: Server) -> None:
    """End when the process that started this server ends."""
    sys.stdin.buffer.read()
    server.shutdown()


if __name__ == "__main__":
    main()
