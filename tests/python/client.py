"""A foreign client: Python's grpcio with stubs made from proto/ as anybody would make them."""

import atexit
import shutil
import sys
import tempfile
import uuid
from datetime import date
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

from world import ROOT

# A folder of this run alone: two stories may run side by side.
STUBS = Path(tempfile.mkdtemp(prefix="dialgate-stubs-"))
atexit.register(shutil.rmtree, STUBS, ignore_errors=True)
DEADLINE = 20


def make_stubs():
    files = sorted(str(path) for path in (ROOT / "proto").rglob("*.proto"))
    includes = [f"-I{ROOT / 'proto'}", f"-I{Path(protoc.__file__).parent / '_proto'}"]
    if protoc.main(["", *includes, f"--python_out={STUBS}", f"--grpc_python_out={STUBS}", *files]):
        raise RuntimeError("the stubs could not be made from proto/")
    sys.path.insert(0, str(STUBS))


make_stubs()

from dialgate.v1 import (  # noqa: E402
    audit_pb2, audit_pb2_grpc, call_pb2, call_pb2_grpc, call_types_pb2, consent_pb2, consent_pb2_grpc, contact_pb2,
    contact_pb2_grpc, date_pb2, decision_pb2, suppression_pb2, suppression_pb2_grpc,
    webhook_pb2, webhook_pb2_grpc,
)

LIVE_MANUAL = call_types_pb2.CALL_KIND_LIVE_MANUAL
SDP = b"v=0\r\no=softphone 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"


def request_id() -> str:
    return str(uuid.uuid4())


def timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(int(seconds * 1_000_000))
    return stamp


def seconds(stamp: Timestamp) -> float:
    return stamp.ToMicroseconds() / 1_000_000


def civil(day: date) -> date_pb2.Date:
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


class Client:
    """All services under one credential."""

    def __init__(self, address: str, key: str | None):
        self.channel = grpc.insecure_channel(address, options=[("grpc.enable_retries", 0)])
        self.metadata = [("authorization", f"Bearer {key}")] if key else []
        self.calls = call_pb2_grpc.CallServiceStub(self.channel)
        self.consents = consent_pb2_grpc.ConsentServiceStub(self.channel)
        self.contacts = contact_pb2_grpc.ContactServiceStub(self.channel)
        self.suppressions = suppression_pb2_grpc.SuppressionServiceStub(self.channel)
        self.webhooks = webhook_pb2_grpc.WebhookServiceStub(self.channel)
        self.audit = audit_pb2_grpc.AuditServiceStub(self.channel)

    def ask(self, method, request, seconds_max: float = DEADLINE):
        return method(request, metadata=self.metadata, timeout=seconds_max)

    def close(self):
        self.channel.close()


class Refused:
    """A gRPC error with its details read."""

    def __init__(self, error: grpc.RpcError):
        self.code = error.code().name
        self.message = error.details()
        self.reason, self.domain, self.metadata, self.fields, self.retry = "", "", {}, {}, None
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                assert not self.reason, "more than one ErrorInfo"
                self.reason, self.domain, self.metadata = info.reason, info.domain, dict(info.metadata)
            elif detail.Unpack(bad):
                self.fields = {violation.field: violation.description for violation in bad.field_violations}
            elif detail.Unpack(retry):
                self.retry = retry.retry_delay.ToMilliseconds()

    def __str__(self):
        return f"{self.code} reason `{self.reason}` fields {sorted(self.fields)}: {self.message}"


def refusal(client: Client, method, request, seconds_max: float = DEADLINE) -> Refused:
    """The error that this request gets; a failure if it gets none."""
    try:
        answer = client.ask(method, request, seconds_max)
    except grpc.RpcError as error:
        return Refused(error)
    raise AssertionError(f"was answered instead of refused: {type(answer).__name__}")
