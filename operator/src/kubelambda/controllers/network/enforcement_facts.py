"""What was found about the enforcement of NetworkPolicies, as the probe's own policy keeps it."""

import json
from dataclasses import dataclass
from datetime import datetime

from kubelambda.api import labels
from kubelambda.api.reasons import Reason
from kubelambda.controllers.machinery.context import Context
from kubelambda.controllers.machinery.declaration import Change
from kubelambda.controllers.machinery.watched import Watch
from kubelambda.core.network.enforcement_probe import SWITCHED_OFF, UNTRIED, EnforcementVerdict
from kubelambda.kube.kube_client import Object
from kubelambda.kube.resources import NETWORK_POLICIES
from kubelambda.resources.enforcement_probe_objects import PROBE_POLICY


@dataclass(frozen=True, slots=True)
class EnforcementFacts:
    """What was found last; nothing where nobody has tried, or where nobody can read it."""

    verdict: EnforcementVerdict | None
    at: datetime | None


def enforcement_facts(body: Object) -> EnforcementFacts:
    """The facts of the probe's policy."""
    kept = (body["metadata"].get("annotations") or {}).get(labels.NETWORK_PROBE, "")
    try:
        found = json.loads(kept)
        enforced = {"True": True, "False": False, "Unknown": None}[found["enforced"]]
        verdict = EnforcementVerdict(enforced, Reason(found["reason"]), str(found["message"]))
        at = datetime.fromisoformat(found["at"])
    except (ValueError, KeyError, TypeError):
        return EnforcementFacts(None, None)
    return EnforcementFacts(verdict, at) if at.tzinfo else EnforcementFacts(None, None)


def enforcement_record(verdict: EnforcementVerdict, at: datetime) -> dict[str, str]:
    """What `enforcement_facts` reads again."""
    enforced = "Unknown" if verdict.enforced is None else str(verdict.enforced)
    message = verdict.message
    return {"enforced": enforced, "reason": verdict.reason, "message": message, "at": at.isoformat(timespec="seconds")}


def present_enforcement(context: Context) -> EnforcementVerdict:
    """What is known at present."""
    if context.settings.network.probe is None:
        return SWITCHED_OFF
    facts = context.cluster[WATCHED_ENFORCEMENT].get(context.settings.system_namespace, PROBE_POLICY)
    return facts.verdict if facts and facts.verdict else UNTRIED


def is_new_verdict(change: Change[EnforcementFacts]) -> bool:
    """Whether something else was found than before: it concerns whoever has a network."""
    before, after = (facts.verdict if facts else None for facts in (change.before, change.after))
    return before != after


WATCHED_ENFORCEMENT = Watch(NETWORK_POLICIES, enforcement_facts, label=labels.NETWORK_PROBE)
