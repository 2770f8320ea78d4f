"""A signed call: the Identity header that SIPp received, verified by PyJWT and cryptography, which know nothing of dialgate."""

import re
from email.utils import parsedate_to_datetime

import jwt
from cryptography import x509

from calls import dial, ended
from checks import check, equal
from client import call_types_pb2
from stage import CALLER_IDS, CERTIFICATE_URL, ORIGID, Stage

O = call_types_pb2


def verified(stage: Stage, invite, number: str) -> dict:
    """The claims of an INVITE's PASSporT, once its signature, its kind and its time are as they must be."""
    value = invite.header("Identity")
    token, url, rest = re.fullmatch(r"([\w.-]+);info=<([^>]+)>;(.*)", value).groups()
    equal((url, rest), (CERTIFICATE_URL, "alg=ES256;ppt=shaken"))
    equal(jwt.get_unverified_header(token), {"alg": "ES256", "ppt": "shaken", "typ": "passport", "x5u": url})
    certificate = x509.load_pem_x509_certificate((stage.folder.path / "shaken.pem").read_bytes())
    # The certificate's clock is the story's, and `iat` is no time before which a PASSporT does not hold.
    claims = jwt.decode(token, certificate.public_key(), algorithms=["ES256"], options={"verify_iat": False})
    equal(sorted(claims), ["attest", "dest", "iat", "orig", "origid"])
    equal(claims["origid"], ORIGID)
    equal(claims["dest"], {"tn": [number.removeprefix("+")]})
    sent = invite.at + stage.clock.offset
    assert -1 <= sent - claims["iat"] < 10, f"signed {sent - claims['iat']:.1f} s before it was sent"
    equal(parsedate_to_datetime(invite.header("Date")).timestamp(), claims["iat"], "Date and iat")
    broken = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    try:
        jwt.decode(broken, certificate.public_key(), algorithms=["ES256"], options={"verify_iat": False})
        raise AssertionError("the library takes any signature")
    except jwt.InvalidSignatureError:
        return claims


@check("together", "a signed call: another library verifies the PASSporT on the wire, and the call shows its attestation")
def signed(stage: Stage):
    dialed = dial(stage, "signed")
    ended(dialed, O.OUTCOME_ANSWERED, O.CALL_STATE_ENDED, O.RETRY_CLASS_NONE)
    equal(O.Attestation.Name(dialed.call.attestation), "ATTESTATION_A")
    invites = stage.trunks["signed"].invites(dialed.number)
    equal(len(invites), 1, "INVITEs")
    claims = verified(stage, invites[0], dialed.number)
    equal((claims["attest"], claims["orig"]), ("A", {"tn": CALLER_IDS["us"].removeprefix("+")}))
    asserted = invites[0].header("P-Asserted-Identity")
    equal(asserted, f"<sip:{CALLER_IDS['us']}@carrier.example;user=phone>")


@check("together", "a trunk that is neither trusted nor signs: the number stands in From alone")
def unsigned(stage: Stage):
    dialed = dial(stage, "callee_hangs_up")
    equal(O.Attestation.Name(dialed.call.attestation), "ATTESTATION_UNSPECIFIED")
    invite = stage.trunks["callee_hangs_up"].invites(dialed.number)[0]
    assert f"sip:{CALLER_IDS['us']}@" in invite.header("From"), invite.header("From")
    for name in ("P-Asserted-Identity", "Identity", "Privacy", "Diversion", "History-Info", "User-to-User", "X-[A-Za-z-]+"):
        equal(invite.header(name), "", name)
