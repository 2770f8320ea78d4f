# Eleven rules of the shape that dialgate's have, over facts that are resolved already: no number is parsed, no place looked
# up, no local time computed. Each rule that denies names itself, its law and what it saw.
package dial

import rego.v1

default allow := false

allow if count(deny) == 0

deny contains {"rule": "opt-out", "citation": "47 CFR 64.1200(d)", "evidence": input.opt_out.at} if input.opt_out.on_file

deny contains {"rule": "restriction", "citation": "GDPR Art. 18", "evidence": input.restriction.since} if input.restriction.active

deny contains {"rule": "written-consent", "citation": "47 CFR 64.1200(a)(2)", "evidence": input.call_kind} if {
	input.call_kind != "live_manual"
	input.consent.form != "written"
}

deny contains {"rule": "national-register", "citation": "47 CFR 64.1200(c)(2)", "evidence": input.register.as_of} if {
	input.register.listed
	not input.consent.valid
}

deny contains {"rule": "register-stale", "citation": "16 CFR 310.4(b)(3)(iv)", "evidence": input.register.age_days} if input.register.age_days > 31

deny contains {"rule": "window", "citation": "47 CFR 64.1200(c)(1)", "evidence": minute} if {
	some minute in input.local_minutes
	minute < 480
}

deny contains {"rule": "window", "citation": "47 CFR 64.1200(c)(1)", "evidence": minute} if {
	some minute in input.local_minutes
	minute >= 1260
}

deny contains {"rule": "holiday", "citation": "O.C.G.A.", "evidence": input.holiday} if input.holiday != ""

deny contains {"rule": "cap", "citation": "Fla. Stat. 501.616(6)", "evidence": input.attempts_24h} if input.attempts_24h >= 3

deny contains {"rule": "caller-id", "citation": "47 CFR 64.1601(e)", "evidence": input.caller_id_withheld} if input.caller_id_withheld

deny contains {"rule": "registration", "citation": "state law", "evidence": input.registered} if not input.registered
